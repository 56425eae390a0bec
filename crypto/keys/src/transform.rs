//! The negacyclic NTT in the order that the specification states.
//!
//! Word `k` of a transformed polynomial is its value at `psi^(2 bitrev(k) + 1)`,
//! `psi = 7^((q-1)/8192)`. `tfhe-ntt` computes the transform; its own order and root are found by
//! transforming the polynomial `X`, whose values *are* the evaluation points, so that no library's
//! order is the specification.

use std::collections::HashMap;
use std::sync::LazyLock;

use ringfence_crypto::field;
use ringfence_crypto::params::{MODULUS, RING_DEGREE};
use ringfence_crypto::vectorized;
use tfhe_ntt::prime64::Plan;

use crate::secret::SecretWords;

/// Plan and order for `R_q`; made once a process.
pub(crate) struct Transform {
    plan: Plan,
    /// `order[p]`: the specification's index of the library's position `p`.
    order: Vec<u16>,
    /// `N^-1 mod q`: the library's inverse leaves a factor N.
    scale: u64,
}

vectorized! {
    fn multiply(words: &mut [u64], factors: &[u64]) {
        for (word, factor) in words.iter_mut().zip(factors) {
            *word = field::mul_by_halves(*word, *factor);
        }
    }
}

/// The specification's evaluation point of word `k`.
fn point(k: usize) -> u64 {
    let bits = RING_DEGREE.ilog2();
    let reversed = (k as u64).reverse_bits() >> (u64::BITS - bits);
    let psi = field::pow(7, (MODULUS - 1) / (2 * RING_DEGREE as u64));
    field::pow(psi, 2 * reversed + 1)
}

static TRANSFORM: LazyLock<Option<Transform>> = LazyLock::new(|| {
    let plan = Plan::try_new(RING_DEGREE, MODULUS)?;
    let mut points = vec![0; RING_DEGREE];
    points[1] = 1;
    plan.fwd(&mut points);
    let index: HashMap<u64, u16> = (0..RING_DEGREE).map(|k| (point(k), k as u16)).collect();
    let order = points.iter().map(|value| index.get(value).copied()).collect::<Option<_>>()?;
    let scale = field::inv(RING_DEGREE as u64)?;
    Some(Transform { plan, order, scale })
});

/// One factor of many products: in the library's order, with its `N^-1` multiplied in.
pub(crate) struct Factor(SecretWords);

impl Transform {
    /// The one transform of this process.
    pub(crate) fn get() -> &'static Self {
        match TRANSFORM.as_ref() {
            Some(transform) => transform,
            // q and N are constants for which the transform exists; a test runs it.
            None => unreachable!("the negacyclic NTT of length N exists modulo q"),
        }
    }

    /// Prepares a factor, given by its values in the specification's order, for many products.
    pub(crate) fn factor(&self, values: &[u64]) -> Factor {
        let mut factor = SecretWords::zeros(RING_DEGREE);
        for (word, k) in factor.as_mut_slice().iter_mut().zip(&self.order) {
            *word = field::mul(values[usize::from(*k)], self.scale);
        }
        Factor(factor)
    }

    /// Coefficients of the product of a polynomial, given by its values, with a factor.
    pub(crate) fn product(
        &self,
        values: &[u64; RING_DEGREE],
        factor: &Factor,
        out: &mut [u64; RING_DEGREE],
    ) {
        for (out, k) in out.iter_mut().zip(&self.order) {
            *out = values[usize::from(*k) % RING_DEGREE];
        }
        multiply(out, factor.0.as_slice());
        self.plan.inv(out);
        // The library leaves residues below q; a test holds it to that.
    }

    /// Values of a polynomial in the specification's order.
    #[cfg(any(test, feature = "tfhe"))]
    pub(crate) fn forward(&self, coefficients: &[u64; RING_DEGREE]) -> Vec<u64> {
        let mut buffer = coefficients.to_vec();
        self.plan.fwd(&mut buffer);
        let mut values = vec![0; RING_DEGREE];
        for (value, k) in buffer.iter().zip(&self.order) {
            values[usize::from(*k)] = *value;
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;

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
        let values = Transform::get().forward(&polynomial);
        for k in [0, 1, 2, 3, 1000, RING_DEGREE - 1] {
            let x = point(k);
            let horner =
                polynomial.iter().rev().fold(0, |sum, c| field::add(field::mul(sum, x), *c));
            assert_eq!(values[k], horner, "word {k}");
        }
    }

    #[test]
    fn product_is_the_negacyclic_convolution() {
        let (a, b) = (uniform(2), uniform(3));
        let transform = Transform::get();
        let factor = transform.factor(&transform.forward(&b));
        let mut product = [0; RING_DEGREE];
        let values = transform.forward(&a).try_into().unwrap();
        transform.product(&values, &factor, &mut product);
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
