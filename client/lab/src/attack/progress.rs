//! How far the attacks are, and how long the rest takes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ringfence_options::duration;

use super::terms::{AttackName, Stage};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Counts results. What is left of an attack is taken to be as slow as what was made of it; of one
/// that has not begun nothing is known.
pub(super) struct Progress {
    started: Instant,
    state: Mutex<State>,
}

struct State {
    said: Instant,
    attacks: BTreeMap<&'static str, Pace>,
}

#[derive(Clone, Copy, Default)]
struct Pace {
    planned: usize,
    done: usize,
    took: Duration,
}

impl Progress {
    pub(super) fn new() -> Self {
        let started = Instant::now();
        Self { started, state: Mutex::new(State { said: started, attacks: BTreeMap::new() }) }
    }

    /// So many results of an attack are to be made.
    pub(super) fn plan(&self, attack: AttackName, results: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.attacks.entry(attack.name()).or_default().planned = results;
    }

    /// One is made.
    pub(super) fn ended(&self, attack: AttackName, stage: Stage, took: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = state.attacks.entry(attack.name()).or_default();
        pace.done += 1;
        pace.took += took;
        if state.said.elapsed() >= INTERVAL {
            state.said = Instant::now();
            let all = || state.attacks.values();
            let (done, planned) = (
                all().map(|pace| pace.done).sum::<usize>(),
                all().map(|pace| pace.planned).sum::<usize>(),
            );
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let left: Duration = all().map(|pace| pace.left(threads)).sum();
            let unknown = all().any(|pace| pace.done == 0 && pace.planned > 0);
            let beside = if unknown { ", and attacks that have not begun" } else { "" };
            eprintln!(
                "after {}: {done} of {planned} results, about {} left{beside}; now {attack}, {stage}",
                duration(self.started.elapsed()),
                duration(left)
            );
        }
    }
}

impl Pace {
    fn left(self, threads: usize) -> Duration {
        let left = self.planned.saturating_sub(self.done) as f64;
        let each = self.took.as_secs_f64() / self.done.max(1) as f64;
        Duration::try_from_secs_f64(left * each / threads.max(1) as f64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_as_slow_as_what_was_done() {
        let pace = Pace { planned: 10, done: 4, took: Duration::from_secs(8) };
        assert_eq!(pace.left(2), Duration::from_secs(6));
        assert_eq!(Pace { planned: 5, ..Pace::default() }.left(2), Duration::ZERO);
    }
}
