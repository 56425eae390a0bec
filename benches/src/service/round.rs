//! Whole rounds of five sites beside the plain service's, at one size.

use anyhow::Context;
use tokio::runtime::Handle;

use super::federation::{Plain, Round, SITES, Service};
use super::process::{Programs, Watch, strace_is_there};
use super::relay::{Passed, Relay};
use super::ringfence::Ringfence;
use super::row::{Better, Row, at_most, shown};
use super::updates::Updates;
use crate::schemes::workload::median;

/// A site's line, each direction.
const LINE: f64 = 100e6;

/// Most seconds of a round on loopback, by values.
const SECONDS: [(usize, f64); 3] = [(100_000, 0.2), (1_000_000, 0.45), (10_000_000, 2.5)];

/// From here on a round's time over a hospital's line has a target.
const LARGE: usize = 1_000_000;

/// What was measured of one size.
pub(super) struct Measured {
    /// The rows.
    pub(super) rows: Vec<Row>,
    /// CPU-seconds of our round.
    pub(super) cpu: f64,
}

/// Rounds over loopback and over lines of 100 Mbit/s, by turns.
#[derive(Default)]
struct Turns {
    ours: Vec<Round>,
    plain: Vec<Round>,
}

impl Turns {
    fn median(of: &[Round], figure: fn(&Round) -> f64) -> f64 {
        median(of.iter().map(figure).collect())
    }

    /// Median of the turns' ratios of a figure.
    fn ratio(&self, figure: fn(&Round) -> f64) -> f64 {
        let pairs = self.ours.iter().zip(&self.plain);
        median(pairs.map(|(ours, plain)| figure(ours) / figure(plain)).collect())
    }
}

/// Measures rounds of so many values, `repetitions` of each kind.
///
/// # Errors
/// When a round fails, or a mean is not the plain one.
pub(super) fn run(
    programs: &Programs,
    runtime: &Handle,
    values: usize,
    repetitions: usize,
) -> anyhow::Result<Measured> {
    let folder = tempfile::tempdir()?;
    let updates = Updates::make(folder.path(), values)?;
    let ours = Ringfence::start(programs, folder.path(), "none")?;
    let plain = Plain::start(programs, folder.path())?;
    let nothing = |_| Watch::Nothing;
    let mut next = 0;
    let mut number = || {
        next += 1;
        next - 1
    };
    // Nothing is timed before the means are right.
    let first = number();
    ours.round(first, None, nothing)?;
    plain.round(first, None, nothing)?;
    updates.check(&ours, first)?;
    updates.check(&plain, first)?;

    let lines = |server, rate| -> std::io::Result<Vec<Relay>> {
        (0..SITES).map(|_| Relay::start(runtime, server, rate)).collect()
    };
    let addresses = |lines: &[Relay]| lines.iter().map(|line| line.address).collect::<Vec<_>>();
    let counting = lines(ours.server().address, None)?;
    // The plain service is run along with ours in every round: its files have the same numbers.
    let counted = number();
    let watched = ours.round(counted, Some(&addresses(&counting)), |_| Watch::Memory)?;
    let passed: Vec<Passed> = counting.iter().map(Relay::take).collect();
    plain.round(counted, None, nothing)?;
    let syncs = match strace_is_there() {
        true => {
            let traced = number();
            let watch = |site: usize| Watch::Syncs(folder.path().join(format!("strace-{site}")));
            let round = ours.round(traced, None, watch)?;
            plain.round(traced, None, nothing)?;
            round.watched.iter().map(|site| site.syncs).max()
        }
        false => {
            eprintln!("  no row of fsyncs: strace cannot be started");
            None
        }
    };

    let (mut loopback, mut narrow) = (Turns::default(), Turns::default());
    let narrow_ours = lines(ours.server().address, Some(LINE))?;
    let narrow_plain = lines(plain.server().address, Some(LINE))?;
    let (over_ours, over_plain) = (addresses(&narrow_ours), addresses(&narrow_plain));
    for _ in 0..repetitions {
        let turn = number();
        loopback.plain.push(plain.round(turn, None, nothing)?);
        loopback.ours.push(ours.round(turn, None, nothing)?);
        let turn = number();
        narrow.plain.push(plain.round(turn, Some(&over_plain), nothing)?);
        narrow.ours.push(ours.round(turn, Some(&over_ours), nothing)?);
        updates.check(&ours, turn)?;
    }
    let rows = Rows { values, loopback, narrow, passed, syncs, watched };
    Ok(Measured {
        cpu: Turns::median(&rows.loopback.ours, |round: &Round| round.cpu),
        rows: rows.all(ours.planned(values)?)?,
    })
}

