//! The negacyclic NTT in the order that the specification states: word `k` of a transformed
//! polynomial is its value at `psi^(2 bitrev(k) + 1)`, `psi = 7^((q-1)/8192)`.
//!
//! Public polynomials and keys are drawn as values, so all that encrypting and opening need is the
//! inverse of a product.

mod inverse;
mod lanes;
mod points;

pub(crate) use inverse::product;
pub(crate) use points::inverse_power;

#[cfg(test)]
use ringfence_crypto::ring::{field, params::RING_DEGREE};

/// Values of a polynomial, plainly: for tests.
#[cfg(test)]
pub(crate) fn forward(coefficients: &[u64; RING_DEGREE]) -> Vec<u64> {
    use points::{PSI, reversed};
    let mut words = coefficients.to_vec();
    // Modulo X^(2h) - delta^2 = (X^h - delta)(X^h + delta), down to the evaluation points.
    for depth in 0..RING_DEGREE.ilog2() {
        let h = RING_DEGREE >> (depth + 1);
        for (node, words) in words.chunks_exact_mut(2 * h).enumerate() {
            let delta = field::pow(PSI, (h * (2 * reversed(node, depth) + 1)) as u64);
            let (low, high) = words.split_at_mut(h);
            for (low, high) in low.iter_mut().zip(high) {
                let term = field::mul(delta, *high);
                (*low, *high) = (field::add(*low, term), field::sub(*low, term));
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::points::point;
    use super::*;
    use crate::secret::SecretWords;
    use crate::testing::rng;
    use ringfence_crypto::ring::params::MODULUS;

    fn uniform(seed: u64) -> [u64; RING_DEGREE] {
        SecretWords::uniform(RING_DEGREE, &mut rng(seed)).as_slice().try_into().unwrap()
    }

    #[test]
    fn psi_is_a_primitive_root_of_minus_one() {
        assert_eq!(field::pow(point(0), RING_DEGREE as u64), MODULUS - 1);
    }

    #[test]
    fn values_are_those_at_the_stated_points() {
        let polynomial = uniform(1);
        let values = forward(&polynomial);
        for k in [0, 1, 2, 3, 1000, RING_DEGREE - 1] {
            let x = point(k);
            let horner =
                polynomial.iter().rev().fold(0, |sum, c| field::add(field::mul(sum, x), *c));
            assert_eq!(values[k], horner, "word {k}");
        }
    }

    fn multiplied(a: &[u64; RING_DEGREE], b: &[u64]) -> [u64; RING_DEGREE] {
        let mut out = [0; RING_DEGREE];
        product(a, b, &mut out);
        out
    }

    #[test]
    fn product_is_the_negacyclic_convolution() {
        let (a, b) = (uniform(2), uniform(3));
        let values = forward(&a).try_into().unwrap();
        let product = multiplied(&values, &forward(&b));
        for k in [0, 1, 2047, RING_DEGREE - 1] {
            let mut expected = 0;
            for i in 0..RING_DEGREE {
                let term = field::mul(a[i], b[(RING_DEGREE + k - i) % RING_DEGREE]);
                expected = match i <= k {
                    true => field::add(expected, term),
                    false => field::sub(expected, term),
                };
            }
            assert_eq!(product[k], expected, "coefficient {k}");
        }
        assert!(product.iter().all(|word| *word < MODULUS));
    }
}
