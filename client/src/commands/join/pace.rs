//! How long the rounds that are left take, by those that this site has measured.

use std::time::Duration;

use ringfence_clock::Moment;

/// The rounds that this process took part in from their beginning to their end. Others say nothing of
/// those to come: one that the other sites have gone through alone is over in a moment, and one that is
/// aborted takes as long as its deadline says.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the last round ended, or the first began.
    since: Moment,
    /// Whether the round that goes on was begun before this process: nobody knows what is left of it.
    is_begun: bool,
    taken: Duration,
    rounds: u32,
}

impl Pace {
    /// Before the first round of this process, which an earlier one may have begun.
    pub(super) fn new(now: Moment, is_begun: bool) -> Self {
        Self { since: now, is_begun, taken: Duration::ZERO, rounds: 0 }
    }

    /// A round has ended, in which this site `took_part` or not; how long `left` rounds more take, where
    /// the round says something of them.
    pub(super) fn ended(&mut self, now: Moment, took_part: bool, left: u32) -> Option<Duration> {
        let taken = now.since(self.since);
        self.since = now;
        let is_begun = std::mem::take(&mut self.is_begun);
        if !took_part || is_begun {
            return None;
        }
        self.taken += taken;
        self.rounds += 1;
        (left > 0).then(|| self.taken.saturating_mul(left) / self.rounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_clock::Clock;

    #[test]
    fn only_rounds_that_this_site_took_part_in_are_measured() {
        let start = Clock::system().moment();
        let at = |seconds| start.after(Duration::from_secs(seconds));
        let left = |seconds| Some(Duration::from_secs(seconds));
        let mut pace = Pace::new(start, false);
        assert_eq!(pace.ended(at(60), true, 9), left(540));
        // Two that the others have finished without it, then one that is aborted after an hour.
        assert_eq!(pace.ended(at(61), false, 8), None);
        assert_eq!(pace.ended(at(62), false, 7), None);
        assert_eq!(pace.ended(at(3662), false, 6), None);
        assert_eq!(pace.ended(at(3742), true, 5), left(350));
        assert_eq!(pace.ended(at(3812), true, 0), None);
    }

    #[test]
    fn a_round_that_an_earlier_process_began_says_nothing() {
        let start = Clock::system().moment();
        let at = |seconds| start.after(Duration::from_secs(seconds));
        let mut pace = Pace::new(start, true);
        assert_eq!(pace.ended(at(1), true, 3), None);
        assert_eq!(pace.ended(at(31), true, 2), Some(Duration::from_secs(60)));
    }
}
