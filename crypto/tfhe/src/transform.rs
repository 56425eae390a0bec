//! The negacyclic number-theoretic transform, plainly, as a reference: word `k` of a transformed
//! polynomial is its value at `psi^(2 bitrev(k) + 1)`, `psi = 7^((q-1)/8192)`.

use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::{MODULUS, RING_DEGREE};

/// `psi`, a primitive 8192nd root of unity.
const PSI: u64 = field::pow(7, (MODULUS - 1) / (2 * RING_DEGREE as u64));

/// `2^-1 mod q`.
const HALF: u64 = MODULUS.div_ceil(2);

/// The `psi`-power that node `node` of a level splits at: modulo `X^(2h) - delta^2 =
/// (X^h - delta)(X^h + delta)`.
fn delta(depth: u32, node: usize) -> u64 {
    let h = RING_DEGREE >> (depth + 1);
    let reversed = if depth == 0 { 0 } else { node.reverse_bits() >> (usize::BITS - depth) };
    field::pow(PSI, (h * (2 * reversed + 1)) as u64)
}

/// Values of a polynomial by its coefficients.
pub(crate) fn forward(coefficients: &[u64; RING_DEGREE]) -> Vec<u64> {
    let mut words = coefficients.to_vec();
    for depth in 0..RING_DEGREE.ilog2() {
        let h = RING_DEGREE >> (depth + 1);
        for (node, words) in words.chunks_exact_mut(2 * h).enumerate() {
            let delta = delta(depth, node);
            let (low, high) = words.split_at_mut(h);
            for (low, high) in low.iter_mut().zip(high) {
                let term = field::mul(delta, *high);
                (*low, *high) = (field::add(*low, term), field::sub(*low, term));
            }
        }
    }
    words
}

/// Coefficients of the polynomial with these values: the steps of [`forward`], undone.
pub(crate) fn inverse(values: &[u64]) -> Vec<u64> {
    let mut words = values.to_vec();
    for depth in (0..RING_DEGREE.ilog2()).rev() {
        let h = RING_DEGREE >> (depth + 1);
        for (node, words) in words.chunks_exact_mut(2 * h).enumerate() {
            // A power of a root of unity is not zero.
            let undo = field::inv(delta(depth, node)).unwrap_or(0);
            let (low, high) = words.split_at_mut(h);
            for (low, high) in low.iter_mut().zip(high) {
                let (sum, difference) = (field::add(*low, *high), field::sub(*low, *high));
                *low = field::mul(HALF, sum);
                *high = field::mul(HALF, field::mul(undo, difference));
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_at_the_stated_points_and_lead_back() {
        let polynomial: [u64; RING_DEGREE] =
            std::array::from_fn(|k| field::pow(3, k as u64 * 7 + 1));
        let values = forward(&polynomial);
        for k in [0, 1, 2, 1000, RING_DEGREE - 1] {
            let reversed = k.reverse_bits() >> (usize::BITS - RING_DEGREE.ilog2());
            let x = field::pow(PSI, 2 * reversed as u64 + 1);
            let horner = polynomial.iter().rev().fold(0, |s, c| field::add(field::mul(s, x), *c));
            assert_eq!(values[k], horner, "word {k}");
        }
        assert_eq!(inverse(&values), polynomial);
        assert_eq!(field::add(HALF, HALF), 1);
    }
}
