//! The inverse negacyclic NTT of length 4096, made for `q = 2^64 - 2^32 + 1`.
//!
//! Modulo this q, 2 is a 192nd root of unity: all roots of order 64 are powers of two, those of
//! order 128 powers of `sqrt 2 = 2^72 - 2^24`, and a product by one of them is a few shifts. So
//! the transform is split in two steps of length 64 whose roots are all of this kind, with one
//! multiplication a word between them (Bailey's four-step transform):
//!
//! With `k = 64 h + l` and `n = 64 m + i`, word `k` of the input is the polynomial's value at
//! `psi^(2 bitrev(k) + 1) = beta_h theta^(2 bitrev(l))`, where `beta_h = psi^(2 bitrev(h) + 1)` and
//! `theta = psi^64` has order 128 (`bitrev` of `h` and `l` over 6 bits). Modulo
//! `X^64 - beta_h^64` the polynomial has 64 coefficients. The first step finds them for every row
//! `h` from the values in the row (they come times `beta_h^i`, which the multiplication takes
//! off). Their dependence on `h` is through `beta_h^64 = theta^(2 bitrev(h) + 1)` only: the second
//! step finds from each column `i` the coefficients `i, 64 + i, ...`.

use std::sync::LazyLock;

use pulp::NullaryFnOnce;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::{MODULUS, RING_DEGREE};

use super::lanes::{Lanes, Residues, Scalar};
use super::points::{point, reversed};

/// Length of either step.
const SIDE: usize = 64;

/// `(2^72 - 2^24)^2 = 2^144 - 2^97 + 2^48 = -2^48 + 2 + 2^48`, since `2^96 = -1`.
const SQRT_2: u64 = field::sub(field::pow(2, 72), 1 << 24);

/// `theta = sqrt(2)^THETA`: 384 powers of `sqrt 2` are all 384th roots of unity.
const THETA: usize = {
    let theta = field::pow(point(0), SIDE as u64);
    let (mut exponent, mut power) = (0, 1);
    while power != theta {
        power = field::mul(power, SQRT_2);
        exponent += 1;
        assert!(exponent < 384, "theta is no power of sqrt 2");
    }
    exponent
};

/// `beta_h^-i / 4096` at `64 i + h`: what the first step leaves on coefficient `i` of row `h`.
static TWISTS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let inverse = |value| field::pow(value, MODULUS - 2);
    let betas: Vec<u64> = (0..SIDE).map(|h| inverse(point(h * SIDE))).collect();
    let scale = inverse(RING_DEGREE as u64);
    let twist = |i, h: usize| field::mul(field::pow(betas[h], i as u64), scale);
    (0..SIDE).flat_map(|i| (0..SIDE).map(move |h| twist(i, h))).collect()
});

/// Reduced coefficients of the product of two polynomials that are given by their `RING_DEGREE`
/// values, in constant time.
pub(crate) fn product(a: &[u64; RING_DEGREE], b: &[u64], out: &mut [u64; RING_DEGREE]) {
    let (b, twists) = (&b[..RING_DEGREE], TWISTS.as_slice());
    #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
    if let Some(lanes) = pulp::x86::V4::try_new() {
        return lanes.vectorize(Product { lanes, a, b, twists, out });
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = pulp::x86::V3::try_new() {
        return lanes.vectorize(Product { lanes, a, b, twists, out });
    }
    Product { lanes: Scalar, a, b, twists, out }.call();
}

struct Product<'a, L> {
    lanes: L,
    a: &'a [u64; RING_DEGREE],
    b: &'a [u64],
    twists: &'a [u64],
    out: &'a mut [u64; RING_DEGREE],
}

