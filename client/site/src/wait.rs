//! Waiting for others: how long each step of a round may take, and what is said when it took longer.

use std::fmt;
use std::time::Duration;

use ringfence_clock::Moment;
use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::statement::Study;

use crate::error::SiteError;
use crate::site::Site;

/// Most names that are listed; of more, the number says enough.
const MOST_NAMES: usize = 10;

/// A wait for a round that is over, and how the round stood then.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// What was waited for.
    pub what: &'static str,
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
    pub(crate) fn over(&self, site: &Site, what: &'static str, status: RoundStatus) -> SiteError {
        SiteError::Impatient(Box::new(Overdue {
            what,
            missing: missing(&site.study, &status),
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
fn missing(study: &Study, status: &RoundStatus) -> Vec<SiteId> {
    let holders = study.holders(status.round).map(|site| &site.id);
    let without =
        |said: &[SiteId]| holders.clone().filter(|id| !said.contains(id)).cloned().collect();
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
        let Self { what, status, missing, deadline, until, patience } = self;
        let RoundStatus { round, state, endorsements_needed, openings_needed, .. } = status;
        let (deadline, until, missing) = (deadline.utc(), until.utc(), names(missing));
        let seconds = patience.as_secs();
        write!(f, "round {round} had not come to {what} by {until}: ")?;
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
        }?;
        write!(f, " (waited {seconds} s beyond the time it has, as --patience says)")
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

    #[test]
    fn of_many_names_the_first_are_listed() {
        let sites: Vec<SiteId> = (0..12).map(|k| format!("s{k}").parse().unwrap()).collect();
        assert_eq!(names(&sites[..2]), "s0, s1");
        assert_eq!(names(&sites), "s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 2 more");
        assert_eq!(names(&[]), "nobody");
    }
}
