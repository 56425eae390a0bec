//! What those who wait for a round are woken by.
//!
//! Each step of a round wakes all of them at once. What is no step, one more contribution or
//! acknowledgement of many, is gathered for a while: it is there so that people see who has come, and
//! each event that is told costs a request of everyone who waits. Told at once it would cost the
//! square of the sites: a thousand events, each told to a thousand who then ask again.

use std::time::Duration;

use ringfence_clock::Clock;
use tokio::sync::watch;

/// How long events are gathered at least: people do not see a second.
const SHORTEST: Duration = Duration::from_secs(1);

/// How long events are gathered for each site of a study: 1,000 sites that wait ask 20 times
/// a second together, however fast events come.
const GATHER: Duration = Duration::from_millis(50);

/// How many events a round has had, and how many when it took its last step.
#[derive(Debug)]
pub(crate) struct News {
    gather: Duration,
    version: watch::Sender<u64>,
    stepped: watch::Sender<u64>,
}

impl News {
    /// Of a round of a study of so many sites, with so many events.
    pub(crate) fn new(sites: usize, version: u64) -> Self {
        let sites = u32::try_from(sites).unwrap_or(u32::MAX);
        Self {
            gather: GATHER.saturating_mul(sites).max(SHORTEST),
            version: watch::Sender::new(version),
            stepped: watch::Sender::new(version),
        }
    }

    /// The number of events so far, as it changes: for the aggregator itself.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// There are so many events now, and the round took a step with the last of them or did not.
    pub(crate) fn tell(&self, version: u64, stepped: bool) {
        if stepped {
            self.stepped.send_replace(version);
        }
        self.version.send_replace(version);
    }

    /// Waits for a step after `seen` events, or for any event once others were gathered; for at most
    /// so long.
    pub(crate) async fn wait(&self, clock: &Clock, seen: u64, wait: Duration) {
        let (mut stepped, mut version) = (self.stepped.subscribe(), self.version.subscribe());
        let (gather, end) = (self.gather.min(wait), clock.moment().after(wait));
        // Who asks for what is long past has missed steps.
        tokio::select! {
            _ = stepped.wait_for(|version| *version > seen) => return,
            () = clock.sleep(gather) => {}
        }
        tokio::select! {
            _ = version.wait_for(|version| *version > seen) => {}
            // Whoever goes on late, after the machine slept, owes the rest of the wait and no more.
            () = clock.sleep_until(end) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use ringfence_crypto::id::UnixSeconds;
    use tokio::task::yield_now;

    use super::*;

    const WAIT: Duration = Duration::from_secs(60);

    /// Whether somebody who has seen one event is woken by a second one; after how long, then.
    async fn woken(sites: usize, stepped: bool) -> Option<u64> {
        let (clock, hand) = Clock::mock(UnixSeconds(0));
        let news = std::sync::Arc::new(News::new(sites, 1));
        let waiting = tokio::spawn({
            let (news, clock) = (news.clone(), clock.clone());
            async move { news.wait(&clock, 1, WAIT).await }
        });
        for _ in 0..10 {
            yield_now().await;
        }
        news.tell(2, stepped);
        for second in 0..60 {
            for _ in 0..10 {
                yield_now().await;
            }
            if waiting.is_finished() {
                return Some(second);
            }
            hand.advance(Duration::from_secs(1));
        }
        None
    }

    #[tokio::test]
    async fn a_step_wakes_at_once_and_one_more_of_many_after_a_while() {
        for (sites, stepped, after) in
            [(5, true, 0), (5, false, 1), (20, false, 1), (1000, true, 0), (1000, false, 50)]
        {
            assert_eq!(woken(sites, stepped).await, Some(after), "{sites} {stepped}");
        }
    }

    #[tokio::test]
    async fn a_wait_that_goes_on_late_ends_when_it_was_to() {
        let (clock, hand) = Clock::mock(UnixSeconds(0));
        let waiting = tokio::spawn(async move { News::new(5, 1).wait(&clock, 1, WAIT).await });
        for advanced in [Duration::ZERO, WAIT] {
            hand.advance(advanced);
            for _ in 0..10 {
                yield_now().await;
            }
        }
        assert!(waiting.is_finished());
    }

    #[tokio::test]
    async fn nobody_waits_for_what_is_there() {
        let (clock, _hand) = Clock::mock(UnixSeconds(0));
        let news = News::new(1000, 1);
        news.tell(2, true);
        news.tell(3, false);
        news.wait(&clock, 1, WAIT).await;
    }
}
