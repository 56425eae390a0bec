//! Whether masks are the product of a public polynomial with the key, by two inner products in
//! place of a second transform (Freivalds).
//!
//! For weights `u` of the values, `sum_k u_k a(x_k) s(x_k) = sum_n r_n (a s)_n` with
//! `r_n = sum_k u_k x_k^n`. Both `r` and `u s` are made once, before the first block, and from the
//! second copy of the key. If masks differ from the product, so do their values at some point
//! `x_k`, and the two sides differ but for one value of `u_k` in q, whatever the other weights are.
//! The weights are uniform, fresh for each encryption and used for nothing else, so that no fault of
//! making a block depends on them: **wrong masks pass with a chance of 2^-64**, whether a word of
//! the public polynomial, of the key or of the transform was wrong, one or many. A transform that
//! errs in the same way whenever it is used is noticed, too, which a second transform would not do.
//! What makes `r` or `u s` wrong leads to a refusal that is not needed, and to no worse.

use ringfence_crypto::ring::ciphertext::residues_from_xof;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::xof::Xof;
use ringfence_crypto::vectorized;
use zeroize::Zeroizing;

use super::super::transform::product;

type Polynomial = Box<Zeroizing<[u64; RING_DEGREE]>>;

fn zeros() -> Polynomial {
    Box::new(Zeroizing::new([0; RING_DEGREE]))
}

/// Weights of the coefficients of a product, `r`, and of the values of its public factor, `u s`.
pub(super) struct ProductCheck {
    of_product: Polynomial,
    of_public: Polynomial,
}

impl ProductCheck {
    /// The check of products with a key, with weights from a stream that nothing else reads.
    pub(super) fn new(key: &[u64], weights: &mut Xof) -> Self {
        let (mut of_values, mut of_product, mut of_public) = (zeros(), zeros(), zeros());
        residues_from_xof(weights, of_values.as_mut_slice());
        for ((weight, value), key) in of_public.iter_mut().zip(of_values.iter()).zip(key) {
            *weight = field::mul(*value, *key);
        }
        // The inverse of point k is point N - 1 - k, since bitrev(N - 1 - k) = N - 1 - bitrev(k). So
        // `r` is what the inverse transform makes of the weights in reversed order, but for 1 / N.
        of_values.reverse();
        product(&of_values, &[RING_DEGREE as u64; RING_DEGREE], &mut of_product);
        Self { of_product, of_public }
    }

    /// Whether `masks` are the product of the key with the polynomial that has these values. Its
    /// time depends on nothing.
    pub(super) fn holds(&self, public: &[u64; RING_DEGREE], masks: &[u64; RING_DEGREE]) -> bool {
        inner_product(masks, &self.of_product) == inner_product(public, &self.of_public)
    }
}

/// Bits of a piece of a word: a product with a number of 32 bits has 54, and 2^10 of them add up
/// to 64.
const PIECE: u32 = 22;

/// Words whose products are added before they are taken together.
const PART: usize = 1 << (64 - 32 - PIECE);

/// `sum_k a_k b_k mod q`.
fn inner_product(a: &[u64; RING_DEGREE], b: &[u64; RING_DEGREE]) -> u64 {
    let ((a, _), (b, _)) = (a.as_chunks::<PART>(), b.as_chunks::<PART>());
    let mut sum = 0;
    for (a, b) in a.iter().zip(b) {
        for (piece, sums) in (0..).zip(piece_products(a, b)) {
            for (half, part) in (0..).zip(sums) {
                let shift = field::pow(2, u64::from(PIECE) * piece + 32 * half);
                sum = field::add(sum, field::mul(field::canonical(part), shift));
            }
        }
    }
    sum
}

