//! The noise of a sum of ciphertexts: how large it can be, and how often larger.
//!
//! A coefficient of an opened sum over `n` contributions carries `n` errors (discrete Gaussians),
//! `n` roundings to wire words and one rounding when the sum is lifted back. Up to `c` of the sites
//! may choose their errors, within the sampler's tail, and their roundings: they count with all that
//! they can reach. For the others the bound here is a two-sided Chernoff bound on the cumulant
//! generating function, united over every coefficient of a largest model. Derivation and figures:
//! `docs/parameters.md`.

use crate::ring::params::{ERROR_SIGMA, ERROR_TAIL, MAX_BLOCKS, MODULUS, RING_DEGREE};
use crate::ring::words::word_modulus;

/// A wrong digit anywhere in a whole model is less likely than `2^-FAILURE_LOG2`.
pub const FAILURE_LOG2: f64 = 64.0;

/// How much further than half a word, `q / (2p)`, a residue can be from its word's `W q / p`, in
/// residues: less than 2, see [`to_word`](crate::ring::words::to_word).
pub const ROUNDING_SLACK: f64 = 2.0;

/// How far the residue of a word can be from `W q / p`: less than this
/// ([`from_word`](crate::ring::words::from_word)). Its three roundings down miss less than 1 each.
pub const LIFTING_SLACK: f64 = 3.0;

/// Bits that a bound is given by.
const SIGNIFICANT_BITS: u32 = 16;

/// Noise of one coefficient of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseModel {
    honest: usize,
    colluding: usize,
    wire_bits: u8,
}

impl NoiseModel {
    /// The noise of a sum over `sites` contributions, of which `collusion` may be by sites that
    /// choose their noise, and whose coefficients travel as words of `wire_bits` bits (32 to 64).
    pub fn new(sites: usize, collusion: u16, wire_bits: u8) -> Self {
        let colluding = usize::from(collusion).min(sites);
        Self { honest: sites - colluding, colluding, wire_bits }
    }

    /// Most that a word's rounding errs, in residues: `h = q / (2p) + 2`.
    ///
    /// The residues of a word are an interval whose ends are within `h` of `W q / p`, so for a
    /// uniform residue the error is uniform on a grid of even steps that reaches as far, centred
    /// within 2 of zero.
    pub fn rounding_half_width(&self) -> f64 {
        MODULUS as f64 / word_modulus(self.wire_bits) as f64 / 2.0 + ROUNDING_SLACK
    }

    /// `ln E[exp(t X)]` of the noise of one contribution, from above.
    ///
    /// A centred discrete Gaussian is sub-Gaussian with its own width (Micciancio and Peikert
    /// 2012, Lemma 2.8), cut symmetrically all the more; a symmetric grid of even steps lies below
    /// the continuous uniform distribution, whose generating function is `sinh(th) / (th)`; that
    /// the grid is off centre by less than 2 adds `2 t`.
    fn cumulant(&self, t: f64) -> f64 {
        let x = t * self.rounding_half_width();
        let uniform = match x < 1e-3 {
            true => x * x / 6.0,
            // ln(sinh(x) / x) without overflow.
            false => x - (2.0 * x).ln() + (-(-2.0 * x).exp()).ln_1p(),
        };
        t * t * ERROR_SIGMA * ERROR_SIGMA / 2.0 + uniform + ROUNDING_SLACK * t
    }

    /// Natural logarithm of `2 * 2^26 * 2^64`: a two-sided bound, united over all
    /// `MAX_BLOCKS * N = 2^26` coefficients of a largest model, must stay under 2^-64.
    fn union_exponent() -> f64 {
        let coefficients_log2 = (MAX_BLOCKS * RING_DEGREE).ilog2();
        (1.0 + f64::from(coefficients_log2) + FAILURE_LOG2) * std::f64::consts::LN_2
    }

    /// `log2` of a bound on the probability that any of `coefficients` coefficients carries noise
    /// of absolute value `limit` or more, whatever the colluding sites choose.
    pub fn failure_log2(&self, limit: f64, coefficients: f64) -> f64 {
        let room = limit - self.chosen();
        if room > self.honest as f64 * self.most() {
            return f64::NEG_INFINITY;
        }
        let exponent = |t: f64| self.honest as f64 * self.cumulant(t) - t * room;
        let (_, best) = minimum(exponent);
        (best / std::f64::consts::LN_2 + 1.0 + coefficients.log2()).min(0.0)
    }

    /// A bound on the probability that honest noise goes beyond [`bound`](Self::bound) anywhere in
    /// a sum of so many blocks, which is then refused; a digit can only be wrong beyond the bound,
    /// too. 0 where no noise in the format reaches as far. Never below 2^-1000 otherwise, so that
    /// it is not 0 for want of digits.
    pub fn failure_probability(&self, blocks: usize) -> f64 {
        let coefficients = blocks as f64 * RING_DEGREE as f64;
        match self.failure_log2(self.bound().saturating_add(1) as f64, coefficients) {
            f64::NEG_INFINITY => 0.0,
            log2 => log2.max(-1000.0).exp2(),
        }
    }

    /// `10 sigma + h`: no contribution in the format brings more noise.
    fn most(&self) -> f64 {
        ERROR_TAIL as f64 + self.rounding_half_width()
    }

    /// What the colluding sites and the lifting can add.
    fn chosen(&self) -> f64 {
        self.colluding as f64 * self.most() + LIFTING_SLACK
    }

