//! What is said of a wait that took too long: how the round stands, and whose word is missing.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use ringfence_crypto::id::{SiteId, UnixSeconds};
use ringfence_crypto::round::{RoundState, RoundStatus, SiteSet};
use ringfence_crypto::statement::Study;
use ringfence_words::listed;

use crate::wait::Awaited;

/// What to do about key holders whose word is missing. That it is, the aggregator says.
const THEN: &str =
    "run the step again once they have answered; if they have, ask the aggregator's operator";

/// A wait for a round that is over, and how the round stood then.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// What was waited for.
    pub what: Awaited,
    /// The round, as the aggregator says that it stands.
    pub status: RoundStatus,
    /// Those whose word is missing for the round's next step.
    pub missing: Vec<SiteId>,
    /// The signed manifest's deadline for contributions.
    pub deadline: UnixSeconds,
    /// When the wait ended, by this site's clock.
    pub until: UnixSeconds,
    /// How long was waited for this step beyond the time that the study gives it.
    pub patience: Duration,
}

/// Those of whom the round's next step is still to come.
pub(crate) fn missing(study: &Study, what: Awaited, status: &RoundStatus) -> Vec<SiteId> {
    let holders = study.holders(status.round).map(|site| &site.id);
    let without = |said: &SiteSet| {
        let said: BTreeSet<&SiteId> = said.sites(&study.roster).collect();
        holders.clone().filter(|id| !said.contains(id)).cloned().collect()
    };
    if let Some(said) = what.said(status) {
        return without(&said);
    }
    match status.state {
        RoundState::Collecting => {
            let received: BTreeSet<&SiteId> = status.received.sites(&study.roster).collect();
            let roster = study.roster.iter().map(|site| &site.id);
            roster.filter(|id| !received.contains(id)).cloned().collect()
        }
        RoundState::Reviewing => without(&status.reviewed),
        RoundState::Closed => without(&status.endorsed),
        RoundState::Certified => without(&status.opened),
        RoundState::Opened | RoundState::Aborted => Vec::new(),
    }
}

/// Names in a row; of many, the first ones and how many more.
pub(crate) fn names(sites: &[SiteId]) -> String {
    if sites.is_empty() { "nobody".to_owned() } else { listed(sites) }
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, status, missing, until, patience, .. } = self;
        let RoundStatus { round, endorsements_needed, .. } = status;
        let (until, missing) = (until.utc(), names(missing));
        let seconds = patience.as_secs();
        write!(f, "round {round} had not come to {what} by {until}: ")?;
        let disputed = what.said(status).map(|said| said.len());
        match (what, disputed) {
            (Awaited::Dispute(_) | Awaited::Verdict(_), Some(said)) => write!(
                f,
                "{said} of {endorsements_needed} endorsements needed are there, as the aggregator says (missing: {missing}); {THEN}"
            ),
            (_, Some(said)) => write!(
                f,
                "the openings of {said} key holders do not determine it (missing: {missing}); {THEN}"
            ),
            (_, None) => self.state(f, &missing),
        }?;
        write!(f, " (waited {seconds} s beyond the time it has, as --patience says)")
    }
}

impl Overdue {
    /// What the round's state says, and whose word it lacks.
    fn state(&self, f: &mut fmt::Formatter<'_>, missing: &str) -> fmt::Result {
        let Self { status, deadline, .. } = self;
        let RoundStatus { state, endorsements_needed, openings_needed, .. } = status;
        let deadline = deadline.utc();
        match state {
            RoundState::Collecting => write!(
                f,
                "the aggregator says that it still takes contributions, and the manifest's deadline was {deadline} (missing: {missing}); ask the aggregator's operator, and look at this site's clock"
            ),
            RoundState::Reviewing => write!(
                f,
                "the aggregator has not closed it, though the time to review is over (reviews missing: {missing}); ask the aggregator's operator"
            ),
            RoundState::Closed => write!(
                f,
                "{} of {endorsements_needed} endorsements needed are there, as the aggregator says (missing: {missing}); {THEN}",
                status.endorsed.len()
            ),
            RoundState::Certified => write!(
                f,
                "{} of {openings_needed} openings needed are there, as the aggregator says (missing: {missing}); {THEN}",
                status.opened.len()
            ),
            RoundState::Opened | RoundState::Aborted => {
                write!(f, "it is {state}; run the step again")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ringfence_crypto::id::RoundNumber;
    use ringfence_crypto::round::DisputeStatus;
    use ringfence_crypto::wire::json;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Four holders, of whom two have disputed, and one has answered.
    #[test]
    fn a_wait_in_a_dispute_names_those_whose_word_is_missing() {
        let ids = ["a", "b", "c", "d"].map(|site| site.parse::<SiteId>().unwrap());
        // A bit each, the first site's the lowest.
        let set = |bits: &str| -> SiteSet {
            json::parse(format!("\"{bits}\"").as_bytes(), 100, "set").unwrap()
        };
        let dispute = DisputeStatus {
            index: 1,
            disputing: set("03"),
            disputed: false,
            answered: set("02"),
            judging: set("00"),
            judged: false,
            removing: set("07"),
        };
        let status = RoundStatus {
            study: ringfence_crypto::Digest::of(b"study").into(),
            round: RoundNumber(3),
            version: 1,
            state: RoundState::Opened,
            deadline: UnixSeconds(0),
            initiator: ids[0].clone(),
            holders: ids.to_vec(),
            received: set("00"),
            wanted: Vec::new(),
            reviewed: set("00"),
            endorsed: set("0f"),
            endorsements_needed: 3,
            opened: set("0f"),
            openings_needed: 2,
            disputes: vec![dispute],
            acknowledged: set("00"),
        };
        for (what, said, line) in [
            (Awaited::Dispute(1), 2, "a certificate of dispute 1 by"),
            (Awaited::Dispute(2), 0, "0 of 3 endorsements needed are there"),
            (Awaited::Functionals(1), 1, "the openings of 1 key holders do not determine it"),
            (Awaited::Verdict(1), 0, "the verdict of dispute 1 by"),
            (Awaited::Keys(1), 3, "the openings of 3 key holders"),
        ] {
            let found = what.said(&status).unwrap();
            assert_eq!(found.len(), said, "{what}");
            let missing = ids.iter().enumerate().filter(|(place, _)| !found.has(*place));
            let missing = missing.map(|(_, id)| id.clone()).collect();
            let (status, patience) = (status.clone(), MINUTE);
            let (deadline, until) = (UnixSeconds(0), UnixSeconds(0));
            let text = Overdue { what, status, missing, deadline, until, patience }.to_string();
            assert!(text.contains(line) && text.contains("d)"), "{text}");
        }
        assert_eq!(Awaited::End.said(&status), None);
    }
}