vectorized! {
    /// Inner products of each piece of the first words with each half of the second.
    fn piece_products(a: &[u64; PART], b: &[u64; PART]) -> [[u64; 2]; 3] {
        let mut sums = [[0u64; 2]; 3];
        for (a, b) in a.iter().zip(b) {
            let (mut rest, halves) = (*a, [*b & 0xFFFF_FFFF, *b >> 32]);
            for sums in &mut sums {
                let piece = rest & ((1 << PIECE) - 1);
                for (sum, half) in sums.iter_mut().zip(halves) {
                    *sum = sum.wrapping_add(piece * half);
                }
                rest >>= PIECE;
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretWords;
    use crate::testing::rng;
    use ringfence_crypto::ring::params::MODULUS;

    fn uniform(seed: u64) -> [u64; RING_DEGREE] {
        SecretWords::uniform(RING_DEGREE, &mut rng(seed)).as_slice().try_into().unwrap()
    }

    fn check(key: &[u64], seed: u8) -> ProductCheck {
        ProductCheck::new(key, &mut Xof::keyed(&[seed; 32], &[b"weights"]))
    }

    fn masks(public: &[u64; RING_DEGREE], key: &[u64]) -> [u64; RING_DEGREE] {
        let mut masks = [0; RING_DEGREE];
        product(public, key, &mut masks);
        masks
    }

    #[test]
    fn inner_products_are_those_of_the_field() {
        let edges = [0, 1, 0xFFFF_FFFF, 1 << 32, 1 << 63, MODULUS - 1];
        for seed in 0..4 {
            let (mut a, mut b) = (uniform(seed), uniform(seed + 10));
            match seed {
                0 => (a, b) = ([MODULUS - 1; RING_DEGREE], [MODULUS - 1; RING_DEGREE]),
                1 => a = std::array::from_fn(|k| edges[k % 6]),
                2 => b = std::array::from_fn(|k| edges[k / 6 % 6]),
                _ => (),
            }
            let terms = a.iter().zip(&b);
            let expected = terms.fold(0, |sum, (a, b)| field::add(sum, field::mul(*a, *b)));
            assert_eq!(inner_product(&a, &b), expected, "seed {seed}");
        }
    }

    #[test]
    fn right_products_hold_and_one_wrong_word_anywhere_does_not() {
        for seed in 0..8 {
            let (public, key) = (uniform(seed), uniform(seed + 20));
            let (check, right) = (check(&key, seed as u8), masks(&public, &key));
            assert!(check.holds(&public, &right));
            for place in [0, 1, 63, 64, 2048, 4095] {
                // A coefficient; a value of the public polynomial, or of the key: then all
                // coefficients are wrong, but the value at one point only.
                let mut wrong = right;
                wrong[place] ^= 1 << (place % 60);
                assert!(!check.holds(&public, &wrong), "coefficient {place}");
                let mut other = public;
                other[place] = field::add(other[place], 1);
                assert!(!check.holds(&public, &masks(&other, &key)), "value {place}");
                let mut other = key;
                other[place] = field::sub(other[place], 1);
                assert!(!check.holds(&public, &masks(&public, &other)), "key word {place}");
            }
        }
    }

    #[test]
    fn weights_are_those_of_all_values() {
        // r by its definition, at a few places.
        use super::super::super::transform::inverse_power;
        let (key, mut weights) = (uniform(3), [0; RING_DEGREE]);
        residues_from_xof(&mut Xof::keyed(&[5; 32], &[b"weights"]), &mut weights);
        let check = check(&key, 5);
        for n in [0, 1, 17, 4095] {
            // x_k^n = x_(N-1-k)^-n.
            let power = |k: usize| inverse_power(RING_DEGREE - 1 - k, n);
            let terms = (0..RING_DEGREE).map(|k| field::mul(weights[k], power(k)));
            assert_eq!(check.of_product[n], terms.fold(0, field::add), "coefficient {n}");
        }
        for k in [0, 99, 4095] {
            assert_eq!(check.of_public[k], field::mul(weights[k], key[k]));
        }
    }
}
