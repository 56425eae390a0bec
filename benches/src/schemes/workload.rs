//! What every scheme is given: the same update of every site, and what the answer must be.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, ensure};
use chacha20::ChaCha20Rng;
use rand::{Rng, SeedableRng};

/// Updates are clipped to `[-CLIP, CLIP]`.
pub const CLIP: f32 = 0.5;

/// One update for each site, and the plain mean that each scheme's result is held against.
pub struct Workload {
    /// `sites` vectors of `parameters` values, uniform in `[-CLIP, CLIP)`, from a fixed seed.
    pub updates: Vec<Vec<f32>>,
    /// Bits of a quantized value.
    pub bits: u8,
    /// Timed repetitions of each step; medians are reported.
    pub repetitions: usize,
    /// Threads that Ringfence may use; its peers run on one.
    pub threads: usize,
    /// Parameters that were asked for; fewer are in `updates` when a row is extrapolated.
    pub asked: usize,
    mean: Vec<f64>,
}

impl Workload {
    /// Makes the updates of `sites` sites.
    ///
    /// # Errors
    /// When a size is out of range.
    pub fn new(
        parameters: usize,
        sites: usize,
        bits: u8,
        repetitions: usize,
    ) -> anyhow::Result<Self> {
        ensure!(parameters > 0, "expected at least one parameter");
        ensure!(sites >= 3, "expected at least 3 sites, got {sites}");
        ensure!((2..=24).contains(&bits), "expected 2 to 24 bits a value, got {bits}");
        ensure!(repetitions > 0, "expected at least one repetition");
        let mut rng = ChaCha20Rng::seed_from_u64(2017);
        // 24 random bits: every value of the grid is a float32.
        let mut value = || ((rng.next_u32() >> 8) as f32 / 16_777_216.0 - 0.5) * (2.0 * CLIP);
        let updates: Vec<Vec<f32>> =
            (0..sites).map(|_| (0..parameters).map(|_| value()).collect()).collect();
        Ok(Self::of(updates, bits, repetitions, parameters))
    }

    fn of(updates: Vec<Vec<f32>>, bits: u8, repetitions: usize, asked: usize) -> Self {
        let sites = updates.len() as f64;
        let mut mean = vec![0.0; updates.first().map_or(0, Vec::len)];
        for update in &updates {
            mean.iter_mut().zip(update).for_each(|(mean, value)| *mean += f64::from(*value));
        }
        mean.iter_mut().for_each(|mean| *mean /= sites);
        Self { updates, bits, repetitions, threads: 1, asked, mean }
    }

    /// The first `parameters` values of every update, for a scheme too slow for all of them.
    pub fn first(&self, parameters: usize) -> Self {
        let updates = self.updates.iter().map(|u| u.iter().take(parameters).copied().collect());
        let threads = self.threads;
        Self { threads, ..Self::of(updates.collect(), self.bits, self.repetitions, self.asked) }
    }

    /// Values in an update.
    pub fn parameters(&self) -> usize {
        self.mean.len()
    }

    /// Sites.
    pub fn sites(&self) -> usize {
        self.updates.len()
    }

    /// One site's update, for timing what one site does.
    ///
    /// # Errors
    /// Never: [`Workload::new`] makes at least three.
    pub fn one(&self) -> anyhow::Result<&[f32]> {
        Ok(self.updates.first().context("no sites")?)
    }

    /// Bits that hold a sum over all sites: `b + ceil(log2 n)`.
    pub fn slot_bits(&self) -> u32 {
        u32::from(self.bits) + usize::BITS - (self.sites() - 1).leading_zeros()
    }

    fn limit(&self) -> f64 {
        ((1u64 << self.bits) - 1) as f64
    }

    /// Clips, rounds to nearest and offsets to `0..2^b`: cheaper than the stochastic rounding that
    /// Ringfence's row pays for.
    pub fn quantize(&self, update: &[f32]) -> Vec<u32> {
        let limit = self.limit();
        let (clip, step) = (f64::from(CLIP), limit / (2.0 * f64::from(CLIP)));
        let quantized = |value: &f32| (f64::from(*value).clamp(-clip, clip) + clip) * step + 0.5;
        update.iter().map(|value| quantized(value) as u32).collect()
    }

    /// The mean that sums of quantized values stand for.
    pub fn decode(&self, sums: &[u64]) -> Vec<f32> {
        let scale = 2.0 * f64::from(CLIP) / (self.limit() * self.sites() as f64);
        sums.iter().map(|sum| (*sum as f64 * scale - f64::from(CLIP)) as f32).collect()
    }

