//! The noise of a sum of ciphertexts: how large it can be, and how often larger.
//!
//! A coefficient of an opened sum over `n` contributions carries `n` errors (discrete Gaussians),
//! `n` roundings to wire words and one rounding when the sum is lifted back. The bound here is a
//! two-sided Chernoff bound on the exact cumulant generating function, united over every
//! coefficient of a largest model. Derivation and figures: `docs/parameters.md`.

use crate::ring::params::{ERROR_SIGMA, ERROR_TAIL, MAX_BLOCKS, MODULUS, RING_DEGREE};

/// A wrong digit anywhere in a whole model is less likely than `2^-FAILURE_LOG2`.
pub const FAILURE_LOG2: f64 = 64.0;

/// Noise of one coefficient of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseModel {
    sites: usize,
    wire_bits: u8,
}

impl NoiseModel {
    /// The noise of a sum over `sites` contributions whose coefficients travel as words of
    /// `wire_bits` bits.
    pub fn new(sites: usize, wire_bits: u8) -> Self {
        Self { sites, wire_bits }
    }

    /// Half the width of a word's rounding error, `q / 2^(w+1)`.
    ///
    /// For a uniform residue `c` the error `round(c 2^w / q) q / 2^w - c` is uniform on `q` points
    /// that lie symmetrically and evenly within that distance, since `2^w` is invertible modulo q.
    pub fn rounding_half_width(&self) -> f64 {
        MODULUS as f64 * 2f64.powi(-i32::from(self.wire_bits) - 1)
    }

    /// `ln E[exp(t X)]` of the noise of one contribution, from above.
    ///
    /// A centred discrete Gaussian is sub-Gaussian with its own width (Micciancio and Peikert
    /// 2012, Lemma 2.8), cut symmetrically all the more; a symmetric grid of even steps lies below
    /// the continuous uniform distribution, whose generating function is `sinh(th) / (th)`.
    fn cumulant(&self, t: f64) -> f64 {
        let x = t * self.rounding_half_width();
        let uniform = match x < 1e-3 {
            true => x * x / 6.0,
            // ln(sinh(x) / x) without overflow.
            false => x - (2.0 * x).ln() + (-(-2.0 * x).exp()).ln_1p(),
        };
        t * t * ERROR_SIGMA * ERROR_SIGMA / 2.0 + uniform
    }

    /// Natural logarithm of `2 * 2^26 * 2^64`: a two-sided bound, united over all
    /// `MAX_BLOCKS * N = 2^26` coefficients of a largest model, must stay under 2^-64.
    fn union_exponent() -> f64 {
        let coefficients_log2 = (MAX_BLOCKS * RING_DEGREE).ilog2();
        (1.0 + f64::from(coefficients_log2) + FAILURE_LOG2) * std::f64::consts::LN_2
    }

    /// `log2` of a bound on the probability that any of `coefficients` coefficients carries noise
    /// of absolute value `limit` or more.
    pub fn failure_log2(&self, limit: f64, coefficients: f64) -> f64 {
        // Half a unit is the lifting's.
        let room = limit - 0.5;
        if room > self.largest_possible() {
            return f64::NEG_INFINITY;
        }
        let exponent = |t: f64| self.sites as f64 * self.cumulant(t) - t * room;
        let (_, best) = minimum(exponent);
        (best / std::f64::consts::LN_2 + 1.0 + coefficients.log2()).min(0.0)
    }

    /// `n (10 sigma + h)`: no noise exceeds this, whatever happens.
    fn largest_possible(&self) -> f64 {
        self.sites as f64 * (ERROR_TAIL as f64 + self.rounding_half_width())
    }

    /// Largest absolute noise of a coefficient, but for a probability under 2^-64 for a whole
    /// largest model: the smallest `x` with `min_t 2 exp(n K(t) - t x) <= 2^-64 / 2^26`, which is
    /// `min_t (n K(t) + L) / t`, and half a unit for the lifting.
    ///
    /// Where the minimum is found in floating point, implementations may differ in the last bits:
    /// by less than one part in 2^40. No derived packing hangs on that: its bound is at least 2 %
    /// from the half scale on either side (checked with the test vectors).
    pub fn bound(&self) -> u64 {
        let level = Self::union_exponent();
        let (_, best) = minimum(|t| (self.sites as f64 * self.cumulant(t) + level) / t);
        (best.min(self.largest_possible()) + 0.5).ceil() as u64
    }

