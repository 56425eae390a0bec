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
    let (included, sites) = (&summary.included, summary.sites);
    let in_the_sum = match included.as_slice() {
        [] => format!("none of {sites} sites"),
        some => format!("{} of {sites} sites: {}", some.len(), names(some)),
    };
    facts.push(("In the sum", in_the_sum));
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

/// Of many sites so many are named.
const MOST_NAMED: usize = 100;

fn names(sites: &[SiteId]) -> String {
    let named: Vec<&str> = sites.iter().take(MOST_NAMED).map(SiteId::as_str).collect();
    match sites.len().saturating_sub(MOST_NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
