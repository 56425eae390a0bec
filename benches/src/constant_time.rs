//! `ringfence-benches constant-time`: does the time of what touches secrets depend on them?
//!
//! The method is that of dudect (Reparaz, Balasch and Verbauwhede 2017): two classes of secrets, a
//! fixed one and random ones, are measured in random order, and Welch's t-test asks whether their
//! times have the same mean, over all measurements and with the slowest cut off at several
//! percentiles. |t| beyond 10 says that they do not; below 5, nothing was found in so many
//! measurements. A sampler that stops early, which every textbook shows, stands beside the shipped
//! code: the test must find it.

use std::hint::black_box;
use std::time::Instant;

use rand::{Rng, SeedableRng};
use ringfence_crypto::ring::params::{KEY_WORDS, MODULUS, RING_DEGREE};
use ringfence_crypto::threshold::Threshold;
use ringfence_keys::internals;
use serde::Serialize;

/// |t| above this is a leak.
pub const LEAK: f64 = 10.0;

/// What was found for one operation.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was measured.
    pub operation: &'static str,
    /// The fixed secret that random ones were compared with.
    pub fixed: &'static str,
    /// Measurements, both classes together.
    pub measurements: usize,
    /// Median time in microseconds.
    pub median_microseconds: f64,
    /// Largest |t| over the percentiles.
    pub t: f64,
    /// Whether the operation is a deliberately leaky one.
    pub leaky_on_purpose: bool,
}

impl Finding {
    /// Whether the times tell the classes apart.
    pub fn leaks(&self) -> bool {
        self.t > LEAK
    }
}

/// Measures every operation with `measurements` runs each.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn run(measurements: usize) -> anyhow::Result<Vec<Finding>> {
    let mut rng = rand::rngs::ChaCha20Rng::try_from_rng(&mut rand::rngs::SysRng)?;
    let mut findings = Vec::new();
    let threshold = Threshold::derive(5, 1, 2, 5)?;
    let mut public = [0; RING_DEGREE];
    residues(&mut rng, &mut public);
    let round = internals::Round::new(public)?;

    let mut errors = [0; RING_DEGREE];
    // Not zeros alone: processors treat those differently for reasons of their own.
    for (fixed, upper) in [("no errors", 0u8), ("largest errors", 255)] {
        let mut sample = |uniform: &[u8; internals::UNIFORM_BYTES]| {
            internals::errors_from_uniform(black_box(uniform), &mut errors);
            black_box(&errors);
        };
        let draw =
            |rng: &mut dyn Rng, out: &mut [u8; internals::UNIFORM_BYTES]| rng.fill_bytes(out);
        let mut input = Box::new([0; internals::UNIFORM_BYTES]);
        rng.fill_bytes(input.as_mut_slice());
        let (numbers, _) = input.as_chunks_mut::<8>();
        let signs = RING_DEGREE / 64 + 1;
        // The two uppermost bytes of each number decide that it is smallest or largest.
        numbers.iter_mut().skip(signs).for_each(|number| number[6..].fill(upper));
        let t = measure(measurements, &mut rng, input, draw, &mut sample);
        findings.push(t.named("sample errors", fixed, false));
    }
    let mut product = |key: &[u64; RING_DEGREE]| {
        black_box(round.product(black_box(key)));
    };
    let t =
        measure(measurements, &mut rng, Box::new([0; RING_DEGREE]), draw_residues, &mut product);
    findings.push(t.named("multiply by a key", "the zero key", false));

    let mut mask = |message: &[u64; RING_DEGREE]| {
        black_box(round.mask(black_box(message)));
    };
    let small = |rng: &mut dyn Rng, out: &mut [u64; RING_DEGREE]| {
        out.iter_mut().for_each(|word| *word = rng.next_u64() >> 24);
    };
    let t = measure(measurements, &mut rng, Box::new([0; RING_DEGREE]), small, &mut mask);
    findings.push(t.named("add a message and round", "the zero message", false));

    let mut check = |words: &[u64; RING_DEGREE]| {
        black_box(round.check(black_box(words)));
    };
    let t = measure(measurements, &mut rng, Box::new([0; RING_DEGREE]), small, &mut check);
    findings.push(t.named("check words", "zero words", false));

    let mut share = |key: &[u64; KEY_WORDS]| {
        black_box(internals::share(black_box(key), &threshold, [7; 32]));
    };
    let t = measure(measurements, &mut rng, Box::new([0; KEY_WORDS]), draw_residues, &mut share);
    findings.push(t.named("share a key", "the zero key", false));

    let mut quantize = |values: &[f32; RING_DEGREE]| {
        let _ = black_box(internals::quantize(black_box(values)));
    };
    let floats = |rng: &mut dyn Rng, out: &mut [f32; RING_DEGREE]| {
        out.iter_mut().for_each(|value| *value = (rng.next_u32() as f32) / 2.2e9 - 1.0);
    };
    let t = measure(measurements, &mut rng, Box::new([0.0; RING_DEGREE]), floats, &mut quantize);
    findings.push(t.named("quantize", "zeros", false));

    let mut leaky = |uniform: &[u8; internals::UNIFORM_BYTES]| {
        black_box(stops_early(black_box(uniform)));
    };
    let draw = |rng: &mut dyn Rng, out: &mut [u8; internals::UNIFORM_BYTES]| rng.fill_bytes(out);
    let input = Box::new([0; internals::UNIFORM_BYTES]);
    let t = measure(measurements, &mut rng, input, draw, &mut leaky);
    findings.push(t.named("a sampler that stops early", "zeros: no error", true));
    Ok(findings)
}

