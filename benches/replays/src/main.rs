//! `cargo run --release -p ringfence-replays`: replays with outages, and what they come to.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use ringfence_replays::{Counts, ProcessCounts, Size, Total, processes, replay};

/// Replays whole studies in which sites and aggregator are cut off, killed and brought back.
///
/// First in this process, on a mock clock; then with the programs that are built beside this one
/// (`cargo build --release`), in real time.
#[derive(Debug, Parser)]
struct Arguments {
    /// Replays in this process.
    #[arg(long, default_value_t = 1000)]
    replays: u64,
    /// Studies of real processes.
    #[arg(long, default_value_t = 20)]
    processes: u64,
    /// The seed of the first of each; those after it follow. One that fails is played again, alone, by
    /// its seed and --replays 1.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sites of a study.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(3..=100))]
    sites: u8,
    /// Rounds of a study.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print rows as JSON: name, value, target, better.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let size = Size { sites: arguments.sites.into(), rounds: arguments.rounds };
    let mut total = Total::new(size);
    let mut failures = 0;
    let mut note = |seed: u64, played: anyhow::Result<String>| match played {
        Ok(line) => eprintln!("seed {seed}: {line}"),
        Err(error) => {
            failures += 1;
            eprintln!("seed {seed} FAILED: {error:#}");
        }
    };
    for seed in (arguments.seed..).take(usize::try_from(arguments.replays)?) {
        let began = Instant::now();
        let played = replay(seed, size).map(|counts: Counts| {
            let line = counts.line(began.elapsed());
            total.add(counts);
            line
        });
        note(seed, played);
    }
    let folder = programs()?;
    for seed in (arguments.seed..).take(usize::try_from(arguments.processes)?) {
        let played = processes(&folder, seed, size).map(|counts: ProcessCounts| {
            let line = counts.line();
            total.add_processes(counts);
            line
        });
        note(seed, played);
    }
    let rows = total.rows((arguments.replays, arguments.processes));
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&rows)?),
        false => rows.iter().for_each(|row| println!("{row}")),
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the programs lie that are built with this one.
fn programs() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(own.parent().context("this program lies in no folder")?.to_owned())
}
