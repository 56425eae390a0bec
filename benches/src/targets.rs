//! Ringfence against its own targets, each measured or computed at the size that it is stated for.
//!
//! Times are medians; every opened sum is compared with the plain one before anything is timed.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{bail, ensure};
use rayon::ThreadPool;
use ringfence_crypto::Digest;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{WordSum, block_bytes};
use ringfence_crypto::statement::Summands;
use ringfence_keys::encrypt::check::CheckKey;
use ringfence_keys::encrypt::one_time_key::{EncryptionContext, OneTimeKey};
use ringfence_keys::internals::{draw_errors, draw_noise};
use ringfence_keys::study::cost::{CostRequest, StudyCost};
use ringfence_keys::update::site_noise::discrete_gaussian::DiscreteGaussian;
use serde::Serialize;

use crate::schemes::report::digits;
use crate::schemes::ringfence::{MeasuredRound, sharing_seconds};
use crate::schemes::workload::{CLIP, median, time};
use crate::{decode, key_sum, round_of};
use ringfence_testkit::FinishedRound;

/// Parameters, sites and bits that times are stated for.
const PARAMETERS: usize = 1_000_000;
const SITES: usize = 10;
const BITS: u8 = 16;

/// Parameters of the large model: ResNet-50's.
const LARGE: usize = 25_600_000;

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
}

/// One figure of Ringfence's own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it is held against, where there is a target.
    pub target: Option<Bound>,
    /// Computed from sizes or from other figures rather than measured.
    pub computed: bool,
}

impl Figure {
    /// Whether the target is met; none without one.
    pub fn met(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Bound::AtMost(most) => self.value <= most,
            Bound::AtLeast(least) => self.value >= least,
        })
    }
}

fn measured(name: &str, value: f64, unit: &'static str, target: Option<Bound>) -> Figure {
    Figure { name: name.into(), value, unit, target, computed: false }
}

fn computed(name: String, value: f64, unit: &'static str, target: Option<Bound>) -> Figure {
    Figure { name, value, unit, target, computed: true }
}

