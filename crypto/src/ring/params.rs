//! Parameter set `std64`. The noise that follows from it: [`crate::ring::noise_bound`].
//!
//! Derivations and the lattice estimator's figures: `docs/parameters.md`.

use serde::{Deserialize, Serialize};

use crate::wire::canonical::Canonical;

/// Ring degree `N` of `R_q = Z_q[X]/(X^N + 1)`.
///
/// With `q` of 64 bits, N = 4096 gives at least 192 bits in the core-SVP quantum model even after
/// the sum of two honest sites' errors is known (`docs/parameters.md`).
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

/// Words of the key vector that a site shares: its key, in NTT order.
pub const KEY_WORDS: usize = RING_DEGREE;

/// Check words of a body: residues modulo the prime of its wire words. Four give a forgery chance
/// of 2^-124 (2^-120 for words of 32 bits).
pub const CHECK_WORDS: usize = 4;

/// Bits of security of a single update after a sum with two honest sites or more was opened
/// (error width `6.4 / sqrt 2`): the lattice estimator's smallest figure over the attacks, core-SVP
/// cost, classical. `docs/parameters.md` says how it is reproduced.
pub const SECURITY_CLASSICAL: f64 = 213.5;

/// As [`SECURITY_CLASSICAL`], for quantum computers.
pub const SECURITY_QUANTUM: f64 = 193.7;

/// The named parameter sets. One serves 3 to 10,000 sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

impl Canonical for ParameterSet {
    fn encode(&self, out: &mut Vec<u8>) {
        self.name().encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modulus_is_the_stated_prime_shape() {
        assert_eq!(u128::from(MODULUS), (1u128 << 64) - (1 << 32) + 1);
        assert_eq!((MODULUS - 1) % (1 << 32), 0);
    }
}
