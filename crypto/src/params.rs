//! Parameter set `std64` and the noise bound that follows from it.
//!
//! Derivations and the lattice estimator's figures: `docs/security.md`.

use serde::{Deserialize, Serialize};

/// Ring degree `N` of `R_q = Z_q[X]/(X^N + 1)`.
///
/// With `q` of 64 bits, N = 4096 gives at least 192 bits in the core-SVP quantum model even after
/// the sum of two honest sites' errors is known (`docs/security.md`).
pub const RING_DEGREE: usize = 4096;

/// Modulus `q = 2^64 - 2^32 + 1`: prime, with `2^32 | q - 1`, so the negacyclic NTT of length N
/// exists and `F_q` is at the same time the field of the secret sharing.
pub const MODULUS: u64 = 0xFFFF_FFFF_0000_0001;

/// Width of a fresh error. After a sum over two honest sites is opened, each honest error is still
/// a discrete Gaussian of width `6.4 / sqrt 2 = 4.5`, above the customary 3.2.
pub const ERROR_SIGMA: f64 = 6.4;

/// Largest absolute value of a sampled error: ten sigma. The mass cut off is below 2^-75.
pub const ERROR_TAIL: u64 = 64;

/// Most blocks (polynomials) that one key encrypts; the estimate assumes `2^14 * N` samples.
pub const MAX_BLOCKS: usize = 1 << 14;

/// Fewest blocks: shorter models are padded, so that very small models do not stand out.
pub const MIN_BLOCKS: usize = 2;

/// Largest roster.
pub const MAX_SITES: usize = 10_000;

/// Words of the key vector that a site shares: its key (N words, NTT order) and two check words.
pub const KEY_WORDS: usize = RING_DEGREE + CHECK_WORDS;

/// Check words a contribution carries; two elements of `F_q` give a forgery chance of 2^-128.
pub const CHECK_WORDS: usize = 2;

/// log2 of the probability that any coefficient of a largest model decodes wrongly.
const FAILURE_LOG2: f64 = 64.0;

/// The named parameter sets. One serves 3 to 10,000 sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterSet {
    /// N = 4096, q = 2^64 - 2^32 + 1, sigma = 6.4, uniform keys.
    Std64,
}

impl ParameterSet {
    /// The name as it stands in a study file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Std64 => "std64",
        }
    }
}

/// Natural logarithm of `2 * 2^26 * 2^64`: a two-sided bound, united over all coefficients of a
/// largest model (`MAX_BLOCKS * N = 2^26`), must stay under 2^-64.
fn union_exponent() -> f64 {
    let coefficients_log2 = (MAX_BLOCKS * RING_DEGREE).ilog2();
    (1.0 + f64::from(coefficients_log2) + FAILURE_LOG2) * std::f64::consts::LN_2
}

/// Largest absolute noise of a coefficient of a sum over `sites` contributions, but for a
/// probability under 2^-64 for a whole model.
///
/// A discrete Gaussian of width sigma is sub-Gaussian with that width; the rounding of a wire word
/// (64 bits carry a residue to within half a unit) is sub-Gaussian with width 1/2 by Hoeffding's
/// lemma. The sum of n of each is sub-Gaussian with variance proxy `n (sigma^2 + 1/4)`, so
/// `P(|E| >= x) <= 2 exp(-x^2 / (2 n (sigma^2 + 1/4)))`; half a unit is added for the last rounding.
pub fn noise_bound(sites: usize) -> u64 {
    let proxy = sites as f64 * (ERROR_SIGMA * ERROR_SIGMA + 0.25);
    (2.0 * proxy * union_exponent()).sqrt().ceil() as u64 + 1
}

/// Largest mean square of the noise over one block of a sum over `sites` contributions.
///
/// The mean square of N independent sub-Gaussian variables of proxy `s` exceeds
/// `s (1 + 2 sqrt(x/N) + 2x/N)` with probability below `exp(-x)` (Laurent and Massart 2000,
/// Lemma 1; Hsu, Kakade and Zhang 2012 for the sub-Gaussian case).
pub fn noise_mean_square_bound(sites: usize) -> f64 {
    let proxy = sites as f64 * (ERROR_SIGMA * ERROR_SIGMA + 0.25);
    let ratio = union_exponent() / RING_DEGREE as f64;
    proxy * (1.0 + 2.0 * ratio.sqrt() + 2.0 * ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modulus_is_the_stated_prime_shape() {
        assert_eq!(u128::from(MODULUS), (1u128 << 64) - (1 << 32) + 1);
        assert_eq!((MODULUS - 1) % (1 << 32), 0);
    }

    #[test]
    fn noise_bound_grows_with_the_square_root_of_the_sites() {
        let (three, twelve) = (noise_bound(3), noise_bound(12));
        assert!(three > 3 * 6, "below one sigma of the sum: {three}");
        assert!((twelve as f64 / three as f64 - 2.0).abs() < 0.05);
        // By hand for 10 sites: sqrt(2 * 10 * 41.21 * 91 ln 2) = 228.01, rounded up, plus one.
        assert_eq!(noise_bound(10), 230);
    }

    #[test]
    fn mean_square_bound_is_above_the_variance_and_close_to_it() {
        let variance = 10.0 * (ERROR_SIGMA * ERROR_SIGMA + 1.0 / 12.0);
        let bound = noise_mean_square_bound(10);
        assert!(bound > variance && bound < 1.35 * variance, "{bound} against {variance}");
    }
}
