//! The points that polynomials are evaluated at.

use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::{MODULUS, RING_DEGREE};

/// `psi`, a primitive 8192nd root of unity.
pub(super) const PSI: u64 = field::pow(7, (MODULUS - 1) / (2 * RING_DEGREE as u64));

/// The evaluation point of word `k`.
pub(super) const fn point(k: usize) -> u64 {
    field::pow(PSI, 2 * reversed(k, RING_DEGREE.ilog2()) as u64 + 1)
}

/// The lowest `bits` bits of `k` in reversed order.
pub(super) const fn reversed(k: usize, bits: u32) -> usize {
    if bits == 0 { 0 } else { k.reverse_bits() >> (usize::BITS - bits) }
}

/// The evaluation point of word `k` to the power `-exponent`, for `exponent` below N.
pub(crate) const fn inverse_power(k: usize, exponent: usize) -> u64 {
    // The point is an odd power of psi, whose order is 2N.
    let power = (2 * reversed(k, RING_DEGREE.ilog2()) + 1) * exponent % (2 * RING_DEGREE);
    field::pow(PSI, (2 * RING_DEGREE - power) as u64)
}
