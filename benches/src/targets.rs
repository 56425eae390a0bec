//! Ringfence against its own targets, each measured or computed at the size that it is stated for.
//!
//! Times are medians; every opened sum is compared with the plain one before anything is timed.

use std::hint::black_box;

use anyhow::{Context, ensure};
use rayon::ThreadPool;
use ringfence_crypto::Digest;
use ringfence_crypto::ciphertext::block_bytes;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::packing::Packing;
use ringfence_keys::check::CheckKey;
use ringfence_keys::one_time_key::{EncryptionContext, OneTimeKey};
use ringfence_keys::plan::{Plan, PlanRequest};
use serde::Serialize;

use crate::FinishedRound;
use crate::schemes::report::digits;
use crate::schemes::ringfence::{MeasuredRound, sharing_seconds};
use crate::schemes::workload::{CLIP, time};

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
    let round = one.install(|| FinishedRound::run(SITES, PARAMETERS as u32))?;
    let keys = round.key_sum()?;
    // Refuses a sum that is not exactly the plain one.
    round.decode(&keys)?;
    let (single, ratio) = encrypting(&round, [&one, &two], repetitions)?;
    let (large, body) = one.install(|| large_model(repetitions))?;
    let gigabytes = one.install(|| adding(&round, &body, repetitions))?;
    let reading = reading(&body, repetitions)?;
    drop(body);
    let (decode, _) = one.install(|| time(repetitions, || round.open_mean(black_box(&keys))))?;
    let (whole_open, _) = one.install(|| time(repetitions, || round.open()))?;
    let (share, open) = one.install(|| holders(repetitions))?;
    let add = round.body.len() as f64 / gigabytes / 1e9;

    let at_most = |bound: f64| Some(Bound::AtMost(bound));
    let mut figures = vec![
        measured("encrypt 10^6 parameters, one thread", single * 1e3, "ms", at_most(10.0)),
        measured("encrypt 25.6 million parameters, one thread", large, "s", at_most(0.25)),
        measured("two threads over one, 10^6 parameters", ratio, "x", Some(Bound::AtLeast(1.8))),
        measured("add bodies of 70 MB from memory", gigabytes, "GB/s", Some(Bound::AtLeast(8.0))),
        measured("reading them alone, for comparison", reading, "GB/s", None),
        measured("decode 10^6 parameters, one thread", decode * 1e3, "ms", at_most(single * 1e3)),
        measured("share and seal, m = 16, c = 4, l = 4, t = 8", share * 1e3, "ms", at_most(20.0)),
        measured("unseal and reconstruct, same", open * 1e3, "ms", at_most(20.0)),
    ];
    figures.extend(sizes()?);
    let plan = Plan::derive(request(SITES, BITS))?;
    // One after the other: nothing overlaps, no latency, the aggregator's link is no bottleneck.
    let work = single + share + SITES as f64 * add + whole_open;
    figures.extend([10.0, 100.0, 1000.0].map(|rate| {
        let name = format!("a round of 10^6 parameters, {SITES} sites, links of {rate} Mbit/s");
        computed(name, work + plan.link_seconds(rate), "s", None)
    }));
    Ok(figures)
}

fn pool(threads: usize) -> anyhow::Result<ThreadPool> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build()?)
}

/// Seconds on one thread, and how many times as fast two are. One after the other in turns, so that
/// whatever else the machine does meets both.
fn encrypting(
    round: &FinishedRound,
    [one, two]: [&ThreadPool; 2],
    repetitions: usize,
) -> anyhow::Result<(f64, f64)> {
    let values: Vec<f32> = (0..PARAMETERS).map(value).collect();
    let mut body = Vec::with_capacity(round.body.len());
    // Some milliseconds each: more of them. One pool after the other: threads that have slept wake up
    // on one core, and the system takes milliseconds to move one of them.
    let mut seconds = |pool: &ThreadPool| {
        let encrypt = || round.encrypt(black_box(&values), &mut body);
        pool.install(|| time(5 * repetitions, encrypt)).map(|(seconds, ())| seconds)
    };
    let (single, double) = (seconds(one)?, seconds(two)?);
    Ok((single, single / double))
}

fn value(k: usize) -> f32 {
    (k % 1000) as f32 / 1000.0 * (2.0 * CLIP) - CLIP
}