/// Measures and computes all of them; about half a gigabyte of memory and some ten seconds.
///
/// # Errors
/// When a round fails or opens a wrong sum.
pub fn run(repetitions: usize) -> anyhow::Result<Vec<Figure>> {
    let [one, two] = [1, 2].map(pool);
    let (one, two) = (one?, two?);
    let round = one.install(|| round_of(SITES, PARAMETERS as u32))?;
    let keys = key_sum(&round);
    // Refuses a sum that is not exactly the plain one.
    decode(&round, &keys)?;
    let values: Vec<f32> = (0..PARAMETERS).map(value).collect();
    let mut body = Vec::with_capacity(round.body.len());
    let mut encrypt = || round.encrypt(black_box(&values), &mut body);
    let threads = in_turns(repetitions, |turn| {
        let pool = if turn == Turn::First { &one } else { &two };
        pool.install(|| time(RUNS, &mut encrypt).map(|(seconds, ())| seconds))
    })?;
    let mut bodies = [Vec::new(), Vec::new()];
    let apart = in_turns(repetitions, |turn| {
        let bodies = bodies.iter_mut().take(if turn == Turn::First { 1 } else { 2 });
        apart(bodies.map(|body| || round.encrypt(black_box(&values), body)))
    })?;
    let coding = in_turns(repetitions, |turn| {
        one.install(|| match turn {
            Turn::First => time(RUNS, &mut encrypt).map(|(seconds, ())| seconds),
            Turn::Second => time(RUNS, || Ok(round.open_mean(black_box(&keys)))).map(|(s, _)| s),
        })
    })?;
    let (large, body) = large_model(repetitions, [&one, &two])?;
    let memory = in_turns(repetitions, |turn| match turn {
        Turn::First => reading(&body),
        Turn::Second => adding(&round, &body),
    })?;
    let rate = |seconds: f64| body.len() as f64 / seconds / 1e9;
    let (reading, gigabytes) = (rate(memory.first), rate(memory.second));
    drop(body);
    let (whole_open, _) = one.install(|| time(repetitions, || Ok(round.open_all())))?;
    let (share, open) = one.install(|| holders(repetitions))?;
    let noise = one.install(|| noise_over_errors(repetitions))?;
    let add = round.body.len() as f64 / gigabytes / 1e9;

    let at_most = |bound: f64| Some(Bound::AtMost(bound));
    let at_least = |bound: f64| Some(Bound::AtLeast(bound));
    let mut figures = vec![
        measured("encrypt 10^6 parameters, one thread", threads.first * 1e3, "ms", at_most(10.0)),
        measured("encrypt 25.6 million parameters, one thread", large.first, "s", at_most(0.25)),
        measured("two threads over one, 10^6 parameters", 1.0 / threads.ratio, "x", at_least(1.8)),
        measured("two threads over one, 25.6 million", 1.0 / large.ratio, "x", at_least(1.8)),
        measured("two encryptions apart, a thread each", 1.0 / apart.ratio, "x", None),
        measured("add bodies of 70 MB from memory", gigabytes, "GB/s", at_least(8.0)),
        measured("reading them alone, in turns with it", reading, "GB/s", None),
        measured("decode 10^6 parameters, one thread", coding.second * 1e3, "ms", None),
        measured("decoding over encrypting, in turns", coding.ratio, "x", at_most(1.0)),
        measured("share and seal, m = 16, c = 4, l = 4, t = 8", share * 1e3, "ms", at_most(20.0)),
        measured("unseal and reconstruct, same", open * 1e3, "ms", at_most(20.0)),
        measured("errors of encryption, 2^20 of them", noise.first * 1e3, "ms", None),
        measured("noise for 2^20 values over them, in turns", noise.ratio, "x", at_most(3.0)),
    ];
    figures.extend(sizes()?);
    let cost = StudyCost::derive(request(SITES, BITS))?;
    // One after the other: nothing overlaps, no latency, the aggregator's link is no bottleneck.
    let work = threads.first + share + SITES as f64 * add + whole_open;
    figures.extend([10.0, 100.0, 1000.0].map(|rate| {
        let name = format!("a round of 10^6 parameters, {SITES} sites, links of {rate} Mbit/s");
        computed(name, work + cost.link_seconds(rate), "s", None)
    }));
    Ok(figures)
}

fn pool(threads: usize) -> anyhow::Result<ThreadPool> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build()?)
}

/// Runs of some milliseconds in a turn, after one that is not timed: threads that have slept wake
/// up on one core, and the system takes milliseconds to move one of them.
const RUNS: usize = 5;

/// Which of two steps.
#[derive(Clone, Copy, PartialEq)]
enum Turn {
    First,
    Second,
}

/// Two steps that were measured in turns.
struct Turns {
    /// Median seconds of each.
    first: f64,
    second: f64,
    /// Median over the turns of the second's time to the first's.
    ratio: f64,
}

/// Measures two steps in turns, so that whatever else the machine does, and its clock, which
/// changes from one moment to the next on a shared one, meets both.
fn in_turns(
    repetitions: usize,
    mut seconds: impl FnMut(Turn) -> anyhow::Result<f64>,
) -> anyhow::Result<Turns> {
    let turns: Vec<(f64, f64)> = (0..2 * repetitions)
        .map(|_| Ok((seconds(Turn::First)?, seconds(Turn::Second)?)))
        .collect::<anyhow::Result<_>>()?;
    let of = |figure: fn(&(f64, f64)) -> f64| median(turns.iter().map(figure).collect());
    Ok(Turns { first: of(|t| t.0), second: of(|t| t.1), ratio: of(|t| t.1 / t.0) })
}

fn value(k: usize) -> f32 {
    (k % 1000) as f32 / 1000.0 * (2.0 * CLIP) - CLIP
}

