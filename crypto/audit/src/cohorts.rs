//! What the sums of all rounds together could tell of few sites, from the certified sets.

use std::collections::BTreeSet;

use ringfence_crypto::cohorts::{CohortReport, OpenedSet, measure};
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::evidence::RoundProof;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{PrivacyPolicy, Review, Study};

use crate::report::{Line, Subject, Verdict};
use crate::rounds::{Kept, Rounds};

/// Of many sites so many are named.
const MOST_NAMED: usize = 8;

/// A set that enough key holders have endorsed, by a round's file; whether the rest of the file holds is
/// other checks' matter. It may be opened by whoever has enough holders' help, so it counts whether or
/// not the file shows openings.
#[derive(Clone, Debug)]
pub(crate) struct CertifiedSet {
    sites: Vec<SiteId>,
    /// After the round's reviews: whom they bar, who may never have contributed, is not missed.
    trust: Trust,
}

impl CertifiedSet {
    /// The set of a round's file; none for an abort.
    pub(crate) fn of(proof: &RoundProof, study: &Study) -> Option<Self> {
        let events = || proof.events.iter().map(|event| &event.statement);
        let endorsed = |closing| {
            let endorsements = events().filter(|event| {
                matches!(event, Event::Endorsed(endorsement) if endorsement.statement.closing == closing)
            });
            endorsements.count() >= study.threshold.endorsements.into()
        };
        let closings = events().filter_map(|event| match event {
            Event::Closed(closing) if !closing.statement.is_abort() => Some(closing),
            _ => None,
        });
        let closing = closings.into_iter().find(|closing| endorsed(closing.id()))?;
        let closing = &closing.statement;
        let before = proof.before.as_ref().map(|before| before.trust.clone()).unwrap_or_default();
        let freeze = events().find_map(|event| match event {
            Event::Frozen(freeze) => Some(&freeze.statement),
            _ => None,
        });
        let reviews: Vec<Signed<Review>> = events()
            .filter_map(|event| match event {
                Event::Reviewed(review) => Some(review.clone()),
                _ => None,
            })
            .collect();
        // Where the reviews allow no judgement, `closing` is false, and says why.
        let judgement =
            freeze.and_then(|freeze| closing.judge(study, &before, freeze, &reviews).ok());
        let trust = judgement.map_or(before, |judgement| judgement.trust);
        let sites = closing.included.iter().map(|entry| entry.site.clone()).collect();
        Some(Self { sites, trust })
    }

    /// The sites whose group is not whole, where the study holds its sets apart.
    fn torn(&self, study: &Study) -> Vec<SiteId> {
        let torn = study.torn(&self.trust, &self.sites.iter().collect());
        torn.into_iter().cloned().collect()
    }
}

/// Measures the certified sets, and where the study holds them apart, whether each holds its groups
/// whole; with the measure itself, where there is a round.
pub(crate) fn check_cohorts(rounds: &Rounds) -> (Option<CohortReport>, Line) {
    let line = |verdict, words: String| Line::new(Subject::Cohorts, verdict, words);
    let certified: Vec<(&Kept, &CertifiedSet)> =
        rounds.kept.iter().filter_map(|kept| Some((kept, kept.certified.as_ref()?))).collect();
    let Some(last) = rounds.kept.last() else {
        return (None, line(Verdict::Missing, "The folder has no file of a round.".to_owned()));
    };
    let opened: Vec<OpenedSet<'_>> = certified
        .iter()
        .map(|(kept, set)| OpenedSet { round: kept.round, sites: set.sites.iter().collect() })
        .collect();
    let report = measure(&opened, &corrupt(rounds));
    let torn = certified.iter().map(|(kept, set)| (kept.round, set.torn(&kept.study)));
    if let Some((round, torn)) = torn.into_iter().find(|(_, torn)| !torn.is_empty()) {
        let words = format!(
            "The study holds its sets apart, and the set of round {round} holds {} without the rest of their group: with the sums of other rounds it may tell of few sites.",
            listed(&torn)
        );
        return (Some(report), line(Verdict::False, words));
    }
    let study = &last.study;
    let said = report.sentences(study.threshold.collusion).join(" ");
    let words = format!("{said} {}", policy(study));
    let line = match rounds.missing.is_empty() && rounds.kept.len() == rounds.reports.len() {
        true => line(Verdict::Proven, words),
        false => line(
            Verdict::Missing,
            format!("Of the rounds whose files are here and can be read: {words}"),
        ),
    };
    (Some(report), line)
}

/// The sites that any round shows to be corrupt: the trust after a change of the roster does not name
/// who is gone.
fn corrupt(rounds: &Rounds) -> BTreeSet<SiteId> {
    let sets = rounds.kept.iter().filter_map(|kept| kept.certified.as_ref());
    let by_sets = sets.flat_map(|set| &set.trust.barred);
    let summaries = rounds.reports.iter().filter_map(|report| report.summary.as_ref());
    by_sets.chain(summaries.flat_map(|round| &round.trust.barred)).cloned().collect()
}

/// What the study says of it.
fn policy(study: &Study) -> String {
    match study.privacy {
        PrivacyPolicy::SetsApart => format!(
            "The study holds its sets apart, and each holds all or none of each of its {} groups, barred sites aside.",
            study.groups().len()
        ),
        PrivacyPolicy::None => {
            "The study does not hold its sets apart: this is reported, and nothing forbids it."
                .to_owned()
        }
        PrivacyPolicy::RecordLevel(_) | PrivacyPolicy::SiteLevel(_) => {
            "The study's guarantee of differential privacy is for all rounds together, whichever sums are combined."
                .to_owned()
        }
    }
}

fn listed(sites: &[SiteId]) -> String {
    let names: Vec<&str> = sites.iter().take(MOST_NAMED).map(SiteId::as_str).collect();
    match sites.len().saturating_sub(MOST_NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