    /// Refuses sums that are not exactly those of the quantized updates.
    ///
    /// # Errors
    /// With the first value that differs.
    pub fn check_sums(&self, sums: &[u64]) -> anyhow::Result<()> {
        let mut plain = vec![0u64; self.parameters()];
        for update in &self.updates {
            let quantized = self.quantize(update);
            plain.iter_mut().zip(quantized).for_each(|(sum, value)| *sum += u64::from(value));
        }
        ensure!(sums.len() == plain.len(), "expected {} sums, got {}", plain.len(), sums.len());
        let wrong = plain.iter().zip(sums).position(|(plain, sum)| plain != sum);
        if let Some(index) = wrong {
            let (expected, got) = (plain.get(index), sums.get(index));
            anyhow::bail!("sum {index} is {got:?}, the plain sum is {expected:?}");
        }
        Ok(())
    }

    /// Largest absolute error of a decoded mean against the mean of the float updates, refused
    /// when it exceeds one quantization step or one part in 10^4, whichever is larger.
    ///
    /// # Errors
    /// When the length differs or the mean is wrong.
    pub fn max_error(&self, mean: &[f32]) -> anyhow::Result<f64> {
        let (expected, got) = (self.parameters(), mean.len());
        ensure!(expected == got, "expected a mean of {expected} values, got {got}");
        let errors = self.mean.iter().zip(mean).map(|(a, b)| (a - f64::from(*b)).abs());
        // Folded by hand: `f64::max` would drop a NaN.
        let error = errors.fold(0.0, |worst, e| if e > worst || e.is_nan() { e } else { worst });
        let bound = (2.0 * f64::from(CLIP) / self.limit()).max(1e-4);
        ensure!(error <= bound, "the mean is off by {error:e}, more than {bound:e}");
        Ok(error)
    }

    /// Times a recipient's work: `step` opens the sums, which are decoded to the mean. Seconds, and
    /// the largest error of the mean.
    ///
    /// # Errors
    /// Those of the step, and when a sum or the mean is wrong: such a scheme has no row.
    pub fn time_opening(
        &self,
        repetitions: usize,
        mut step: impl FnMut() -> anyhow::Result<Vec<u64>>,
    ) -> anyhow::Result<(f64, f64)> {
        let (seconds, (sums, mean)) = time(repetitions, || {
            let sums = step()?;
            let mean = self.decode(&sums);
            Ok((sums, mean))
        })?;
        self.check_sums(&sums)?;
        Ok((seconds, self.max_error(&mean)?))
    }

    /// Median seconds of a step, and its last result. One untimed run goes ahead.
    ///
    /// # Errors
    /// Those of the step.
    pub fn time<T>(&self, step: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<(f64, T)> {
        time(self.repetitions, step)
    }
}

/// Median seconds of `repetitions` runs of a step after one untimed run, and the last result.
///
/// # Errors
/// Those of the step.
pub fn time<T>(
    repetitions: usize,
    mut step: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<(f64, T)> {
    let mut last = step()?;
    let mut seconds = Vec::with_capacity(repetitions);
    for _ in 0..repetitions {
        let start = Instant::now();
        let result = black_box(step()?);
        seconds.push(start.elapsed().as_secs_f64());
        last = result;
    }
    Ok((median(seconds), last))
}

/// The middle value, or the mean of the two middle ones; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
    if values.len() % 2 == 1 { at(upper) } else { (at(upper.saturating_sub(1)) + at(upper)) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantizing_is_within_half_a_step_and_a_wrong_sum_is_refused() {
        let workload = Workload::new(500, 5, 16, 1).unwrap();
        let mut sums = vec![0u64; 500];
        for update in &workload.updates {
            let quantized = workload.quantize(update);
            sums.iter_mut().zip(quantized).for_each(|(sum, value)| *sum += u64::from(value));
        }
        workload.check_sums(&sums).unwrap();
        let error = workload.max_error(&workload.decode(&sums)).unwrap();
        assert!(error > 0.0 && error <= 0.5 / 65_535.0 + 1e-7, "{error:e}");
        sums[17] += 1;
        assert!(workload.check_sums(&sums).unwrap_err().to_string().contains("sum 17"));
        sums[17] += 1000;
        assert!(workload.max_error(&workload.decode(&sums)).is_err());
        assert!(workload.max_error(&vec![f32::NAN; 500]).is_err());
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
