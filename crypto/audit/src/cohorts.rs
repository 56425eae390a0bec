//! What the sums of all rounds together could tell of few sites, from the certified sets.

use std::collections::BTreeSet;

use ringfence_crypto::cohorts::{OpenedSet, measure};
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::evidence::RoundSummary;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::statement::{ExclusionReason, PrivacyPolicy, Study};

use crate::report::{Line, Subject, Verdict};
use crate::rounds::Rounds;

/// Measures the sets that were certified, and where the study holds them apart, whether each holds its
/// groups whole. A set that was certified may be opened by whoever has enough holders' help, so it
/// counts whether or not the folder shows openings.
pub(crate) fn check_cohorts(rounds: &Rounds) -> Line {
    let certified: Vec<(&Study, &RoundSummary)> = rounds.certified().collect();
    let line = |verdict, words: String| Line::new(Subject::Cohorts, verdict, words);
    if let Some((round, torn)) = certified.iter().find_map(|(study, round)| torn(study, round)) {
        return line(
            Verdict::False,
            format!(
                "The study holds its sets apart, and the set of round {round} holds {} without the rest of its group: with the sums of other rounds it may tell of few sites.",
                listed(&torn)
            ),
        );
    }
    let Some((study, _)) = certified.last() else {
        return line(
            Verdict::Proven,
            "No set was certified, so nothing can be combined.".to_owned(),
        );
    };
    let opened: Vec<OpenedSet<'_>> = certified
        .iter()
        .map(|(_, round)| OpenedSet { round: round.round, sites: round.included.iter().collect() })
        .collect();
    // Of all rounds: the trust after a change of the roster does not name who is gone.
    let corrupt = certified.iter().flat_map(|(_, round)| trust(round).barred).collect();
    let report = measure(&opened, &corrupt);
    let policy = match study.privacy {
        PrivacyPolicy::SetsApart => format!(
            "Each certified set holds all or none of each of the study's {} groups, barred sites aside.",
            study.groups().len()
        ),
        PrivacyPolicy::None => {
            "The study does not hold its sets apart: this is reported, and nothing forbids it."
                .to_owned()
        }
        PrivacyPolicy::RecordLevel(_) => {
            "The study protects records by noise in every sum, whichever are combined.".to_owned()
        }
        PrivacyPolicy::SiteLevel(_) => {
            "The study protects sites by noise in every sum, whichever are combined.".to_owned()
        }
    };
    let words = report.sentences(study.threshold.collusion).join(" ");
    let whole = rounds.missing.is_empty() && rounds.kept.len() == rounds.reports.len();
    match whole {
        true => line(Verdict::Proven, format!("{words} {policy}")),
        false => line(
            Verdict::Missing,
            format!("Of the rounds whose files are here and can be read: {words} {policy}"),
        ),
    }
}

/// The sites of a round's set whose group is not whole, where sets are held apart.
fn torn(study: &Study, round: &RoundSummary) -> Option<(RoundNumber, Vec<SiteId>)> {
    let sites: BTreeSet<&SiteId> = round.included.iter().collect();
    let torn = study.torn(&trust(round), &sites);
    let torn: Vec<SiteId> = torn.into_iter().cloned().collect();
    (!torn.is_empty()).then_some((round.round, torn))
}

/// Trust as the round's set was judged by: while it is not over, with those whom its reviews bar.
fn trust(round: &RoundSummary) -> Trust {
    let mut trust = round.trust.clone();
    let barred = round.excluded.iter().filter(|out| out.reason == ExclusionReason::Barred);
    trust.bar(&barred.map(|out| out.site.clone()).collect());
    trust
}

fn listed(sites: &[SiteId]) -> String {
    let names: Vec<&str> = sites.iter().take(8).map(SiteId::as_str).collect();
    match sites.len().saturating_sub(8) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

impl Rounds {
    /// The rounds that ended in a certified set, each with the study in force.
    fn certified(&self) -> impl Iterator<Item = (&Study, &RoundSummary)> {
        let of = self.kept.iter().filter_map(|kept| Some((&*kept.study, self.summary(kept)?)));
        of.filter(|(_, round)| matches!(round.state, RoundState::Certified | RoundState::Opened))
    }
}
