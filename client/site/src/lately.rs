//! What was done a moment ago and need not be done again yet.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ringfence_clock::Moment;

/// When something was done last.
#[derive(Debug, Default)]
pub(crate) struct Lately(Mutex<Option<Moment>>);

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