struct Rows {
    values: usize,
    loopback: Turns,
    narrow: Turns,
    passed: Vec<Passed>,
    syncs: Option<u64>,
    watched: Round,
}

impl Rows {
    fn all(&self, [up, down]: [f64; 2]) -> anyhow::Result<Vec<Row>> {
        let values = self.values;
        let name = |what: &str| format!("round, {values} values: {what}");
        let bound = |name: String, value: f64, most: Option<f64>| match most {
            Some(most) => at_most(&name, value, most),
            None => shown(&name, value, Better::Lower),
        };
        let [loopback, narrow] = [&self.loopback, &self.narrow];
        let seconds: fn(&Round) -> f64 = |round| round.seconds;
        let most = SECONDS.iter().find(|(of, _)| *of == values).map(|(_, most)| *most);
        let at_large = (values >= LARGE).then_some(1.1);
        let median = Turns::median;
        let mut rows = vec![
            bound(name("s, loopback"), median(&loopback.ours, seconds), most),
            bound(name("the plain service's s, loopback"), median(&loopback.plain, seconds), None),
            bound(name("time over the plain service's, loopback"), loopback.ratio(seconds), None),
            bound(name("s, lines of 100 Mbit/s"), median(&narrow.ours, seconds), None),
            bound(
                name("the plain service's s, lines of 100 Mbit/s"),
                median(&narrow.plain, seconds),
                None,
            ),
            bound(
                name("time over the plain service's, lines of 100 Mbit/s"),
                narrow.ratio(seconds),
                at_large,
            ),
            bound(
                name("CPU-seconds, loopback"),
                median(&loopback.ours, |round: &Round| round.cpu),
                None,
            ),
            bound(
                name("the plain service's CPU-seconds, loopback"),
                median(&loopback.plain, |round: &Round| round.cpu),
                None,
            ),
        ];
        let most_of = |figure: fn(&Passed) -> u64| self.passed.iter().map(figure).max();
        let count = |most: Option<u64>| most.map(|most| most as f64).context("no sites");
        let in_sequence = count(most_of(|passed| passed.in_sequence))?;
        let requests = count(most_of(|passed| passed.requests))?;
        let long_polls = count(most_of(|passed| passed.long_polls))?;
        rows.push(at_most(&name("requests one after the other, a site"), in_sequence, 12.0));
        rows.push(shown(&name("requests, a site"), requests, Better::Lower));
        rows.push(shown(&name("long polls, a site"), long_polls, Better::Lower));
        if let Some(syncs) = self.syncs {
            rows.push(at_most(&name("fsyncs, a site"), syncs as f64, 8.0));
        }
        let memory = self.watched.watched.iter().map(|site| site.memory).max().unwrap_or(0);
        let beyond = memory as f64 - 2.0 * 4.0 * values as f64;
        let beyond = beyond / f64::from(1 << 20);
        rows.push(at_most(&name("MiB of a site beyond model and update"), beyond, 64.0));
        let sites = self.passed.len() as f64;
        let mean = |figure: fn(&Passed) -> u64| {
            self.passed.iter().map(|passed| figure(passed) as f64).sum::<f64>() / sites
        };
        for (way, passed, planned) in
            [("up", mean(|passed| passed.up), up), ("down", mean(|passed| passed.down), down)]
        {
            let off = (passed / planned - 1.0).abs() * 100.0;
            rows.push(at_most(&name(&format!("% of traffic {way} off the plan's")), off, 2.0));
            let each = passed / values as f64;
            rows.push(shown(&name(&format!("bytes a value {way}")), each, Better::Lower));
        }
        Ok(rows)
    }
}
