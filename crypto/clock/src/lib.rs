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

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringfence_crypto::id::UnixSeconds;
use tokio::sync::oneshot;

/// A clock: what time it is, how much time passes, and waiting for it to pass.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    /// How far the time of day is ahead of what the source shows.
    ahead: Option<Ahead>,
}

/// How far another clock, which several machines go by, is ahead of this machine's: found out again
/// and again by whoever can read it. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Ahead(Arc<AtomicI64>);

impl Ahead {
    /// The other clock shows this time when this machine's shows that, both since 1970.
    pub fn set(&self, other: Duration, own: Duration) {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self.0.store(micros(other).saturating_sub(micros(own)), Ordering::Relaxed);
    }

    /// A time of day by the other clock.
    fn corrected(&self, own: Duration) -> Duration {
        let micros = self.0.load(Ordering::Relaxed);
        let apart = Duration::from_micros(micros.unsigned_abs());
        match micros < 0 {
            true => own.saturating_sub(apart),
            false => own.saturating_add(apart),
        }
    }
}

#[derive(Clone, Debug)]
enum Source {
    /// This machine's clock; moments count from here.
    System(Instant),
    /// A hand that a test turns.
    Mock(Arc<Mutex<Time>>),
}

/// What a mock clock shows, and who sleeps by it.
#[derive(Debug)]
struct Time {
    /// Time of day, since 1970. It may be set, forwards and back.
    wall: Duration,
    /// Time that has passed since the clock was made. It only grows.
    passed: Duration,
    /// Who is to be woken when so much time has passed; the number tells sleepers apart.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    /// How many have ever slept.
    slept: u64,
}

/// The place of one that sleeps by a mock clock; dropping it, as one does that waits no longer, makes
/// it free.
struct Sleeper {
    time: Arc<Mutex<Time>>,
    place: (Duration, u64),
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        locked(&self.time).sleepers.remove(&self.place);
    }
}

fn locked(time: &Mutex<Time>) -> MutexGuard<'_, Time> {
    time.lock().unwrap_or_else(PoisonError::into_inner)
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
        Self { source: Source::System(Instant::now()), ahead: None }
    }

    /// A clock that stands still until the hand that comes with it is turned.
    pub fn mock(now: UnixSeconds) -> (Self, Hand) {
        let (wall, passed) = (Duration::from_secs(now.0), Duration::ZERO);
        let time = Time { wall, passed, sleepers: BTreeMap::new(), slept: 0 };
        let time = Arc::new(Mutex::new(time));
        let hand = Hand { time: Arc::clone(&time) };
        (Self { source: Source::Mock(time), ahead: None }, hand)
    }

    /// The same clock, but for the time of day: that one is another clock's. How much time passes is
    /// still this machine's affair, so that nobody who sets the other clock ends or prolongs a wait.
    #[must_use]
    pub fn by(&self, ahead: Ahead) -> Self {
        Self { ahead: Some(ahead), ..self.clone() }
    }

    /// The time of day, as it is told to others. It may jump when somebody sets the clock.
    pub fn now(&self) -> UnixSeconds {
        UnixSeconds(self.since_1970().as_secs())
    }

    /// As [`Self::now`], with parts of a second: for what is shown to people, not for statements.
    pub fn since_1970(&self) -> Duration {
        let own = match &self.source {
            Source::System(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Source::Mock(time) => locked(time).wall,
        };
        self.ahead.as_ref().map_or(own, |ahead| ahead.corrected(own))
    }

    /// The present moment, for measuring how much time passes.
    pub fn moment(&self) -> Moment {
        Moment(match &self.source {
            Source::System(start) => start.elapsed(),
            Source::Mock(time) => locked(time).passed,
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
                let (sleeper, woken) = {
                    let mut now = locked(time);
                    if now.passed >= moment.0 {
                        return;
                    }
                    let (wake, woken) = oneshot::channel();
                    now.slept += 1;
                    let place = (moment.0, now.slept);
                    now.sleepers.insert(place, wake);
                    (Sleeper { time: Arc::clone(time), place }, woken)
                };
                // The clock keeps the other end until it is time.
                let _ = woken.await;
                drop(sleeper);
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
    time: Arc<Mutex<Time>>,
}

impl Hand {
    /// Lets so much time pass: whoever waited for it goes on.
    pub fn advance(&self, time: Duration) {
        let mut now = locked(&self.time);
        now.wall = now.wall.saturating_add(time);
        now.passed = now.passed.saturating_add(time);
        let passed = now.passed;
        while let Some(first) = now.sleepers.first_entry().filter(|first| first.key().0 <= passed) {
            // Whoever waits no longer is not there to hear it.
            let _ = first.remove().send(());
        }
    }

    /// Sets the time of day, forwards or back. No time passes.
    pub fn set(&self, now: UnixSeconds) {
        locked(&self.time).wall = Duration::from_secs(now.0);
    }

    /// The earliest moment that somebody sleeps until: where everything rests, nothing happens before
    /// it. None where nobody sleeps.
    pub fn earliest(&self) -> Option<Moment> {
        locked(&self.time).sleepers.keys().next().map(|(moment, _)| Moment(*moment))
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
    async fn the_hand_says_who_wakes_first_and_forgets_who_waits_no_longer() {
        let (clock, hand) = Clock::mock(UnixSeconds(0));
        let start = clock.moment();
        assert_eq!(hand.earliest(), None);
        let (sooner, later) = (clock.clone(), clock.clone());
        let later = tokio::spawn(async move { later.sleep(2 * HOUR).await });
        let sooner = tokio::spawn(async move { sooner.sleep(HOUR).await });
        tokio::task::yield_now().await;
        assert_eq!(hand.earliest(), Some(start.after(HOUR)));
        sooner.abort();
        assert!(sooner.await.is_err());
        assert_eq!(hand.earliest(), Some(start.after(2 * HOUR)));
        hand.advance(3 * HOUR);
        later.await.unwrap();
        assert_eq!(hand.earliest(), None);
        // A moment that has come is not waited for.
        clock.sleep_until(start).await;
    }

    #[tokio::test]
    async fn two_machines_that_go_by_one_clock_show_one_time() {
        let seconds = Duration::from_secs;
        // One is 100 s behind, the other 7 s ahead.
        for own in [900, 1007] {
            let (clock, hand) = Clock::mock(UnixSeconds(own));
            let ahead = Ahead::default();
            let common = clock.by(ahead.clone());
            assert_eq!(common.now(), UnixSeconds(own), "until the other one is read");
            ahead.set(seconds(1000), seconds(own));
            assert_eq!(common.now(), UnixSeconds(1000));
            let start = common.moment();
            hand.advance(seconds(5));
            assert_eq!(common.now(), UnixSeconds(1005));
            // The other one is set: time passes as before.
            ahead.set(seconds(500), seconds(own + 5));
            assert_eq!(common.now(), UnixSeconds(500));
            assert_eq!(common.moment().since(start), seconds(5));
            assert_eq!(clock.now(), UnixSeconds(own + 5));
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
