//! Waiting for others: how long each step of a round may take, and what is said when it took longer.

use std::fmt;
use std::time::Duration;

use ringfence_clock::Moment;
use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::round::{DisputeStatus, RoundState, RoundStatus};
use ringfence_crypto::statement::Study;

use crate::error::SiteError;
use crate::site::Site;

/// Most names that are listed; of more, the number says enough.
const MOST_NAMES: usize = 10;

/// What a site waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The end of the time for contributions.
    Contributions,
    /// The closing.
    Closing,
    /// Its certificate.
    Certificate,
    /// An abort, or enough openings.
    End,
    /// The certificate of the dispute with an index.
    Dispute(u16),
    /// Openings of functionals in it.
    Functionals(u16),
    /// The certificate of its verdict; of that on check words with index 0.
    Verdict(u16),
    /// Openings of the keys that it names.
    Keys(u16),
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contributions => f.write_str("the end of its contributions"),
            Self::Closing => f.write_str("a closing"),
            Self::Certificate => f.write_str("a certificate"),
            Self::End => f.write_str("its end"),
            Self::Dispute(index) => write!(f, "a certificate of dispute {index}"),
            Self::Functionals(index) => write!(f, "enough openings in dispute {index}"),
            Self::Verdict(0) => f.write_str("a certificate of its verdict on check words"),
            Self::Verdict(index) => write!(f, "a certificate of the verdict of dispute {index}"),
            Self::Keys(index) => {
                write!(f, "enough openings of the keys that the verdict of dispute {index} names")
            }
        }
    }
}

impl Awaited {
    /// The holders that have said what is waited for; none where it is no step of a dispute.
    fn said(self, status: &RoundStatus) -> Option<Vec<SiteId>> {
        let said = |index: u16, of: fn(&DisputeStatus) -> &Vec<SiteId>| {
            let dispute = status.disputes.iter().find(|dispute| dispute.index == index);
            Some(dispute.map(|dispute| of(dispute).clone()).unwrap_or_default())
        };
        match self {
            Self::Contributions | Self::Closing | Self::Certificate | Self::End => None,
            Self::Dispute(index) => said(index, |dispute| &dispute.disputing),
            Self::Functionals(index) => said(index, |dispute| &dispute.answered),
            Self::Verdict(index) => said(index, |dispute| &dispute.judging),
            Self::Keys(index) => said(index, |dispute| &dispute.removing),
        }
    }
}

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

/// How long a round's steps may take, each from when it is first seen. Fixed by what is signed and
/// by this site's clock: what the aggregator says moves it forward only, and five times at most.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The furthest step that was seen.
    step: u8,
    since: Moment,
    /// When collecting must be over.
    collected: Moment,
    deadline: UnixSeconds,
    review: Duration,
    patience: Duration,
}

impl Waiting {
    /// Begins to wait for a round whose manifest this site has checked.
    ///
    /// # Errors
    /// [`SiteError::NoManifest`] when it has none.
    pub(crate) fn begin(site: &Site, round: RoundNumber) -> Result<Self, SiteError> {
        let manifest = site.journal.round(site.study_id, round)?.manifest()?;
        let deadline = manifest.ok_or(SiteError::NoManifest(round))?.statement.deadline;
        let now = site.clock.moment();
        Ok(Self {
            step: 0,
            since: now,
            collected: now.after(deadline.since(site.clock.now())),
            deadline,
            review: Duration::from_secs(site.study.review_seconds.into()),
            patience: site.patience,
        })
    }

    /// How much longer to wait for a round that stands like this.
    pub(crate) fn left(&mut self, state: RoundState, now: Moment) -> Duration {
        let step = step(state);
        if step > self.step {
            (self.step, self.since) = (step, now);
        }
        let due = match self.step {
            // Contributions are waited for to the deadline, and reviews as long as the study says.
            0 => self.collected,
            1 => self.since.after(self.review),
            _ => self.since,
        };
        due.after(self.patience).since(now)
    }

    /// What to say when nothing is left.
    pub(crate) fn over(&self, site: &Site, what: Awaited, status: RoundStatus) -> SiteError {
        SiteError::Impatient(Box::new(Overdue {
            what,
            missing: missing(&site.study, what, &status),
            status,
            deadline: self.deadline,
            until: site.clock.now(),
            patience: self.patience,
        }))
    }
}

/// The order in which a round goes through its states.
fn step(state: RoundState) -> u8 {
    match state {
        RoundState::Collecting => 0,
        RoundState::Reviewing => 1,
        RoundState::Closed => 2,
        RoundState::Certified => 3,
        RoundState::Opened | RoundState::Aborted => 4,
    }
}

/// Those of whom the round's next step is still to come.
fn missing(study: &Study, what: Awaited, status: &RoundStatus) -> Vec<SiteId> {
    let holders = study.holders(status.round).map(|site| &site.id);
    let without =
        |said: &[SiteId]| holders.clone().filter(|id| !said.contains(id)).cloned().collect();
    if let Some(said) = what.said(status) {
        return without(&said);
    }
    match status.state {
        RoundState::Collecting => {
            let roster = study.roster.iter().map(|site| &site.id);
            roster.filter(|id| !status.received.contains(id)).cloned().collect()
        }
        RoundState::Reviewing => without(&status.reviewed),
        RoundState::Closed => without(&status.endorsed),
        RoundState::Certified => without(&status.opened),
        RoundState::Opened | RoundState::Aborted => Vec::new(),
    }
}

