//! Time as a value: the clock of this machine, or one that a test turns by hand.
//!
//! Whoever needs the time is given a [`Clock`], and waits through it. With [`Clock::mock`] a test
//! runs a day in a moment, and says itself what time it is.
//!
//! ```
//! use std::time::Duration;
//! use ringfence_clock::Clock;
//! use ringfence_crypto::id::UnixSeconds;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let (clock, hand) = Clock::mock(UnixSeconds(1_000));
//! let day = Duration::from_secs(24 * 3600);
//! let tomorrow = clock.moment().after(day);
//! tokio::join!(clock.sleep_until(tomorrow), async { hand.advance(day) });
//! assert_eq!(clock.now(), UnixSeconds(1_000 + 24 * 3600));
//! # });
//! ```
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringfence_crypto::id::UnixSeconds;
use tokio::sync::watch;

/// A clock: what time it is, how much time passes, and waiting for it to pass.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// This machine's clock; moments count from here.
    System(Instant),
    /// A hand that a test turns.
    Mock(Arc<watch::Sender<Time>>),
}

/// What a mock clock shows.
#[derive(Clone, Copy, Debug)]
struct Time {
    /// Time of day, since 1970. It may be set, forwards and back.
    wall: Duration,
    /// Time that has passed since the clock was made. It only grows.
    passed: Duration,
}

/// A moment on a clock that only moves forwards, whatever is done to the time of day. Moments of
/// two clocks cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// So much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    /// The time since an earlier moment; nothing when that is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A wait that ended before what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl Clock {
    /// The clock of this machine.
    pub fn system() -> Self {
        Self { source: Source::System(Instant::now()) }
    }

    /// A clock that stands still until the hand that comes with it is turned.
    pub fn mock(now: UnixSeconds) -> (Self, Hand) {
        let time = Time { wall: Duration::from_secs(now.0), passed: Duration::ZERO };
        let sender = Arc::new(watch::Sender::new(time));
        let hand = Hand { sender: Arc::clone(&sender) };
        (Self { source: Source::Mock(sender) }, hand)
    }

    /// The time of day, as it is told to others. It may jump when somebody sets the clock.
    pub fn now(&self) -> UnixSeconds {
        UnixSeconds(self.since_1970().as_secs())
    }

    /// As [`Self::now`], with parts of a second: for what is shown to people, not for statements.
    pub fn since_1970(&self) -> Duration {
        match &self.source {
            Source::System(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Source::Mock(time) => time.borrow().wall,
        }
    }

    /// The present moment, for measuring how much time passes.
    pub fn moment(&self) -> Moment {
        Moment(match &self.source {
            Source::System(start) => start.elapsed(),
            Source::Mock(time) => time.borrow().passed,
        })
    }

    /// Waits for so much time to pass.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.moment().after(time)).await;
    }

    /// Waits for a moment.
    pub async fn sleep_until(&self, moment: Moment) {
        match &self.source {
            Source::System(_) => loop {
                let left = moment.since(self.moment());
                if left.is_zero() {
                    return;
                }
                // For a moment after the last instant of the operating system, tokio sleeps for some
                // decades.
                tokio::time::sleep(left).await;
            },
            Source::Mock(time) => {
                // The clock itself keeps the sender alive, so this ends only when it is time.
                let _ = time.subscribe().wait_for(|time| time.passed >= moment.0).await;
            }
        }
    }

    /// Waits for `future`, but not for longer than so much time.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub async fn timeout<T>(
        &self,
        time: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, TimedOut> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep(time) => Err(TimedOut),
        }
    }
}

/// What turns a mock clock.
#[derive(Clone, Debug)]
pub struct Hand {
    sender: Arc<watch::Sender<Time>>,
}

impl Hand {
    /// Lets so much time pass: whoever waited for it goes on.
    pub fn advance(&self, time: Duration) {
        self.sender.send_modify(|now| {
            now.wall = now.wall.saturating_add(time);
            now.passed = now.passed.saturating_add(time);
        });
    }

    /// Sets the time of day, forwards or back. No time passes.
    pub fn set(&self, now: UnixSeconds) {
        self.sender.send_modify(|time| time.wall = Duration::from_secs(now.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_wait_ends_when_its_time_has_passed_and_not_when_the_clock_is_set() {
        let (clock, hand) = Clock::mock(UnixSeconds(5));
        let start = clock.moment();
        let sleeper = clock.clone();
        let waiting = tokio::spawn(async move { sleeper.sleep(HOUR).await });
        hand.set(UnixSeconds(1_000_000));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert_eq!(clock.now(), UnixSeconds(1_000_000));
        hand.advance(HOUR);
        waiting.await.unwrap();
        assert_eq!(clock.now(), UnixSeconds(1_003_600));
        assert_eq!(clock.moment().since(start), HOUR);
    }

    #[tokio::test]
    async fn a_timeout_ends_what_takes_too_long_and_nothing_else() {
        let (clock, hand) = Clock::mock(UnixSeconds(0));
        assert_eq!(clock.timeout(HOUR, async { 7 }).await, Ok(7));
        let waiter = clock.clone();
        let waiting =
            tokio::spawn(async move { waiter.timeout(HOUR, std::future::pending::<()>()).await });
        tokio::task::yield_now().await;
        hand.advance(HOUR);
        assert_eq!(waiting.await.unwrap(), Err(TimedOut));
    }

    #[tokio::test]
    async fn no_wait_is_too_long() {
        let (mock, hand) = Clock::mock(UnixSeconds(u64::MAX));
        assert_eq!(mock.now(), UnixSeconds(u64::MAX));
        hand.advance(Duration::MAX);
        assert_eq!(mock.now(), UnixSeconds(u64::MAX));
        assert_eq!(mock.moment().after(Duration::MAX).since(mock.moment()), Duration::ZERO);
        // Around the ends of the types that the operating system and tokio count in.
        let ends = [u64::MAX, i64::MAX as u64, i64::MAX as u64 / 1000, u64::MAX / 1000];
        let (mock, system) = (Clock::mock(UnixSeconds(0)).0, Clock::system());
        for end in ends.map(Duration::from_secs).into_iter().chain([Duration::MAX]) {
            for less in [0, 1, 100, 10_000_000] {
                let wait = end.saturating_sub(Duration::from_secs(less));
                for clock in [&mock, &system] {
                    let moment = Duration::from_millis(1);
                    let slept = tokio::time::timeout(moment, clock.sleep(wait)).await;
                    assert!(slept.is_err(), "{wait:?} are not over");
                    let waited = tokio::time::timeout(
                        moment,
                        clock.timeout(wait, std::future::pending::<()>()),
                    );
                    assert!(waited.await.is_err(), "{wait:?} are not over");
                }
            }
        }
    }

    #[tokio::test]
    async fn this_machines_clock_moves() {
        let clock = Clock::system();
        let start = clock.moment();
        clock.sleep(Duration::from_millis(5)).await;
        assert!(clock.moment().since(start) >= Duration::from_millis(5));
        assert!(clock.now() > UnixSeconds(1_700_000_000));
    }
}