/// Leaky on purpose: looks for the first entry that a number does not reach, and stops there.
fn stops_early(uniform: &[u8; internals::UNIFORM_BYTES]) -> u64 {
    let (numbers, _) = uniform.as_chunks::<8>();
    let steps = numbers.iter().map(|bytes| {
        let number = u64::from_le_bytes(*bytes);
        let mut magnitude = 0u64;
        // A geometric table stands for the Gaussian one.
        while magnitude < 64 && number > u64::MAX - (u64::MAX >> (magnitude / 4 + 1)) {
            magnitude += 1;
        }
        magnitude
    });
    steps.sum()
}

fn residues(rng: &mut dyn Rng, out: &mut [u64]) {
    out.iter_mut().for_each(|word| *word = rng.next_u64() % MODULUS);
}

fn draw_residues<const N: usize>(rng: &mut dyn Rng, out: &mut [u64; N]) {
    residues(rng, out);
}

/// Times of the two classes.
struct Times([Vec<f64>; 2]);

/// Inputs that are prepared before they are measured.
const BATCH: usize = 32;

/// Measures `operation` on a fixed and on random inputs, in random order.
///
/// Inputs are prepared in batches, and each is copied to the same place before it is measured, with
/// everything that was written complete by then: where an input lies and how it came there must
/// tell nothing.
fn measure<I: Copy>(
    measurements: usize,
    rng: &mut rand::rngs::ChaCha20Rng,
    fixed: Box<I>,
    draw: impl Fn(&mut dyn Rng, &mut I),
    operation: &mut impl FnMut(&I),
) -> Times {
    let mut times = [Vec::with_capacity(measurements), Vec::with_capacity(measurements)];
    let mut prepared: Vec<(usize, Box<I>)> = (0..BATCH).map(|_| (0, fixed.clone())).collect();
    let mut input = fixed.clone();
    for batch in 0..(measurements + measurements / 10) / BATCH {
        for (class, slot) in &mut prepared {
            // Drawn for both classes, so that preparing leaves the same traces.
            draw(rng, slot);
            *class = usize::from(rng.next_u32() & 1 == 1);
            if *class == 0 {
                **slot = *fixed;
            }
        }
        for (class, slot) in &prepared {
            *input = **slot;
            std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
            let start = Instant::now();
            operation(&input);
            let elapsed = start.elapsed();
            // The first tenth warms up.
            let warm = batch * BATCH >= measurements / 10;
            if let Some(times) = times.get_mut(*class).filter(|_| warm) {
                times.push(elapsed.as_nanos() as f64);
            }
        }
    }
    Times(times)
}

impl Times {
    fn named(
        self,
        operation: &'static str,
        fixed: &'static str,
        leaky_on_purpose: bool,
    ) -> Finding {
        let mut all: Vec<f64> = self.0.iter().flatten().copied().collect();
        all.sort_by(f64::total_cmp);
        let at = |share: f64| all.get((all.len() as f64 * share) as usize).copied();
        let percentiles = [0.5, 0.75, 0.9, 0.95, 0.99].map(|share| at(share).unwrap_or(f64::MAX));
        let cuts = percentiles.into_iter().chain([f64::INFINITY]);
        let t = cuts.map(|cut| welch(&self.0, cut).abs()).fold(0.0, f64::max);
        Finding {
            operation,
            fixed,
            measurements: all.len(),
            median_microseconds: at(0.5).unwrap_or(f64::NAN) / 1e3,
            t,
            leaky_on_purpose,
        }
    }
}

/// Welch's t over the times that are at most `cut`; 0 when a class has no two.
fn welch(times: &[Vec<f64>; 2], cut: f64) -> f64 {
    let moments = times.each_ref().map(|times| {
        let kept: Vec<f64> = times.iter().copied().filter(|time| *time <= cut).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let squares = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>();
        (count, mean, squares / (count - 1.0).max(1.0))
    });
    let [(n, mean_a, variance_a), (m, mean_b, variance_b)] = moments;
    let error = (variance_a / n + variance_b / m).sqrt();
    match n > 1.0 && m > 1.0 && error > 0.0 {
        true => (mean_a - mean_b) / error,
        false => 0.0,
    }
}

/// The findings as a table.
pub fn table(findings: &[Finding]) -> String {
    let mut out = format!(
        "{:<28} {:<22} {:>12} {:>10} {:>8}  verdict\n",
        "operation", "random against", "measurements", "median us", "max |t|"
    );
    for finding in findings {
        let verdict = match (finding.leaks(), finding.leaky_on_purpose) {
            (false, false) => "no dependence found",
            (true, true) => "leaks, as it should",
            (true, false) => "LEAKS",
            (false, true) => "MISSED: too few measurements",
        };
        out += &format!(
            "{:<28} {:<22} {:>12} {:>10.2} {:>8.1}  {verdict}\n",
            finding.operation,
            finding.fixed,
            finding.measurements,
            finding.median_microseconds,
            finding.t
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn welch_tells_different_means_apart() {
        let times = |mean: f64| (0..1000).map(|k| mean + f64::from(k % 10)).collect::<Vec<_>>();
        assert!(welch(&[times(100.0), times(100.0)], f64::INFINITY).abs() < 1e-9);
        assert!(welch(&[times(100.0), times(103.0)], f64::INFINITY) < -LEAK);
        assert_eq!(welch(&[vec![], times(1.0)], f64::INFINITY), 0.0);
    }
}