/// Encrypts a large model from memory, in turns on each of the pools; the times, and the body.
fn large_model(repetitions: usize, pools: [&ThreadPool; 2]) -> anyhow::Result<(Turns, Vec<u8>)> {
    let tensor = TensorLayout { name: "w".into(), shape: vec![LARGE as u32], clip: CLIP };
    let layout = Layout { tensors: vec![tensor] };
    let packing = Packing::derive(BITS, 0, SITES, 2)?;
    let mut rng = ringfence_keys::system_rng()?;
    let check_key = CheckKey::generate(&mut rng);
    let values: Vec<f32> = (0..LARGE).map(value).collect();
    let expected = packing.body_bytes(LARGE)?;
    let mut body = Vec::with_capacity(usize::try_from(expected)?);
    let manifest = Digest::of(b"large").into();
    let (packing, layout, check_key) = (&packing, &layout, &check_key);
    let mut encrypt = || -> anyhow::Result<()> {
        body.clear();
        let range = Summands::alike(1, packing);
        let context = EncryptionContext { manifest, packing, layout, range, check_key };
        let mut encryption = OneTimeKey::generate(&mut rng).start(context, &mut rng)?;
        encryption.update(&values, &mut body)?;
        encryption.finish(&mut body)?;
        Ok(())
    };
    pools[0].install(&mut encrypt)?;
    let turns = in_turns(repetitions.div_ceil(2), |turn| {
        let start = Instant::now();
        pools[usize::from(turn == Turn::Second)].install(&mut encrypt)?;
        Ok(start.elapsed().as_secs_f64())
    })?;
    ensure!(body.len() as u64 == expected, "a body of {} bytes, not {expected}", body.len());
    Ok((turns, body))
}

/// Blocks of the sum that the aggregator keeps in hand while bodies stream by.
const SUM_BLOCKS: usize = 20;

/// Seconds to add a body as the aggregator adds: bodies come from memory (together larger than
/// caches are), a few blocks of the sum stay.
fn adding(round: &FinishedRound, body: &[u8]) -> anyhow::Result<f64> {
    let wire_bits = round.parties.study.packing.wire_bits;
    let bytes = SUM_BLOCKS * block_bytes(wire_bits);
    let mut sum = WordSum::new(wire_bits, bytes)?;
    let (seconds, ()) = time(1, || {
        // The last part is shorter, and as good as none.
        black_box(body).chunks_exact(bytes).try_for_each(|part| Ok(sum.add(part)?))
    })?;
    black_box(sum.finish());
    Ok(seconds)
}

/// Seconds in which one thread reads a body from memory: what adding cannot beat here and now.
fn reading(body: &[u8]) -> anyhow::Result<f64> {
    let (words, _) = body.as_chunks::<8>();
    let (seconds, _) = time(1, || {
        let words = black_box(words).iter();
        Ok(words.fold(0, |sum, word| sum ^ u64::from_le_bytes(*word)))
    })?;
    Ok(seconds)
}

/// Seconds a run when steps run side by side, each on a thread of its own: what this machine gives
/// threads that have nothing to do with each other.
fn apart<S>(steps: impl Iterator<Item = S>) -> anyhow::Result<f64>
where
    S: FnMut() -> anyhow::Result<()> + Send,
{
    std::thread::scope(|scope| {
        let run = |step: S| pool(1)?.install(|| time(RUNS, step));
        let running: Vec<_> = steps.map(|step| scope.spawn(move || run(step))).collect();
        let mut rate = 0.0;
        for thread in running {
            let Ok(timed) = thread.join() else { bail!("a thread of its own has panicked") };
            rate += 1.0 / timed?.0;
        }
        Ok(1.0 / rate)
    })
}

/// Seconds to share and seal a key among 16 holders, and to put their openings together.
fn holders(repetitions: usize) -> anyhow::Result<(f64, f64)> {
    let round = round_of(16, 1)?;
    let threshold = &round.parties.study.threshold;
    let (m, c, l) = (threshold.holders, threshold.collusion, threshold.packing);
    ensure!((m, c, l, threshold.opening) == (16, 4, 4, 8), "other thresholds: {threshold:?}");
    decode(&round, &key_sum(&round))?;
    let share = sharing_seconds(&round, &[0.25], repetitions)?;
    let (open, _) = time(repetitions, || Ok(key_sum(&round)))?;
    Ok((share, open))
}