    /// Largest mean square of the noise over one block.
    ///
    /// A contribution's noise is sub-Gaussian with variance proxy `sigma^2 + h^2/3` (a uniform
    /// variable is strictly sub-Gaussian: Arbel, Marchal and Nguyen 2020). The mean square of N
    /// independent sub-Gaussian variables of proxy `s` exceeds `s (1 + 2 sqrt(x/N) + 2x/N)` with
    /// probability below `exp(-x)` (Hsu, Kakade and Zhang 2012).
    pub fn mean_square_bound(&self) -> f64 {
        let proxy = self.sites as f64 * self.variance() + 0.25;
        let ratio = Self::union_exponent() / RING_DEGREE as f64;
        proxy * (1.0 + 2.0 * ratio.sqrt() + 2.0 * ratio)
    }

    /// Variance of the noise of one contribution.
    pub fn variance(&self) -> f64 {
        ERROR_SIGMA * ERROR_SIGMA + self.rounding_half_width().powi(2) / 3.0
    }
}

/// Place and value of the minimum over `t > 0` of a function with one valley: golden section on
/// `ln t`. Any `t` gives a valid bound, so an inexact minimum is only a little less tight.
fn minimum(function: impl Fn(f64) -> f64) -> (f64, f64) {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let at = |log: f64| function(log.exp());
    // Widths from below one to beyond q lie between e^-45 and e^5.
    let (mut low, mut high) = (-45.0, 5.0);
    for _ in 0..80 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        match at(left) < at(right) {
            true => high = right,
            false => low = left,
        }
    }
    let log: f64 = (low + high) / 2.0;
    (log.exp(), at(log))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_64_bits_the_bound_is_the_gaussian_one() {
        // By hand for 10 sites: sqrt(2 * 10 * (40.96 + 1/12) * 91 ln 2) = 227.6, and one half.
        assert_eq!(NoiseModel::new(10, 64).bound(), 229);
        let (three, twelve) = (NoiseModel::new(3, 64).bound(), NoiseModel::new(12, 64).bound());
        assert!((twelve as f64 / three as f64 - 2.0).abs() < 0.05, "{three} {twelve}");
    }

    #[test]
    fn never_beyond_what_is_possible() {
        let coarse = NoiseModel::new(3, 20);
        let possible = 3.0 * (64.0 + coarse.rounding_half_width());
        assert!(coarse.bound() as f64 <= possible + 2.0);
        assert!(coarse.failure_log2(possible * 1.01, 1e9) == f64::NEG_INFINITY);
    }

    #[test]
    fn bound_and_failure_agree() {
        let coefficients = (MAX_BLOCKS * RING_DEGREE) as f64;
        for (sites, wire_bits) in [(10, 44), (100, 52), (500, 58), (10, 52), (1000, 44)] {
            let model = NoiseModel::new(sites, wire_bits);
            let bound = model.bound() as f64;
            assert!(model.failure_log2(bound, coefficients) <= -FAILURE_LOG2);
            assert!(model.failure_log2(bound * 0.99, coefficients) > -FAILURE_LOG2);
        }
    }

    /// The Chernoff bound lies above simulated frequencies at levels that can be simulated, and
    /// not far above: a wrong formula would fail on one side or the other.
    #[test]
    fn monte_carlo_stays_below_the_bound_and_near_it() {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        // A SplitMix64 step: enough for a frequency.
        let mut uniform = move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        };
        for (sites, wire_bits) in [(3, 57), (5, 60), (10, 58), (32, 57)] {
            let model = NoiseModel::new(sites, wire_bits);
            let half = model.rounding_half_width();
            let deviation = (sites as f64 * model.variance()).sqrt();
            let trials = 200_000;
            let mut counts = [0u32; 3];
            for _ in 0..trials {
                let mut sum = 0.0;
                for _ in 0..sites {
                    // Box and Muller's normal variable stands for the discrete Gaussian.
                    let (u, v) = (1.0 - uniform(), uniform());
                    let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
                    sum += (normal * ERROR_SIGMA).round() + half * (2.0 * uniform() - 1.0);
                }
                for (count, level) in counts.iter_mut().zip([2.0, 3.0, 3.5]) {
                    *count += u32::from(sum.round().abs() >= level * deviation);
                }
            }
            assert!(counts[0] >= 20, "nothing to compare with: {counts:?}");
            for (count, level) in counts.iter().zip([2.0, 3.0, 3.5]) {
                let frequency = f64::from(*count) / f64::from(trials);
                let bound = model.failure_log2(level * deviation, 1.0).exp2();
                assert!(frequency <= bound, "{sites} sites, level {level}: {frequency} {bound}");
                // Chernoff loses a factor of about level * sqrt(2 pi), and the grid a little.
                let seen = *count >= 20;
                assert!(!seen || frequency > bound / 40.0, "{sites}, {level}: {frequency} {bound}");
            }
        }
    }
}