impl<L: Lanes> NullaryFnOnce for Product<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { lanes, a, b, twists, out } = self;
        let mut vectors = [lanes.splat(0); SIDE];
        // First step: as many rows at a time as there are lanes, a row a lane.
        for row in (0..SIDE).step_by(L::WIDTH) {
            for (c, tile) in vectors.chunks_exact_mut(L::WIDTH).enumerate() {
                for (r, vector) in tile.iter_mut().enumerate() {
                    let at = (row + r) * SIDE + c * L::WIDTH;
                    *vector = lanes.mul(lanes.load(&a[at..]), lanes.load(&b[at..]));
                }
                lanes.transpose(tile);
            }
            inverse::<L, CYCLIC>(lanes, &mut vectors);
            for (i, vector) in vectors.iter_mut().enumerate() {
                *vector = lanes.mul(*vector, lanes.load(&twists[i * SIDE + row..]));
            }
            for (c, tile) in vectors.chunks_exact_mut(L::WIDTH).enumerate() {
                lanes.transpose(tile);
                for (r, vector) in tile.iter().enumerate() {
                    lanes.store(*vector, &mut out[(row + r) * SIDE + c * L::WIDTH..]);
                }
            }
        }
        // Second step: a column a lane.
        for column in (0..SIDE).step_by(L::WIDTH) {
            for (h, vector) in vectors.iter_mut().enumerate() {
                *vector = lanes.load(&out[h * SIDE + column..]);
            }
            inverse::<L, NEGACYCLIC>(lanes, &mut vectors);
            for (m, vector) in vectors.iter().enumerate() {
                lanes.store(lanes.reduce(*vector), &mut out[m * SIDE + column..]);
            }
        }
        // What is left of them gives coefficients of the product with the key. Vectors are no type
        // that zeroize knows; the compiler may not leave out a store that is looked at.
        vectors.fill(lanes.splat(0));
        std::hint::black_box(&vectors);
    }
}

/// Values are at `theta^(2 bitrev(k) + KIND)`: modulo `X^64 - 1` or `X^64 + 1`.
const CYCLIC: usize = 0;
const NEGACYCLIC: usize = 1;

/// 64 times the coefficients of a polynomial modulo `X^64 - theta^(64 KIND)` from its values.
#[inline(always)]
fn inverse<L: Lanes, const KIND: usize>(lanes: L, vectors: &mut [L::Words; SIDE]) {
    // The exponents are constants, so every product by a root becomes its few shifts.
    let (groups, _) = vectors.as_chunks_mut::<8>();
    radix_8(lanes, &mut groups[0], const { exponents(KIND, 3, 0) });
    radix_8(lanes, &mut groups[1], const { exponents(KIND, 3, 1) });
    radix_8(lanes, &mut groups[2], const { exponents(KIND, 3, 2) });
    radix_8(lanes, &mut groups[3], const { exponents(KIND, 3, 3) });
    radix_8(lanes, &mut groups[4], const { exponents(KIND, 3, 4) });
    radix_8(lanes, &mut groups[5], const { exponents(KIND, 3, 5) });
    radix_8(lanes, &mut groups[6], const { exponents(KIND, 3, 6) });
    radix_8(lanes, &mut groups[7], const { exponents(KIND, 3, 7) });
    for j in 0..8 {
        let mut strided = std::array::from_fn(|m| vectors[8 * m + j]);
        radix_8(lanes, &mut strided, const { exponents(KIND, 0, 0) });
        for (m, vector) in strided.into_iter().enumerate() {
            vectors[8 * m + j] = vector;
        }
    }
}

/// Three levels of the tree of moduli `X^(2h) - delta^2 = (X^h - delta)(X^h + delta)` whose leaves
/// are the evaluation points: `delta = theta^(h (2 bitrev(i) + KIND))` at node `i` of depth `d`,
/// `h = 32 / 2^d`. Returns the exponents of `sqrt 2` of `delta^-1`: the four lowest nodes under
/// node `i` of depth `depth`, the two above them, that node.
const fn exponents(kind: usize, depth: u32, node: usize) -> [usize; 7] {
    let mut all = [0; 7];
    let mut index = 0;
    let mut level = 3;
    while level > 0 {
        level -= 1;
        let (depth, count) = (depth + level, 1 << level);
        let mut i = 0;
        while i < count {
            let node = node * count + i;
            let exponent = THETA * (32 >> depth) * (2 * reversed(node, depth) + kind) % 384;
            all[index] = (384 - exponent) % 384;
            index += 1;
            i += 1;
        }
    }
    all
}

