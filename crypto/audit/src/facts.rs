//! A round at a glance: names and values, for whatever form the report has.

use ringfence_crypto::evidence::RoundSummary;
use ringfence_crypto::id::SiteId;

/// What a reader wants to know of a round first.
pub(crate) fn facts(summary: &RoundSummary) -> Vec<(&'static str, String)> {
    let threshold = &summary.threshold;
    let mut facts = vec![
        ("State", summary.state.to_string()),
        ("Opened by", format!("{}, {}", summary.initiator, summary.opened_at.utc())),
    ];
    if let Some(closed_at) = summary.closed_at {
        facts.push(("Closed", closed_at.utc().to_string()));
    }
    facts.push(("In the sum", format!("{} of {} sites", summary.included.len(), summary.sites)));
    facts.push((
        "Set certified by",
        format!(
            "{} of {} key holders, {} needed",
            summary.endorsed, threshold.holders, threshold.endorsements
        ),
    ));
    let opened = match summary.opened.as_slice() {
        [] => "nobody".to_owned(),
        sites => format!("{} ({} needed)", names(sites), threshold.opening),
    };
    facts.push(("Sum opened by", opened));
    for left_out in &summary.excluded {
        facts.push(("Left out", format!("{}: {}", left_out.site, left_out.reason)));
    }
    if !summary.absent.is_empty() {
        facts.push(("Did not contribute", names(&summary.absent)));
    }
    for named in summary.named.iter().filter(|named| !named.sites.is_empty()) {
        facts.push(("Named in a dispute", names(&named.sites)));
    }
    facts
}

fn names(sites: &[SiteId]) -> String {
    let sites: Vec<&str> = sites.iter().map(SiteId::as_str).collect();
    sites.join(", ")
}
