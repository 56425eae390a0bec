//! What stands in the way of steps that are repeated: said once, however many steps meet it, and once
//! that it is gone.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_clock::Moment;
use ringfence_crypto::statement::{ClosingError, ManifestError};
use ringfence_keys::duties::holder::HolderError;

use crate::error::SiteError;
use crate::ledger::LedgerError;

/// What stands in the way: the same for all errors that mean the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obstacle(String);

impl Obstacle {
    /// What an error says of it. An aggregator that is away shows in several ways: a connection that
    /// breaks, a port that nobody listens at, silence. What a clock shows is another thing each time.
    #[must_use]
    pub fn of(error: &SiteError) -> Self {
        match error {
            SiteError::Transport(error) if error.is_away() => Self("away".into()),
            SiteError::Transport(error) if error.is_clock() => Self("clock".into()),
            SiteError::ClockBehind { .. }
            | SiteError::Manifest(ManifestError::OpenedAhead { .. })
            | SiteError::Closing(ClosingError::ClosedAhead { .. })
            | SiteError::Holder(HolderError::Closing(ClosingError::ClosedAhead { .. })) => {
                Self("clock".into())
            }
            // Who has it, is another one each time.
            SiteError::Ledger(error) if matches!(**error, LedgerError::Locked { .. }) => {
                Self("ledger".into())
            }
            error => Self::named(&error.to_string()),
        }
    }

    pub(crate) fn named(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

/// Most obstacles that are remembered of each kind: their words may be an aggregator's, which could
/// fill the memory else.
const MOST: usize = 1024;

/// What stands in the way now, and since when what did is gone.
#[derive(Debug, Default)]
pub(crate) struct Obstacles {
    there: BTreeSet<Obstacle>,
    gone: BTreeMap<Obstacle, Moment>,
}

impl Obstacles {
    /// Takes note of one that a step has met which began then; whether that is news. A step that began
    /// before it was gone tells of the past.
    pub(crate) fn met(&mut self, obstacle: &Obstacle, began: Moment) -> bool {
        let is_past = self.gone.get(obstacle).is_some_and(|gone| began < *gone);
        let is_news = !is_past && self.there.insert(obstacle.clone());
        if self.there.len() > MOST {
            // Any but this one.
            let other = self.there.iter().find(|other| *other != obstacle).cloned();
            if let Some(other) = other {
                self.there.remove(&other);
            }
        }
        is_news
    }

    /// Takes note that these are gone; whether that is news.
    pub(crate) fn are_gone(&mut self, obstacles: &BTreeSet<Obstacle>, now: Moment) -> bool {
        let mut news = false;
        for obstacle in obstacles {
            if self.there.remove(obstacle) {
                news = true;
                self.gone.insert(obstacle.clone(), now);
                if self.gone.len() > MOST {
                    let oldest = self.gone.iter().min_by_key(|(_, gone)| **gone);
                    let oldest = oldest.map(|(obstacle, _)| obstacle.clone());
                    if let Some(oldest) = oldest {
                        self.gone.remove(&oldest);
                    }
                }
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringfence_clock::Clock;
    use ringfence_crypto::id::UnixSeconds;

    use super::*;
    use crate::transport::TransportError;

    #[test]
    fn obstacles_of_ever_other_words_do_not_fill_the_memory() {
        let (clock, hand) = Clock::mock(UnixSeconds(0));
        let mut obstacles = Obstacles::default();
        for number in 0..2 * MOST {
            let obstacle = Obstacle::named(&number.to_string());
            assert!(obstacles.met(&obstacle, clock.moment()));
            assert!(!obstacles.met(&obstacle, clock.moment()));
            if number % 2 == 0 {
                hand.advance(Duration::from_secs(1));
                assert!(obstacles.are_gone(&BTreeSet::from([obstacle]), clock.moment()));
            }
        }
        for number in 0..2 * MOST {
            let obstacle = Obstacle::named(&format!("more {number}"));
            assert!(obstacles.met(&obstacle, clock.moment()));
            assert!(obstacles.are_gone(&BTreeSet::from([obstacle]), clock.moment()));
        }
        assert!(obstacles.there.len() <= MOST && obstacles.gone.len() <= MOST);
    }

    #[test]
    fn an_obstacle_is_news_once_for_all_steps_until_it_is_gone() {
        let (clock, hand) = Clock::mock(UnixSeconds(0));
        let mut obstacles = Obstacles::default();
        let closed = TransportError::ClosedPort { url: "http://127.0.0.1:1".into() };
        let away = Obstacle::of(&closed.into());
        let silent = Obstacle::of(&TransportError::Silent { seconds: 9 }.into());
        assert_eq!(away, silent, "it is away, however that shows");
        let busy = Obstacle::named("busy");
        let began = clock.moment();
        assert!(obstacles.met(&away, began) && obstacles.met(&busy, began));
        assert!(!obstacles.met(&silent, began));
        hand.advance(Duration::from_secs(1));
        // One step goes on: what others met beside it still stands.
        let gone = BTreeSet::from([away.clone()]);
        assert!(obstacles.are_gone(&gone, clock.moment()));
        assert!(!obstacles.are_gone(&gone, clock.moment()));
        assert!(!obstacles.met(&busy, began));
        // A request of before, whose failure is seen only now.
        assert!(!obstacles.met(&silent, began));
        hand.advance(Duration::from_secs(1));
        assert!(obstacles.met(&away, clock.moment()));
    }
}