/// Draws errors of the encryption, and the noise that protects whole sites for as many values, each
/// with its randomness.
fn noise_over_errors(repetitions: usize) -> anyhow::Result<Turns> {
    let blocks = (1 << 20) / RING_DEGREE;
    let sampler = DiscreteGaussian::new(903.7)?;
    in_turns(repetitions, |turn| match turn {
        Turn::First => time(RUNS, || Ok(draw_errors(black_box([1; 32]), blocks))).map(|(s, _)| s),
        Turn::Second => {
            time(RUNS, || Ok(draw_noise(&sampler, black_box([1; 32]), blocks))).map(|(s, _)| s)
        }
    })
}

fn request(sites: usize, value_bits: u8) -> CostRequest {
    let (holders, collusion, packing) = (None, None, None);
    CostRequest {
        parameters: PARAMETERS,
        sites,
        value_bits,
        holders,
        collusion,
        packing,
        drop_outs: 0,
    }
}

/// What travels.
fn sizes() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (sites, bits, most) in [(10, 16, 3.0), (100, 16, 3.5), (500, 16, 4.0), (10, 8, 1.75)] {
        let cost = StudyCost::derive(CostRequest { parameters: LARGE, ..request(sites, bits) })?;
        let name = format!("body, 25.6 million parameters of {bits} bits, {sites} sites");
        let bytes = cost.body_bytes_per_parameter;
        figures.push(computed(name, bytes, "bytes/parameter", Some(Bound::AtMost(most))));
    }
    let (holders, collusion, packing) = (Some(32), Some(8), Some(8));
    let wide = StudyCost::derive(CostRequest { holders, collusion, packing, ..request(100, 16) })?;
    let name = "envelopes of one contribution, m = 32, c = 8, l = 8".into();
    let kilobytes = wide.envelope_bytes as f64 / 1e3;
    figures.push(computed(name, kilobytes, "kB", Some(Bound::AtMost(150.0))));
    let cost = StudyCost::derive(request(SITES, BITS))?;
    for (what, bytes) in [("up", cost.upload_bytes), ("down", cost.download_bytes)] {
        let name = format!("a key holder's traffic {what}, 10^6 parameters, {SITES} sites");
        figures.push(computed(name, bytes as f64 / 1e6, "MB", None));
    }
    Ok(figures)
}

/// The figures as aligned text.
pub fn table(figures: &[Figure]) -> String {
    let width = figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for figure in figures {
        let target = match figure.target {
            Some(Bound::AtMost(bound)) => format!("at most {}", digits(bound)),
            Some(Bound::AtLeast(bound)) => format!("at least {}", digits(bound)),
            None => String::new(),
        };
        let met = match figure.met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let shown = format!("{} {}", digits(figure.value), figure.unit);
        let line = format!("{:<width$}  {shown:>22}  {target:<14}  {met}", figure.name);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_from_its_own_side() {
        let figure = |value, target| measured("a", value, "s", target).met();
        assert_eq!(figure(2.0, Some(Bound::AtMost(1.0))), Some(false));
        assert_eq!(figure(1.0, Some(Bound::AtMost(1.0))), Some(true));
        assert_eq!(figure(2.0, Some(Bound::AtLeast(1.0))), Some(true));
        assert_eq!(figure(0.5, Some(Bound::AtLeast(1.0))), Some(false));
        assert_eq!(figure(0.5, None), None);
        let text = table(&[measured("slow", 2.0, "s", Some(Bound::AtMost(1.0)))]);
        assert!(text.contains("MISSED") && text.contains("at most 1.00"), "{text}");
    }

    #[test]
    fn sizes_meet_their_targets() {
        for figure in sizes().unwrap() {
            assert_ne!(figure.met(), Some(false), "{figure:?}");
        }
    }
}
