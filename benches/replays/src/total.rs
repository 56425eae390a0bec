//! What all replays come to, as rows.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::processes::ProcessCounts;
use crate::replay::Size;
use crate::tally::Counts;

/// One figure, and what it must be.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// What it must reach, or not exceed; none where nothing is asked of it.
    pub target: Option<f64>,
    /// `higher` or `lower`.
    pub better: &'static str,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, target, better } = self;
        write!(f, "{name:<58} {value:>10}")?;
        match target {
            Some(target) if *better == "higher" => write!(f, "  (at least {target})"),
            Some(target) => write!(f, "  (at most {target})"),
            None => Ok(()),
        }
    }
}

/// All replays together.
#[derive(Debug)]
pub struct Total {
    size: Size,
    replays: Vec<Counts>,
    processes: Vec<ProcessCounts>,
}

impl Counts {
    /// What is said of one replay.
    #[must_use]
    pub fn line(&self, took: Duration) -> String {
        let Self { hours, cuts, cut_requests, kills, power_cuts, aggregator_kills, .. } = self;
        let Self { dead, epochs, epochs_again, means, dead_site_cost, dead_holder_cost, .. } = self;
        let gone = match dead {
            0 => String::new(),
            _ => format!("; a site gone, at {dead_site_cost} s and {dead_holder_cost} s a round"),
        };
        format!(
            "{hours:.1} h in {:.1} s: {cuts} cuts ({cut_requests} in a request), {kills} kills ({power_cuts} power cuts), {aggregator_kills} of the aggregator; {epochs_again} of {epochs} epochs again; {means} means{gone}",
            took.as_secs_f64()
        )
    }
}

impl ProcessCounts {
    /// What is said of one study.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { kills, cuts, aggregator_kills, epochs_again, means, seconds } = self;
        format!(
            "processes, {seconds:.0} s: {cuts} cuts, {kills} kills, {aggregator_kills} of the aggregator; {epochs_again} epochs again; {means} means"
        )
    }
}

impl Total {
    /// Of studies of this size; none has been played.
    #[must_use]
    pub fn new(size: Size) -> Self {
        Self { size, replays: Vec::new(), processes: Vec::new() }
    }

    /// Adds a replay that is as it must be.
    pub fn add(&mut self, counts: Counts) {
        self.replays.push(counts);
    }

    /// Adds a study of processes that is as it must be.
    pub fn add_processes(&mut self, counts: ProcessCounts) {
        self.processes.push(counts);
    }

    /// The figures, where so many replays and studies of processes were asked for.
    #[must_use]
    pub fn rows(&self, (replays, processes): (u64, u64)) -> Vec<Row> {
        let sum = |of: fn(&Counts) -> u32| self.replays.iter().map(of).map(f64::from).sum::<f64>();
        let most = |of: fn(&Counts) -> u64| self.replays.iter().map(of).max().unwrap_or(0) as f64;
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let of = |of: fn(&ProcessCounts) -> u32| {
            self.processes.iter().map(of).map(f64::from).sum::<f64>()
        };
        let Size { sites, rounds } = self.size;
        let row = |name: &str, value, target, better| {
            let name = format!("{name}, {sites} sites, {rounds} rounds");
            Row { name, value, target, better }
        };
        let kills = sum(|counts| counts.kills);
        let finished = self.replays.len() as f64;
        vec![
            row("replays that finished", finished, Some(replays as f64), "higher"),
            row("replays: sites cut off", sum(|counts| counts.cuts), None, "higher"),
            row(
                "replays: in the middle of a request",
                sum(|counts| counts.cut_requests),
                None,
                "higher",
            ),
            row("replays: sites killed", kills, None, "higher"),
            row(
                "replays: aggregators killed",
                sum(|counts| counts.aggregator_kills),
                None,
                "higher",
            ),
            row("replays: means opened", sum(|counts| counts.means), None, "higher"),
            row("replays: wrong means", sum(|counts| counts.wrong_means), Some(0.0), "lower"),
            row(
                "replays: epochs lost a kill",
                ratio(sum(|counts| counts.epochs_again), kills),
                Some(1.0),
                "lower",
            ),
            row(
                "replays: living sites left out",
                sum(|counts| counts.left_out),
                Some(0.0),
                "lower",
            ),
            row("replays: sites named", sum(|counts| counts.named), Some(0.0), "lower"),
            row(
                "replays: seconds a later round waits for a dead site",
                most(|counts| counts.dead_site_cost),
                Some(40.0),
                "lower",
            ),
            row(
                "replays: seconds it waits for a dead holder's review",
                most(|counts| counts.dead_holder_cost),
                Some(40.0),
                "lower",
            ),
            row(
                "processes: studies that finished",
                self.processes.len() as f64,
                Some(processes as f64),
                "higher",
            ),
            row(
                "processes: kills",
                of(|counts| counts.kills + counts.aggregator_kills),
                None,
                "higher",
            ),
            row("processes: means opened, all plain", of(|counts| counts.means), None, "higher"),
            row(
                "processes: epochs lost a kill",
                ratio(of(|counts| counts.epochs_again), of(|counts| counts.kills)),
                Some(1.0),
                "lower",
            ),
        ]
    }
}
