//! What was done a moment ago and need not be done again yet.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ringfence_clock::Moment;

/// When something was done last.
#[derive(Debug, Default)]
pub(crate) struct Lately(Mutex<Option<Moment>>);

/// The same for one thing of many: the last one.
#[derive(Debug)]
pub(crate) struct LatelyOf<T>(Mutex<Option<(T, Moment)>>);

/// What was said last, and when.
#[derive(Debug)]
pub(crate) struct LatelySaid<T>(Mutex<Option<(T, Moment)>>);

impl<T> Default for LatelySaid<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Copy> LatelySaid<T> {
    /// Notes what is said now.
    pub(crate) fn say(&self, said: T, now: Moment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((said, now));
    }

    /// What was said less than so long ago.
    pub(crate) fn within(&self, time: Duration, now: Moment) -> Option<T> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|(_, when)| now.since(*when) < time).map(|(said, _)| said)
    }
}

impl<T> Default for LatelyOf<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: PartialEq> LatelyOf<T> {
    /// Notes that it is done now for this one.
    pub(crate) fn done(&self, of: T, now: Moment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((of, now));
    }

    /// Whether it was done less than so long ago for this one.
    pub(crate) fn is_within(&self, of: &T, time: Duration, now: Moment) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|(last, when)| last == of && now.since(*when) < time)
    }
}

impl Lately {
    /// Notes that it is done now.
    pub(crate) fn done(&self, now: Moment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Whether it was done less than so long ago.
    pub(crate) fn is_within(&self, time: Duration, now: Moment) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| now.since(last) < time)
    }
}
