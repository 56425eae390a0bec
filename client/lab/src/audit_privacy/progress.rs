//! How far the audits are: a line now and then, on a terminal or in a log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ringfence_options::duration;

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Counts runs over all audits.
pub(super) struct Progress {
    started: Instant,
    planned: usize,
    state: Mutex<State>,
}

struct State {
    said: Instant,
    done: usize,
}

impl Progress {
    pub(super) fn new(planned: usize) -> Self {
        let started = Instant::now();
        Self { started, planned, state: Mutex::new(State { said: started, done: 0 }) }
    }

    /// One run of this audit is done.
    pub(super) fn ran(&self, audit: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += 1;
        if state.said.elapsed() >= INTERVAL {
            state.said = Instant::now();
            let (after, done, planned) = (self.started.elapsed(), state.done, self.planned);
            eprintln!("after {}: {done} of {planned} runs; now {audit}", duration(after));
        }
    }
}
