//! Waiting for others: how long each step of a round may take.

use std::fmt;
use std::time::Duration;

use ringfence_clock::{Clock, Moment};
use ringfence_crypto::id::{RoundNumber, UnixSeconds};
use ringfence_crypto::round::{DisputeStatus, RoundState, RoundStatus, SiteSet};

use crate::error::SiteError;
use crate::overdue::{Overdue, missing};
use crate::site::Site;

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
    pub(crate) fn said(self, status: &RoundStatus) -> Option<SiteSet> {
        let said = |index: u16, of: fn(&DisputeStatus) -> &SiteSet| {
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
    /// How the round stood a moment ago: not asked again before the first wait.
    known: Option<RoundStatus>,
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
            known: None,
        })
    }

    /// Begins with how the round is known to have stood a moment ago.
    pub(crate) fn from(self, known: Option<RoundStatus>) -> Self {
        Self { known, ..self }
    }

    /// How the round stood then, once.
    pub(crate) fn take_known(&mut self) -> Option<RoundStatus> {
        self.known.take()
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

    /// When contributions or reviews end; steps after those have no end of their own.
    pub(crate) fn ends(&self, clock: &Clock) -> Option<UnixSeconds> {
        match self.step {
            0 => Some(self.deadline),
            1 => {
                let left = self.since.after(self.review).since(clock.moment());
                Some(clock.now().after(left.as_secs()))
            }
            _ => None,
        }
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
            known: None,
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
}