/// Seconds to encrypt a large model that comes from memory in pieces of 10^6 values, and the body.
fn large_model(repetitions: usize) -> anyhow::Result<(f64, Vec<u8>)> {
    let tensor = TensorLayout { name: "w".into(), shape: vec![LARGE as u32], clip: CLIP };
    let layout = Layout { tensors: vec![tensor] };
    let packing = Packing::derive(BITS, SITES)?;
    let mut rng = ringfence_keys::system_rng()?;
    let check_key = CheckKey::generate(&mut rng);
    let values: Vec<f32> = (0..PARAMETERS).map(value).collect();
    let expected = packing.body_bytes(LARGE)?;
    let mut body = Vec::with_capacity(usize::try_from(expected)?);
    let round = Digest::of(b"large");
    let (packing, layout, check_key) = (&packing, &layout, &check_key);
    let (seconds, ()) = time(repetitions, || {
        body.clear();
        let context = EncryptionContext { round, packing, layout, check_key };
        let mut encryption = OneTimeKey::generate(&mut rng).start(context, &mut rng)?;
        for first in (0..LARGE).step_by(PARAMETERS) {
            let count = PARAMETERS.min(LARGE - first);
            encryption.update(values.get(..count).context("no values")?, &mut body)?;
        }
        encryption.finish(&mut body)?;
        Ok(())
    })?;
    ensure!(body.len() as u64 == expected, "a body of {} bytes, not {expected}", body.len());
    Ok((seconds, body))
}

/// Blocks of the sum that the aggregator keeps in hand while bodies stream by.
const SUM_BLOCKS: usize = 20;

/// Gigabytes of ciphertext a second that are added, as the aggregator adds: bodies come from memory
/// (together larger than caches are), a few blocks of the sum stay.
fn adding(round: &FinishedRound, body: &[u8], repetitions: usize) -> anyhow::Result<f64> {
    let mut sum = vec![0; SUM_BLOCKS * block_bytes(round.study.packing.wire_bits)];
    let (seconds, ()) = time(repetitions, || {
        for part in black_box(body).chunks(sum.len()) {
            round.add(sum.get_mut(..part.len()).context("no sum")?, part)?;
        }
        Ok(())
    })?;
    Ok(body.len() as f64 / seconds / 1e9)
}

/// Gigabytes a second that one thread reads from memory: what adding cannot exceed here and now.
fn reading(body: &[u8], repetitions: usize) -> anyhow::Result<f64> {
    let (words, _) = body.as_chunks::<8>();
    let (seconds, _) = time(repetitions, || {
        let words = black_box(words).iter();
        Ok(words.fold(0, |sum, word| sum ^ u64::from_le_bytes(*word)))
    })?;
    Ok(body.len() as f64 / seconds / 1e9)
}

/// Seconds to share and seal a key among 16 holders, and to put their openings together.
fn holders(repetitions: usize) -> anyhow::Result<(f64, f64)> {
    let round = FinishedRound::run(16, 1)?;
    let threshold = &round.study.threshold;
    let (m, c, l) = (threshold.holders, threshold.collusion, threshold.packing);
    ensure!((m, c, l, threshold.opening) == (16, 4, 4, 8), "other thresholds: {threshold:?}");
    round.decode(&round.key_sum()?)?;
    let share = sharing_seconds(&round, &[0.25], repetitions)?;
    let (open, _) = time(repetitions, || round.key_sum())?;
    Ok((share, open))
}

fn request(sites: usize, value_bits: u8) -> PlanRequest {
    let (holders, collusion, packing) = (None, None, None);
    PlanRequest {
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
        let plan = Plan::derive(PlanRequest { parameters: LARGE, ..request(sites, bits) })?;
        let name = format!("body, 25.6 million parameters of {bits} bits, {sites} sites");
        let bytes = plan.body_bytes_per_parameter;
        figures.push(computed(name, bytes, "bytes/parameter", Some(Bound::AtMost(most))));
    }
    let (holders, collusion, packing) = (Some(32), Some(8), Some(8));
    let wide = Plan::derive(PlanRequest { holders, collusion, packing, ..request(100, 16) })?;
    let name = "envelopes of one contribution, m = 32, c = 8, l = 8".into();
    let kilobytes = wide.envelope_bytes as f64 / 1e3;
    figures.push(computed(name, kilobytes, "kB", Some(Bound::AtMost(150.0))));
    let plan = Plan::derive(request(SITES, BITS))?;
    for (what, bytes) in [("up", plan.upload_bytes), ("down", plan.download_bytes)] {
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
