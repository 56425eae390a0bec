//! Discrete Gaussian noise of any width from 10 to 2^22, in constant time: base sample, uniform low
//! part and rejection (FACCT: Zhao, Steinfeld and Sakzad, IEEE Trans. Computers 2020, after
//! Poeppelmann, Ducas and Guneysu's `K x + u`).
//!
//! `K = ceil(sigma / 6.4)`; `x >= 0` is drawn with `P(x) ~ exp(-x^2 / (2 * 6.4^2))` from a
//! cumulative table, `u` is uniform in `0..K`, and `y = K x + u` is kept
//! with the probability `exp(-t)`, `t = y^2 / (2 sigma^2) - x^2 / (2 * 6.4^2) >= 0`, which leaves it
//! distributed as `exp(-y^2 / (2 sigma^2))` on the natural numbers. A sign follows, with which zero
//! is kept once; a magnitude beyond the bound `B` is not kept. Of ten candidates about nine are.
//!
//! Every candidate takes the same steps. Which ones are kept is seen in the time and in where the
//! others are stored, but candidates are independent, so that what is kept is independent of how
//! many were not. (Sums of scaled table samples, the other known way, need eight samples and 64
//! bytes of randomness a value at a width of 10^4; this takes 20 bytes at any width.)
//!
//! # How far it is from the exact distribution
//! - `u` is exactly uniform: a word of 32 bits whose product with `K` falls into the incomplete
//!   part is not kept (Lemire 2019).
//! - `exp(-t)` comes from double precision: `y` and `y^2` are exact below 2^53. Within the bound
//!   `y <= 10 sigma`, `t` is off by at most `4 y^2 / (2 sigma^2) * 2^-53` (two products, a rounded
//!   constant, a difference); the reduction by `ln 2`, thirteen terms of the exponential series on
//!   `|f| <= 0.35` (remainder 2^-57) and rounding to 51 bits add relative errors of at most 2^-53,
//!   2^-51 and 2^-51.5. With `E (y^2 / (2 sigma^2))^2 = 3/4` the root mean square of the log ratio
//!   to the exact probability is below 2^-49 (Minkowski), its largest value below 2^-45. The
//!   Kullback-Leibler divergence of a sample is half its mean square, and by Pinsker's inequality
//!   the distance of `n` samples is at most `sqrt(n) / 2 * 2^-49`.
//! - The comparison has 62 bits. From `K = 10` on every kept probability is above 2^-16, and that
//!   is part of the relative error above; below, it costs 2^-59 a sample.
//! - The shared lower half of the table numbers, drawn afresh for `CANDIDATES` candidates, costs
//!   below `2^17 * 2^-116 = 2^-99` each time; rounding table entries to 128 bits and cutting the
//!   table at 64 less than 2^-76 a sample.
//! - Cutting at `B` costs `P(|y| > B) <= 2 exp(-(B + 1)^2 / (2 sigma^2))` a sample (the discrete
//!   Gaussian is sub-Gaussian: Canonne, Kamath and Steinke 2020, Corollary 17).
//!
//! [`DiscreteGaussian::inexactness`] adds these up. That bulk randomness is as good as uniform is the
//! assumption on BLAKE3 that everything here rests on.

use ringfence_crypto::ring::xof::Xof;
use ringfence_crypto::vectorized;
use zeroize::Zeroizing;

use super::inexact::Inexactness;
use crate::cumulative_table::{ENTRIES, count_reached, limits};

/// Width of the base samples.
const BASE_SIGMA: f64 = 6.4;

