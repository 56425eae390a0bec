//! How far an experiment is. On a terminal the bars say it; elsewhere (a log, a batch system) a line
//! a minute does.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ringfence_options::duration;
use ringfence_words::counted;

use super::run::Key;

/// Runs that are to be made, and how many of these are done. Kept runs take no time and count on
/// neither side, so that the pace is right after an interruption.
#[derive(Debug)]
pub(super) struct Progress {
    state: Arc<Mutex<State>>,
    /// Dropped to end the thread that prints.
    _ends: Sender<()>,
}

#[derive(Debug)]
struct State {
    started: Instant,
    planned: f64,
    done: f64,
    now: Option<Key>,
    /// The run that ended last, and how long it took.
    last: Option<(Key, Duration)>,
}

impl Progress {
    /// Of so many runs to come; a line every `interval` where standard error is no terminal.
    pub(super) fn new(runs: usize, interval: Duration) -> Self {
        let planned = runs as f64;
        let state = State { started: Instant::now(), planned, done: 0.0, now: None, last: None };
        let state = Arc::new(Mutex::new(state));
        let (ends, ended) = channel::<()>();
        if !stderr().is_terminal() {
            let state = Arc::clone(&state);
            thread::spawn(move || {
                while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    eprintln!("{}", lock(&state));
                }
            });
        }
        Self { state, _ends: ends }
    }

    /// This run trains now.
    pub(super) fn run(&self, key: Key) {
        lock(&self.state).now = Some(key);
    }

    /// This run has ended, after so long.
    pub(super) fn ended(&self, key: Key, took: Duration) {
        let mut state = lock(&self.state);
        (state.now, state.last) = (None, Some((key, took)));
    }

    /// This part of a run is done.
    pub(super) fn part(&self, of_run: f64) {
        lock(&self.state).done += of_run;
    }

    /// On a terminal, where no line comes by itself: the time until the end, at the pace so far.
    pub(super) fn say_left(&self) {
        let left = lock(&self.state).left().filter(|left| !left.is_zero());
        if let Some(left) = left.filter(|_| stderr().is_terminal()) {
            eprintln!("about {} left", duration(left));
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn left(&self) -> Option<Duration> {
        left(self.started.elapsed(), self.done, self.planned)
    }
}

/// What is left of a work that took `elapsed` for `done` of `planned`.
fn left(elapsed: Duration, done: f64, planned: f64) -> Option<Duration> {
    let seconds = elapsed.as_secs_f64() * (planned - done).max(0.0) / done;
    (done > 0.0).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = duration(self.started.elapsed());
        // A sum of parts may miss a whole number by a rounding error.
        let whole = (self.done + 1e-6).floor();
        let percent = 100.0 * self.done / self.planned.max(1.0);
        let planned = counted(self.planned.round() as u64, "run");
        write!(f, "after {after}: {whole:.0} of {planned}, {percent:.0} %")?;
        match self.left() {
            Some(left) => write!(f, ", about {} left", duration(left))?,
            None => write!(f, ", time left not known yet")?,
        }
        match (self.now, &self.last) {
            (Some(key), _) => write!(f, "; now {key}"),
            (None, Some((key, took))) => write!(f, "; {key} is done, in {}", duration(*took)),
            (None, None) => write!(f, "; reading images"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::method::MethodName;

    #[test]
    fn only_what_was_done_now_counts_for_the_pace() {
        let of = |seconds, done, planned| left(Duration::from_secs(seconds), done, planned);
        assert_eq!(of(60, 0.0, 12.0), None);
        assert_eq!(of(60, 3.0, 12.0), Some(Duration::from_secs(180)));
        assert_eq!(of(60, 0.5, 1.0), Some(Duration::from_secs(60)));
        assert_eq!(of(60, 12.0, 12.0), Some(Duration::ZERO));
        let progress = Progress::new(4, Duration::from_secs(3600));
        assert!(lock(&progress.state).left().is_none());
        let line = lock(&progress.state).to_string();
        assert_eq!(line, "after 0 s: 0 of 4 runs, 0 %, time left not known yet; reading images");
        let key = Key { method: MethodName::Fedavg, seed: 1, encrypted: false, level: None };
        progress.run(key);
        assert!(lock(&progress.state).to_string().ends_with(&format!("; now {key}")));
        progress.ended(key, Duration::from_secs(125));
        let line = lock(&progress.state).to_string();
        assert!(line.ends_with(&format!("; {key} is done, in 2 min")), "{line}");
        progress.part(4.0);
        assert_eq!(lock(&progress.state).left(), Some(Duration::ZERO));
    }
}
