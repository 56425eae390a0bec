//! How rounds stood when the aggregator said so last. What waits in a round at the same time, its
//! contribution and its duty as key holder, asks once for both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringfence_clock::Moment;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::round::RoundStatus;

/// Rounds that are remembered: the one at work, and those before whose end it waits for.
const ROUNDS: usize = 4;

/// How long an older version may not take the place of a newer one: answers overtake each other. An
/// aggregator that was restored from a backup begins anew with older ones.
const OVERTAKEN: Duration = Duration::from_secs(5);

/// What was seen of one round.
#[derive(Debug, Default)]
pub(crate) struct SeenRound {
    last: Mutex<Option<(RoundStatus, Moment)>>,
    /// Held by whoever asks for news; the others wait for its answer.
    pub(crate) asking: tokio::sync::Mutex<()>,
}

impl SeenRound {
    /// Notes an answer that came now.
    pub(crate) fn note(&self, status: &RoundStatus, now: Moment) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_overtaken = |(known, when): &(RoundStatus, Moment)| {
            status.version < known.version && now.since(*when) < OVERTAKEN
        };
        if !last.as_ref().is_some_and(is_overtaken) {
            *last = Some((status.clone(), now));
        }
    }

    /// How the round stood, however long ago.
    pub(crate) fn last(&self) -> Option<RoundStatus> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(status, _)| status.clone())
    }

    /// How the round stood, if that is beyond a version.
    pub(crate) fn beyond(&self, version: u64) -> Option<RoundStatus> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(status, _)| status).filter(|status| status.version > version).cloned()
    }

    /// How the round stood less than so long ago.
    pub(crate) fn within(&self, time: Duration, now: Moment) -> Option<RoundStatus> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |(_, when): &&(RoundStatus, Moment)| now.since(*when) < time;
        last.as_ref().filter(is_fresh).map(|(status, _)| status.clone())
    }
}

/// What was seen of the last rounds.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<BTreeMap<RoundNumber, Arc<SeenRound>>>);

impl Seen {
    /// What was seen of a round.
    pub(crate) fn of(&self, round: RoundNumber) -> Arc<SeenRound> {
        let mut rounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = rounds.entry(round).or_default().clone();
        // Whoever asks for one that is gone begins anew.
        while rounds.len() > ROUNDS {
            let Some(other) = rounds.keys().find(|known| **known != round).copied() else { break };
            rounds.remove(&other);
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use ringfence_clock::Clock;
    use ringfence_crypto::Digest;
    use ringfence_crypto::id::UnixSeconds;
    use ringfence_crypto::round::{RoundState, SiteSet};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn status(version: u64) -> RoundStatus {
        RoundStatus {
            study: Digest::of(b"study").into(),
            round: RoundNumber(1),
            version,
            state: RoundState::Collecting,
            deadline: UnixSeconds(0),
            initiator: "a".parse().unwrap(),
            holders: Vec::new(),
            received: SiteSet::default(),
            wanted: Vec::new(),
            reviewed: SiteSet::default(),
            endorsed: SiteSet::default(),
            endorsements_needed: 1,
            opened: SiteSet::default(),
            openings_needed: 1,
            disputes: Vec::new(),
            acknowledged: SiteSet::default(),
        }
    }

    #[test]
    fn an_older_version_counts_once_the_newer_one_is_no_answer_of_a_moment_ago() {
        let (clock, hand) = Clock::mock(UnixSeconds(0));
        let seen = SeenRound::default();
        let version = || seen.beyond(0).map(|status| status.version);
        assert_eq!(version(), None);
        seen.note(&status(5), clock.moment());
        seen.note(&status(4), clock.moment());
        assert_eq!(version(), Some(5), "it was overtaken");
        assert!(seen.beyond(5).is_none());
        hand.advance(SECOND);
        assert!(seen.within(SECOND, clock.moment()).is_none());
        assert_eq!(seen.within(2 * SECOND, clock.moment()), Some(status(5)));
        hand.advance(OVERTAKEN);
        seen.note(&status(2), clock.moment());
        assert_eq!(version(), Some(2), "the aggregator has lost something");
    }

    #[test]
    fn few_rounds_are_remembered() {
        let (clock, _hand) = Clock::mock(UnixSeconds(0));
        let seen = Seen::default();
        for round in 0..10 {
            seen.of(RoundNumber(round)).note(&status(1), clock.moment());
        }
        assert!(seen.of(RoundNumber(0)).beyond(0).is_none());
        assert!(seen.of(RoundNumber(9)).beyond(0).is_some());
        assert_eq!(seen.0.lock().unwrap().len(), ROUNDS);
    }
}
