//! What rounds of many sites cost the aggregator: all sites in this process, the aggregator's own
//! binary, HTTP on loopback. `sites SITES ROUNDS VALUES [ABSENT]`; docs/benchmarks.md has figures.
//!
//! A process may have few files open, and needs one for each connection: `ulimit -n 20000`.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ringfence_clock::Clock;
use ringfence_crypto::statement::{Training, Weighting};
use ringfence_federation::{Faults, Federation, FederationOptions, FederationSetup};
use ringfence_weights::{MeanStep, Weights};

/// Ticks a second of `/proc`'s CPU times, the same on every Linux.
const TICKS: f64 = 100.0;

/// How long a round may take: it ends as soon as all have come.
const PATIENCE: Duration = Duration::from_secs(900);

/// CPU-seconds of a process, and what it holds in memory, in MB.
fn taken(pid: u32) -> anyhow::Result<(f64, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("expected /proc/PID/stat")?;
    let mut ticks = 0.0;
    for field in fields.split_whitespace().skip(11).take(2) {
        ticks += field.parse::<f64>()?;
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let held = held.and_then(|held| held.split_whitespace().next()).context("expected VmRSS")?;
    Ok((ticks / TICKS, held.parse::<f64>()? / 1000.0))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Result<Vec<usize>, _> = words.iter().map(|word| word.parse()).collect();
    let (sites, rounds, values, absent) = match numbers.as_deref() {
        Ok([sites, rounds, values]) => (*sites, *rounds, *values, 0),
        Ok([sites, rounds, values, absent]) if absent < sites => {
            (*sites, *rounds, *values, *absent)
        }
        _ => bail!(
            "expected SITES ROUNDS VALUES [ABSENT], fewer absent than there are, got {words:?}"
        ),
    };
    // Every site has a connection or two, all from one address.
    for limit in ["RINGFENCE_MAX_CONNECTIONS", "RINGFENCE_MAX_CONNECTIONS_PER_ADDRESS"] {
        if std::env::var_os(limit).is_none() {
            bail!("set {limit}={} for the aggregator", 4 * sites);
        }
    }
    let folder = tempfile::tempdir()?;
    let setup = FederationSetup {
        names: (0..sites).map(|k| format!("site-{k}")).collect(),
        initial: Weights::from_values(&[("w".into(), vec![values])], vec![0.25; values])?,
        mean_step: MeanStep::Add,
        training: Training::None,
        options: FederationOptions {
            bits: 16,
            clip: 0.5,
            weighting: Weighting::Equal,
            round_seconds: u32::try_from(PATIENCE.as_secs())?,
            patience: PATIENCE,
        },
        faults: Faults::default(),
        rounds: u32::try_from(rounds)?,
        clock: Clock::system(),
    };
    let began = Instant::now();
    let mut federation = Federation::start(folder.path(), setup).await?;
    let pid = federation.aggregator().pid();
    let (mut before, held) = taken(pid)?;
    let threshold = &federation.study().threshold;
    println!(
        "{sites} sites joined in {:.1} s; the aggregator took {before:.2} s of CPU and holds {held:.0} MB; m = {}, Q = {}, t = {}",
        began.elapsed().as_secs_f64(),
        threshold.holders,
        threshold.endorsements,
        threshold.opening
    );
    for round in 0..rounds {
        // The last ones on the ring hold no keys in the first rounds.
        let update = |site: usize| {
            let value = 0.0001 * (site % 1000) as f32;
            (site < sites - absent).then(|| vec![value; values])
        };
        let updates: Vec<Option<Vec<f32>>> = (0..sites).map(update).collect();
        let began = Instant::now();
        let report = federation.round(&updates).await?;
        let (now, held) = taken(pid)?;
        println!(
            "round {round}: {} contributions, {} wrong values, {:.1} s; the aggregator took {:.2} s of CPU and holds {held:.0} MB",
            report.contributions,
            report.mismatches,
            began.elapsed().as_secs_f64(),
            now - before
        );
        before = now;
    }
    Ok(())
}