/// Names in a row; of many, the first ones and how many more.
fn names(sites: &[SiteId]) -> String {
    let mut text = sites.iter().take(MOST_NAMES).map(SiteId::as_str).collect::<Vec<_>>().join(", ");
    if sites.len() > MOST_NAMES {
        text.push_str(&format!(" and {} more", sites.len() - MOST_NAMES));
    }
    if text.is_empty() { "nobody".to_owned() } else { text }
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
                "{said} of {endorsements_needed} endorsements needed are there (missing: {missing}); once these key holders are back, run the step again"
            ),
            (_, Some(said)) => write!(
                f,
                "the openings of {said} key holders do not determine it (missing: {missing}); once these key holders are back, run the step again"
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
                "{} of {endorsements_needed} endorsements needed are there (missing: {missing}); once these key holders are back, run the step again",
                status.endorsed.len()
            ),
            RoundState::Certified => write!(
                f,
                "{} of {openings_needed} openings needed are there (missing: {missing}); once these key holders are back, run the step again",
                status.opened.len()
            ),
            RoundState::Opened | RoundState::Aborted => {
                write!(f, "it is {state:?}; run the step again")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn waiting(now: Moment, collecting: Duration) -> Waiting {
        Waiting {
            step: 0,
            since: now,
            collected: now.after(collecting),
            deadline: UnixSeconds(0),
            review: 2 * MINUTE,
            patience: MINUTE,
        }
    }

    #[test]
    fn an_aggregator_cannot_stretch_a_wait_by_what_it_says() {
        let (clock, hand) = ringfence_clock::Clock::mock(UnixSeconds(0));
        let mut waiting = waiting(clock.moment(), 10 * MINUTE);
        let mut left = |state| waiting.left(state, clock.moment());
        assert_eq!(left(RoundState::Collecting), 11 * MINUTE);
        hand.advance(4 * MINUTE);
        assert_eq!(left(RoundState::Collecting), 7 * MINUTE);
        // Each step has its time from when it is first seen, ...
        assert_eq!(left(RoundState::Reviewing), 3 * MINUTE);
        hand.advance(2 * MINUTE);
        assert_eq!(left(RoundState::Reviewing), MINUTE);
        // ... and none has it again.
        assert_eq!(left(RoundState::Collecting), MINUTE);
        assert_eq!(left(RoundState::Closed), MINUTE);
        hand.advance(MINUTE / 2);
        for state in [RoundState::Collecting, RoundState::Reviewing, RoundState::Closed] {
            assert_eq!(left(state), MINUTE / 2);
        }
        hand.advance(MINUTE);
        assert_eq!(left(RoundState::Closed), Duration::ZERO);
        assert_eq!(left(RoundState::Certified), MINUTE);
    }

    #[test]
    fn the_longest_waits_are_numbers_as_others() {
        let (clock, hand) = ringfence_clock::Clock::mock(UnixSeconds(0));
        let mut waiting = waiting(clock.moment(), UnixSeconds(u64::MAX).since(UnixSeconds(0)));
        waiting.patience = Duration::MAX;
        assert_eq!(waiting.left(RoundState::Collecting, clock.moment()), Duration::MAX);
        hand.advance(Duration::MAX);
        assert_eq!(waiting.left(RoundState::Closed, clock.moment()), Duration::ZERO);
    }

    /// Four holders, of whom two have disputed, and one has answered.
    #[test]
    fn a_wait_in_a_dispute_names_those_whose_word_is_missing() {
        let ids = ["a", "b", "c", "d"].map(|site| site.parse::<SiteId>().unwrap());
        let dispute = DisputeStatus {
            index: 1,
            disputing: ids[..2].to_vec(),
            disputed: false,
            answered: ids[1..2].to_vec(),
            judging: Vec::new(),
            judged: false,
            removing: ids[..3].to_vec(),
        };
        let status = RoundStatus {
            study: ringfence_crypto::Digest::of(b"study").into(),
            round: RoundNumber(3),
            version: 1,
            state: RoundState::Opened,
            deadline: UnixSeconds(0),
            initiator: ids[0].clone(),
            holders: ids.to_vec(),
            received: Vec::new(),
            wanted: Vec::new(),
            reviewed: Vec::new(),
            endorsed: ids.to_vec(),
            endorsements_needed: 3,
            opened: ids.to_vec(),
            openings_needed: 2,
            disputes: vec![dispute],
            acknowledged: Vec::new(),
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
            let missing = ids.iter().filter(|id| !found.contains(id)).cloned().collect();
            let (status, patience) = (status.clone(), MINUTE);
            let (deadline, until) = (UnixSeconds(0), UnixSeconds(0));
            let text = Overdue { what, status, missing, deadline, until, patience }.to_string();
            assert!(text.contains(line) && text.contains("d)"), "{text}");
        }
        assert_eq!(Awaited::End.said(&status), None);
    }

    #[test]
    fn of_many_names_the_first_are_listed() {
        let sites: Vec<SiteId> = (0..12).map(|k| format!("s{k}").parse().unwrap()).collect();
        assert_eq!(names(&sites[..2]), "s0, s1");
        assert_eq!(names(&sites), "s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 2 more");
        assert_eq!(names(&[]), "nobody");
    }
}