/// `HALF[k] = floor(2^128 * P(X <= k))` for `P(x) ~ exp(-x^2 / (2 * 6.4^2))` on the natural
/// numbers, k = 0..63. Computed with 90 decimal digits by
/// `crypto/tests/vectors/generate/gaussian.py half`.
pub(crate) const HALF: [u128; ENTRIES] = [
    0x1e0aed144fc9c1d7a226538169d29bf2,
    0x3bb88a1cc2bb3527dee9deadb5f95f0e,
    0x5854f3f5e2bc6d52ed8bd78ae593f704,
    0x733fb06a67ee5f6df6f3a0e296eaff85,
    0x8bf61286345ce748375bfe62b715fe3c,
    0xa21a3cc039c943af24b1a449d0d03b51,
    0xb5762ef0fe11d9cb7b10ffae6e7bfd53,
    0xc5fae45dea75fdbe48e42b9498c2d286,
    0xd3bc0dfaa05a274014de3989663c2f41,
    0xdee9578f788f9c696eda2ccebf7c2418,
    0xe7c656e7f3ad335f18e95ee1380dcd5e,
    0xeea2414be03ef8a226a4fb2ef5e2acfa,
    0xf3d0564797a8d39ed6ce7805a4fecbe0,
    0xf7a1a6b7518208b447564ac32a2acd47,
    0xfa608dc94499d64825c052dfb2511fcf,
    0xfc4de6d44e255ef34f651ad99bd45615,
    0xfd9fd14038b27f06873e6eac634b543f,
    0xfe81b0402d9d1b57204b69464e5aedd4,
    0xff15065e02dc779330f0b7784ce8f601,
    0xff72d09b36db6b6c4624307edaa5f795,
    0xffad142f19b9dd8a9cd07a68c5fb49be,
    0xffd06685db156fd3a013638ba8d7f95b,
    0xffe54c16df2c6b8076640782158afa59,
    0xfff15ca19c28f78fa5d51171502fe646,
    0xfff828c6d254eb24baf95ccd0e163f97,
    0xfffbe58ff365d640d58540b6dc11ffda,
    0xfffde6f1d22d7b047e7dd0684827b54a,
    0xfffef3c429cb89362d2ed16f30564415,
    0xffff7d224cc87fcecf1773baa0dd9190,
    0xffffc1a2c58cd2808546c7616d249bcb,
    0xffffe2f8daec92e4cf384ea6107e3ad7,
    0xfffff2cdc7f39efdf1ecbd9225589aaf,
    0xfffffa2422afe5c13cb84ed34e4172ed,
    0xfffffd75acc72ad012f63a879d296ed5,
    0xfffffeeca2e967ddcd3623387c5c18e1,
    0xffffff8e2446235dac4cd3a94b7ce822,
    0xffffffd2073f45dbd5c0901a2e59021b,
    0xffffffede014e777c3dcda6ca1ea116f,
    0xfffffff905cb0983c6ed373eadf6d8ba,
    0xfffffffd6098f9cf222a5d3bc99d167b,
    0xffffffff0997d978a88cd229ca735c1b,
    0xffffffffa7b4bff9507c872c0b79d824,
    0xffffffffe11c588cdf405120fa1c4382,
    0xfffffffff5731101945fc4140c451a0a,
    0xfffffffffc7b56f8084aaedcb5957b02,
    0xfffffffffedac9e0186545c47f5493dd,
    0xffffffffffa2cf8c0e161cc7ebe446dd,
    0xffffffffffe3160119a99773a21cb08a,
    0xfffffffffff73df654a8f671bc586900,
    0xfffffffffffd690c6d1e1a62590679f2,
    0xffffffffffff40a2efe24ebae3fb0f05,
    0xffffffffffffca13db7a3c2809265dff,
    0xfffffffffffff12af14fd04bfaa35871,
    0xfffffffffffffc04740c21f4dc43f4a6,
    0xfffffffffffffef4c53f3e6d8061c82d,
    0xffffffffffffffbba0ed2b3011910082,
    0xffffffffffffffeeecae5b8218f4a682,
    0xfffffffffffffffbd6598bcd868bb6eb,
    0xffffffffffffffff026b3e2d85e31e61,
    0xffffffffffffffffc5199a77c79e4363,
    0xfffffffffffffffff2a56af1f9030793,
    0xfffffffffffffffffd0b78691344f95e,
    0xffffffffffffffffff5c95ca59877037,
    0xffffffffffffffffffdd8bc5c7dc7d0b,
];

/// Candidates of one run.
const CANDIDATES: usize = 512;

/// Bytes of randomness of one run: the shared lower half, then upper halves, then words of an
/// acceptance number and a sign, then words of the low parts.
const UNIFORM_BYTES: usize = 8 + CANDIDATES * (8 + 8 + 4);

/// Smallest width: below it a step is so coarse that fewer bits of a value would do.
pub const SMALLEST_SIGMA: f64 = 10.0;