    /// Largest absolute noise of a coefficient, but for a probability under 2^-64 for a whole
    /// largest model: for the honest sites the smallest `x` with
    /// `min_t 2 exp(n K(t) - t x) <= 2^-64 / 2^26`, which is `min_t (n K(t) + L) / t`; all that the
    /// others can bring; and the lifting.
    ///
    /// Rounded up to a number of 16 significant bits. The minimum is found in floating point, where
    /// implementations differ by less than one part in 2^40; rounded, they agree but for a chance of
    /// 2^-24 a study. Without that a site could place its noise exactly where honest sites differ. No
    /// derived packing hangs on it: its bound is at least 1/2 % from the half scale on either side
    /// (checked with the test vectors).
    pub fn bound(&self) -> u64 {
        let level = Self::union_exponent();
        let (_, best) = minimum(|t| (self.honest as f64 * self.cumulant(t) + level) / t);
        let bound = (best.min(self.honest as f64 * self.most()) + self.chosen()).ceil() as u64;
        let step = 1 << (u64::BITS - bound.leading_zeros()).saturating_sub(SIGNIFICANT_BITS);
        bound.next_multiple_of(step)
    }

    /// Largest mean square of the noise over one block if all sites draw theirs as they should: a
    /// diagnostic, since a colluding site's noise may be larger and still within its bounds.
    ///
    /// A contribution's noise is sub-Gaussian with variance proxy `sigma^2 + h^2/3` (a uniform
    /// variable is strictly sub-Gaussian: Arbel, Marchal and Nguyen 2020). The mean square of N
    /// independent sub-Gaussian variables of proxy `s` exceeds `s (1 + 2 sqrt(x/N) + 2x/N)` with
    /// probability below `exp(-x)` (Hsu, Kakade and Zhang 2012).
    pub fn mean_square_bound(&self) -> f64 {
        let sites = (self.honest + self.colluding) as f64;
        let proxy = sites * self.variance() + LIFTING_SLACK * LIFTING_SLACK;
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
        // By hand for 10 sites: sqrt(2 * 10 * (40.96 + 2.5^2/3) * 91 ln 2) = 233.0, a little more than
        // the exact generating function gives; 20 that the
        // roundings are off centre; 3 for the lifting.
        assert_eq!(NoiseModel::new(10, 0, 64).bound(), 256);
        let honest = |sites| NoiseModel::new(sites, 0, 64).bound() as f64 - 2.0 * sites as f64;
        assert!((honest(12) / honest(3) - 2.0).abs() < 0.05);
        // Three of them by sites that choose: ten sigma, half a word and 2 each.
        let others = 233.1 * 0.7f64.sqrt() + 14.0;
        let bound = NoiseModel::new(10, 3, 64).bound() as f64;
        assert!((bound - (others + 3.0 * 66.5 + 3.0)).abs() < 1.5, "{bound}");
    }

    #[test]
    fn never_beyond_what_is_possible() {
        let coarse = NoiseModel::new(3, 1, 32);
        let possible = 3.0 * (64.0 + coarse.rounding_half_width()) + LIFTING_SLACK;
        assert!(coarse.bound() as f64 <= possible * (1.0 + 2f64.powi(-15)) + 2.0);
        assert!(coarse.failure_log2(possible * 1.01, 1e9) == f64::NEG_INFINITY);
    }

    #[test]
    fn bound_and_failure_agree() {
        let coefficients = (MAX_BLOCKS * RING_DEGREE) as f64;
        for (sites, wire_bits) in [(10, 44), (100, 52), (500, 58), (10, 52), (1000, 44)] {
            let model = NoiseModel::new(sites, 0, wire_bits);
            let bound = model.bound() as f64;
            assert!(model.failure_log2(bound, coefficients) <= -FAILURE_LOG2);
            assert!(model.failure_log2(bound * 0.99, coefficients) > -FAILURE_LOG2);
        }
    }

    #[test]
    fn beyond_the_bound_is_less_likely_the_fewer_blocks_there_are() {
        // Ten honest sites: the sum of their noise comes near the bound, and a largest model near
        // 2^-64.
        let ten = NoiseModel::new(10, 0, 52);
        let largest = ten.failure_probability(MAX_BLOCKS);
        assert!(largest <= 2f64.powi(-64) && largest > 2f64.powi(-66), "{largest}");
        let ratio = ten.failure_probability(MAX_BLOCKS / 1024) / largest;
        assert!((ratio * 1024.0 - 1.0).abs() < 1e-9, "{ratio}");
        // Of three sites two words of 32 bits are most of all that is possible.
        let three = NoiseModel::new(3, 3, 32);
        assert_eq!(three.failure_probability(MAX_BLOCKS), 0.0);
    }

    #[test]
    fn a_bound_has_sixteen_significant_bits() {
        for (sites, collusion, wire_bits) in [(3, 1, 57), (10, 2, 44), (1000, 4, 34), (5, 5, 41)] {
            let bound = NoiseModel::new(sites, collusion, wire_bits).bound();
            assert!(bound >> bound.trailing_zeros() < 1 << 16, "{bound}");
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
        for (sites, wire_bits) in [(3, 52), (5, 60), (10, 53), (32, 54)] {
            let model = NoiseModel::new(sites, 0, wire_bits);
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
                // Chernoff loses a factor of about level * sqrt(2 pi), and the grid a little; that
                // roundings may be off centre matters where words are a few residues wide.
                let seen = *count >= 20 && wire_bits < 60;
                assert!(!seen || frequency > bound / 40.0, "{sites}, {level}: {frequency} {bound}");
            }
        }
    }
}