/// Eight times the inverse of three levels.
#[inline(always)]
fn radix_8<L: Lanes>(lanes: L, x: &mut [L::Words; 8], exponents: [usize; 7]) {
    let [e0, e1, e2, e3, e4, e5, e6] = exponents;
    let [x0, x1, x2, x3, x4, x5, x6, x7] = *x;
    let (x0, x1) = butterfly(lanes, x0, x1, e0);
    let (x2, x3) = butterfly(lanes, x2, x3, e1);
    let (x4, x5) = butterfly(lanes, x4, x5, e2);
    let (x6, x7) = butterfly(lanes, x6, x7, e3);
    let (x0, x2) = butterfly(lanes, x0, x2, e4);
    let (x1, x3) = butterfly(lanes, x1, x3, e4);
    let (x4, x6) = butterfly(lanes, x4, x6, e5);
    let (x5, x7) = butterfly(lanes, x5, x7, e5);
    let (x0, x4) = butterfly(lanes, x0, x4, e6);
    let (x1, x5) = butterfly(lanes, x1, x5, e6);
    let (x2, x6) = butterfly(lanes, x2, x6, e6);
    let (x3, x7) = butterfly(lanes, x3, x7, e6);
    *x = [x0, x1, x2, x3, x4, x5, x6, x7];
}

/// `(u + v, (u - v) sqrt(2)^exponent)`.
#[inline(always)]
fn butterfly<L: Lanes>(
    lanes: L,
    u: L::Words,
    v: L::Words,
    exponent: usize,
) -> (L::Words, L::Words) {
    // sqrt(2)^192 = -1, and sqrt 2 = 2^72 - 2^24 with 2^96 = -1: signs are those of `u - v`.
    let by = (exponent % 192 / 2) as u32;
    let odd = !exponent.is_multiple_of(2);
    let negative = (exponent >= 192) != (odd && by >= 24);
    let (u, v) = if negative { (v, u) } else { (u, v) };
    let v = lanes.reduce(v);
    let (sum, difference) = (lanes.add(u, v), lanes.sub(u, v));
    if !odd {
        return (sum, lanes.mul_power_of_two(difference, by));
    }
    let high = lanes.mul_power_of_two(difference, (by + 72) % 96);
    let low = lanes.reduce(lanes.mul_power_of_two(difference, (by + 24) % 96));
    // The signs of 2^(by + 72) and of 2^(by + 24) differ unless one of them only wraps.
    let wraps = (24..72).contains(&by);
    (sum, if wraps { lanes.add(high, low) } else { lanes.sub(high, low) })
}

#[cfg(test)]
mod tests {
    use super::super::lanes::EPSILON;
    use super::*;
    use proptest::prelude::*;

    const EDGES: [u64; 9] =
        [0, 1, EPSILON, EPSILON + 1, 1 << 63, MODULUS - 1, MODULUS, MODULUS + 1, u64::MAX];

    fn word() -> impl Strategy<Value = u64> {
        prop_oneof![prop::sample::select(EDGES.to_vec()), any::<u64>()]
    }

    /// One operation on as many copies of the operands as there are lanes.
    struct Operation<L, F> {
        lanes: L,
        a: u64,
        b: u64,
        operation: F,
    }

    impl<L: Lanes, F: Fn(L, L::Words, L::Words) -> L::Words> NullaryFnOnce for Operation<L, F> {
        type Output = Vec<u64>;