/// Largest width: squares of samples are exact in double precision.
pub const LARGEST_SIGMA: f64 = 4_194_304.0;

/// A width that the sampler does not have.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "noise of {0} steps at each site; expected {SMALLEST_SIGMA} to {LARGEST_SIGMA} (a quantized value's step is 2 C / (2^b - 1)): {hint}",
    hint = if *.0 < SMALLEST_SIGMA {
        "take more bits a value or a smaller element bound, so that steps are finer, or more noise"
    } else {
        "take fewer bits a value or a larger element bound, so that steps are coarser, or less noise"
    }
)]
pub struct SigmaError(pub f64);

/// The discrete Gaussian of a width, cut at ten times the width: `P(e) ~ exp(-e^2 / (2 sigma^2))`
/// for integers `|e| <= B`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiscreteGaussian {
    sigma: f64,
    scale: Scale,
}

/// What the candidates of a width have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    /// `K`.
    steps: u64,
    /// `2^32 mod K`: below it a product's lower half is in the incomplete part.
    incomplete: u64,
    /// `B`.
    bound: u64,
    /// `1 / (2 sigma^2)`.
    target: f64,
    /// `1 / (2 * 6.4^2)`.
    base: f64,
}

/// Working memory of one thread, wiped when it is dropped.
pub(crate) struct Candidates {
    uniform: Zeroizing<[u8; UNIFORM_BYTES]>,
    values: Zeroizing<[u64; CANDIDATES]>,
    kept: Zeroizing<[u64; CANDIDATES]>,
}

impl Candidates {
    pub(crate) fn new() -> Self {
        Self {
            uniform: Zeroizing::new([0; UNIFORM_BYTES]),
            values: Zeroizing::new([0; CANDIDATES]),
            kept: Zeroizing::new([0; CANDIDATES]),
        }
    }
}

impl DiscreteGaussian {
    /// The sampler of a width `sigma`, in integers.
    ///
    /// # Errors
    /// [`SigmaError`] for a width outside [`SMALLEST_SIGMA`] to [`LARGEST_SIGMA`].
    pub fn new(sigma: f64) -> Result<Self, SigmaError> {
        if !(SMALLEST_SIGMA..=LARGEST_SIGMA).contains(&sigma) {
            return Err(SigmaError(sigma));
        }
        let steps = (sigma / BASE_SIGMA).ceil() as u64;
        // Rounded down by more than the operations are off, so that the width is not below sigma.
        let target = 0.5 / (sigma * sigma) * (1.0 - 4.0 * f64::EPSILON);
        let bound = (10.0 * sigma).ceil() as u64;
        let base = 0.5 / (BASE_SIGMA * BASE_SIGMA);
        let scale = Scale { steps, incomplete: (1 << 32) % steps, bound, target, base };
        Ok(Self { sigma, scale })
    }

    /// The width.
    pub fn sigma(&self) -> f64 {
        self.sigma
    }

    /// `B = ceil(10 sigma)`: no sample is larger.
    pub fn bound(&self) -> u32 {
        // At most 41,943,040.
        self.scale.bound as u32
    }

    /// How far so many samples are from independent ones of the discrete Gaussian on all integers.
    pub fn inexactness(&self, samples: f64) -> Inexactness {
        let Self { sigma, scale } = *self;
        let beyond = (scale.bound + 1) as f64 / sigma;
        let tail = 2.0 * (-0.5 * beyond * beyond).exp();
        let resolution = 2f64.powi(if scale.steps < 10 { -59 } else { -76 });
        Inexactness { added: samples * (tail + resolution), squared: 2f64.powi(-100) * samples }
    }

    /// Fills `out` with independent samples.
    pub(crate) fn fill(&self, stream: &mut Xof, scratch: &mut Candidates, out: &mut [i32]) {
        let mut missing = out;
        while !missing.is_empty() {
            stream.fill(scratch.uniform.as_mut_slice());
            let values = self.kept(scratch);
            let (filled, rest) = missing.split_at_mut(values.len().min(missing.len()));
            for (out, value) in filled.iter_mut().zip(values) {
                // Two's complement of at most 27 bits.
                *out = *value as i32;
            }
            missing = rest;
        }
    }