        fn call(self) -> Vec<u64> {
            let Self { lanes, a, b, operation } = self;
            let mut out = vec![0; L::WIDTH];
            let result = operation(lanes, lanes.splat(a), lanes.splat(b));
            lanes.store(lanes.reduce(result), &mut out);
            out
        }
    }

    fn check_residues<L: Lanes>(lanes: L, a: u64, b: u64, by: u32) {
        let run = |operation: &dyn Fn(L, L::Words, L::Words) -> L::Words, expected: u64| {
            assert_eq!(Operation { lanes, a, b, operation }.call(), vec![expected; L::WIDTH]);
        };
        let (x, y) = (field::canonical(a), field::canonical(b));
        run(&|_, a, _| a, x);
        run(&|lanes, a, b| lanes.add(a, lanes.reduce(b)), field::add(x, y));
        run(&|lanes, a, b| lanes.sub(a, lanes.reduce(b)), field::sub(x, y));
        run(&|lanes, a, b| lanes.mul(a, b), field::mul(x, y));
        let power = field::pow(2, u64::from(by));
        run(&|lanes, a, _| lanes.mul_power_of_two(a, by), field::mul(x, power));
        for exponent in [4 * by as usize, 4 * by as usize + 1, 4 * by as usize + 2] {
            let power = field::pow(SQRT_2, exponent as u64);
            let expected = field::mul(field::sub(x, y), power);
            run(&|lanes, a, b| butterfly(lanes, a, b, exponent % 384).1, expected);
            run(&|lanes, a, b| butterfly(lanes, a, b, exponent % 384).0, field::add(x, y));
        }
    }

    proptest! {
        #[test]
        fn residues_of_any_size_are_handled(a in word(), b in word(), by in 0u32..96) {
            check_residues(Scalar, a, b, by);
            #[cfg(target_arch = "x86_64")]
            if let Some(lanes) = pulp::x86::V3::try_new() {
                check_residues(lanes, a, b, by);
            }
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            if let Some(lanes) = pulp::x86::V4::try_new() {
                check_residues(lanes, a, b, by);
            }
        }
    }

    fn product_in<L: Lanes>(lanes: L, a: &[u64; RING_DEGREE], b: &[u64]) -> [u64; RING_DEGREE] {
        let mut out = [0; RING_DEGREE];
        Product { lanes, a, b, twists: &TWISTS, out: &mut out }.call();
        out
    }

    #[test]
    fn all_vector_units_agree() {
        for seed in 0..20 {
            let mut rng = crate::testing::rng(seed);
            let mut draw = || {
                let words = crate::secret::SecretWords::uniform(RING_DEGREE, &mut rng);
                let mut words: [u64; RING_DEGREE] = words.as_slice().try_into().unwrap();
                // Some of the words at the edges.
                words.iter_mut().step_by(3 + seed as usize).for_each(|w| *w = MODULUS - 1);
                words.iter_mut().step_by(5 + seed as usize).for_each(|w| *w = 0);
                words
            };
            let (a, b) = (draw(), draw());
            let expected = product_in(Scalar, &a, &b);
            assert!(expected.iter().all(|word| *word < MODULUS));
            #[cfg(target_arch = "x86_64")]
            if let Some(lanes) = pulp::x86::V3::try_new() {
                assert!(product_in(lanes, &a, &b) == expected, "AVX2, seed {seed}");
            }
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            if let Some(lanes) = pulp::x86::V4::try_new() {
                assert!(product_in(lanes, &a, &b) == expected, "AVX-512, seed {seed}");
            }
        }
    }

    #[test]
    fn constants_are_what_they_are_said_to_be() {
        assert_eq!(field::mul(SQRT_2, SQRT_2), 2);
        assert_eq!(field::pow(2, 96), MODULUS - 1);
        assert_eq!(field::pow(SQRT_2, THETA as u64), field::pow(point(0), 64));
    }
}