    /// The samples that the uniform bytes of one run give, in two's complement.
    fn kept<'a>(&self, scratch: &'a mut Candidates) -> &'a [u64] {
        let Candidates { uniform, values, kept } = scratch;
        let (low, rest) = uniform.split_at(8);
        let low = low.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (numbers, rest) = rest.split_at(CANDIDATES * 8);
        let (words, parts) = rest.split_at(CANDIDATES * 8);
        for (value, bytes) in values.iter_mut().zip(numbers.as_chunks::<8>().0) {
            *value = u64::from_le_bytes(*bytes);
        }
        count_reached(&limits(&HALF, low), values.as_mut_slice());
        propose(values.as_mut_slice(), words, parts, self.scale, kept.as_mut_slice());
        let mut count = 0;
        for (index, keep) in kept.iter().enumerate() {
            values[count] = values[index];
            count += *keep as usize;
        }
        &values[..count]
    }
}

/// 2^52: added to a double below it, it leaves the nearest integer in the lower 52 bits; and an
/// integer below it, in place of these bits, is the double's.
const INTEGER: f64 = 4_503_599_627_370_496.0;
const INTEGER_BITS: u64 = (1 << 52) - 1;

/// `ln 2` in two parts: the first has 24 bits, so that its products with numbers below 2^6 are
/// exact.
const LN2_HIGH: f64 = 0.693_147_182_464_599_6;
const LN2_LOW: f64 = -1.904_654_299_957_768e-9;

/// `62 ln 2`: beyond it fewer than one candidate of 2^62 should be kept, and at most two are.
const LARGEST_EXPONENT: f64 = 42.975_125_194_716_6;

/// `2^62 exp(-t)` for `t >= 0`, to within a relative 2^-50 and two units.
#[inline(always)]
fn acceptance(t: f64) -> u64 {
    let t = if t > 0.0 { t } else { 0.0 };
    let t = if t < LARGEST_EXPONENT { t } else { LARGEST_EXPONENT };
    let halvings = t * std::f64::consts::LOG2_E + INTEGER;
    let rounded = halvings - INTEGER;
    // exp(-t) = 2^-n exp(f), |f| <= ln(2) / 2.
    let f = (rounded * LN2_HIGH - t) + rounded * LN2_LOW;
    let mut series = 1.0;
    let mut divisor = 13.0;
    for _ in 0..13 {
        series = 1.0 + series * f * (1.0 / divisor);
        divisor -= 1.0;
    }
    let mantissa = (series * 2_251_799_813_685_248.0 + INTEGER).to_bits() & INTEGER_BITS;
    (mantissa << 11) >> (halvings.to_bits() & 63)
}

/// An integer below 2^52 as a double.
#[inline(always)]
fn real(number: u64) -> f64 {
    f64::from_bits(INTEGER.to_bits() | number) - INTEGER
}

vectorized! {
    /// Turns base samples into candidates with their signs, and says which are kept: 1 or 0.
    fn propose(values: &mut [u64], words: &[u8], parts: &[u8], scale: Scale, kept: &mut [u64]) {
        let Scale { steps, incomplete, bound, target, base } = scale;
        let (words, parts) = (words.as_chunks::<8>().0, parts.as_chunks::<4>().0);
        let rows = values.iter_mut().zip(words).zip(parts).zip(kept);
        for (((value, word), part), keep) in rows {
            let (x, word) = (*value, u64::from_le_bytes(*word));
            let product = u64::from(u32::from_le_bytes(*part)) * (steps & 0xffff_ffff);
            let complete = (product & 0xffff_ffff) as i64 >= incomplete as i64;
            let y = (x & 0xffff_ffff) * (steps & 0xffff_ffff) + (product >> 32);
            let (real_y, real_x) = (real(y), real(x));
            let t = real_y * real_y * target - real_x * real_x * base;
            // As signed numbers, which AVX2 compares.
            let accepted = ((word >> 2) as i64) < acceptance(t) as i64;
            let within = y as i64 <= bound as i64;
            let sign = word & 1;
            let first_zero = (y | (1 - sign)) != 0;
            *value = (y ^ sign.wrapping_neg()).wrapping_add(sign);
            *keep = u64::from(complete & accepted & within & first_zero);
        }
    }
}

#[cfg(test)]
mod tests;
