//! Discrete Gaussian errors of width 6.4 from a [cumulative table](crate::cumulative_table), in
//! constant time.
//!
//! A sample's magnitude is the number of table entries that a uniform 128-bit number reaches, and
//! a further bit is its sign. The lower halves of the uniform numbers are drawn once a block and
//! shared by its samples: the distance from independent numbers is below `2^23 * 2^-116 = 2^-93` a
//! block and 2^-79 a largest body. Cutting at ten sigma and rounding entries to 128 bits cost less
//! than 2^-75 a sample.

use ringfence_crypto::ring::params::{MODULUS, RING_DEGREE};
use ringfence_crypto::vectorized;

use crate::cumulative_table::{ENTRIES, count_reached, limits};

/// `TABLE[k] = floor(2^128 * P(|X| <= k))` for the discrete Gaussian with
/// `P(x) ~ exp(-x^2 / (2 * 6.4^2))`, k = 0..63. Computed with 90 decimal digits by
/// `crypto/tests/vectors/generate/gaussian.py`.
pub(crate) const TABLE: [u128; ENTRIES] = [
    0x0ff52b4064a1f25829df05b2074b38dd,
    0x2f7c60a73fd7d18826e8b6edf22a1266,
    0x4de15b3adda5de9dc9e7ac0c5abebaf2,
    0x6a799fecc5149eef0170dc0f9c5f8cdc,
    0x84ba5c80f0e2593c36c416d37911d31e,
    0x9c3fd98e6afdaf5f31b3771667cdbcd3,
    0xb0d0b93423b946aa10ad199998bd5227,
    0xc25d070e855a757634ac28652078ee1d,
    0xd0f9ae4b2490f23ed96d22f15341e2fe,
    0xdcd9536a8bf79cc3dc520c76a7c55647,
    0xe643c2b8ef9964cf41be68f878ca74a5,
    0xed8d2178b2b4bc365892af05eb091a83,
    0xf30ddfa949d92127eb9c24494d93e192,
    0xf71c1bc6a8d9fb0bc6f2555a3ce068ce,
    0xfa06d38c8efbeab09124365887787487,
    0xfc12ed48cfb3cf24b89ea989dca9fde6,
    0xfd79e80f7da63ddf9444ec7b65d4123f,
    0xfe69db71062586002f90fca6a4cfb4c8,
    0xff0660b4e9f723664936d24f121eb708,
    0xff6a039e19247fe62a640866e067e325,
    0xffa7e8f42ad7bced00881f079528b3a5,
    0xffcd6ef1c645c4181f6a5ff5a4411ed5,
    0xffe3a1f98533f958a2b9c35d23147f7c,
    0xfff0730a41da5dd47002b5de5a2afe58,
    0xfff7aba82bcfb231a7db009b81eb0e7c,
    0xfffba41563f3b3375abb089b35e17ae7,
    0xfffdc577a82fd26564035705d22a8d05,
    0xfffee30bc5a8f0a93e610e514375fffb,
    0xffff74f9faff9335ba6bac6e9c2a4760,
    0xffffbdbf955dc9f7ae25549b834a2eda,
    0xffffe129a302737c1cb36c108be55724,
    0xfffff1fb3360804dedc671490fa9d993,
    0xfffff9c6a44fff1d1181c7f720303973,
    0xfffffd4d2317515f3f4848282dde22ec,
    0xfffffedb78be786de3bee18c776d8d2a,
    0xffffff870b5bba0419a939f3be1132a5,
    0xffffffcf29a52628f0f78ecc001de73f,
    0xffffffecbeda851db62128934730f76a,
    0xfffffff896734c9a69e75b580af22851,
    0xfffffffd36bef16a28adcff6946de4d6,
    0xfffffffefa3bc3e8618773e8c002e972,
    0xffffffffa233c849cc8779329b8a1e7d,
    0xffffffffdf2f6ca5dcf813540b3bde90,
    0xfffffffff4cab4579f0e2a8e81e8941e,
    0xfffffffffc433282a1365a3192c13f9e,
    0xfffffffffec882e5e3726744d13404e9,
    0xffffffffff9d0076255eab216f182dc0,
    0xffffffffffe1489a56a4688526ac1045,
    0xfffffffffff6b23495924f0db369875d,
    0xfffffffffffd3fb94065a0922a2bfd0f,
    0xffffffffffff34b5378b60bac3056abf,
    0xffffffffffffc6b7613b374bffd71da0,
    0xfffffffffffff03e410aea52e7350c0e,
    0xfffffffffffffbc4e66fa698f99beab5,
    0xfffffffffffffee41ce192868cff2804,
    0xffffffffffffffb75de0868768c14ee2,
    0xffffffffffffffeddc3233320a896460,
    0xfffffffffffffffb93ec3aa65b16fb72,
    0xfffffffffffffffef29cac9cecdf3a11,
    0xffffffffffffffffc16db2121d240df4,
    0xfffffffffffffffff1d05243ed3f1167,
    0xfffffffffffffffffcdc4ff1a6e3d1f2,
    0xffffffffffffffffff526610f37c412b,
    0xffffffffffffffffffdb65f750aa4d34,
];

/// Bytes of randomness that a block's errors take: signs, the shared lower half, upper halves.
pub(crate) const UNIFORM_BYTES: usize = RING_DEGREE / 8 + 8 + RING_DEGREE * 8;

/// Fills `errors` with residues of independent discrete Gaussians, from uniform bytes: first the
/// signs, a bit each, least significant first; then the shared lower half; then upper halves.
pub(crate) fn errors_from_uniform(uniform: &[u8; UNIFORM_BYTES], errors: &mut [u64; RING_DEGREE]) {
    let (signs, rest) = uniform.split_at(RING_DEGREE / 8);
    let (numbers, _) = rest.as_chunks::<8>();
    let low = numbers.first().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let limits = limits(&TABLE, low);
    let (_, uppers) = rest.split_at(8);
    pulp::bytemuck::cast_slice_mut(errors.as_mut_slice()).copy_from_slice(uppers);
    errors.iter_mut().for_each(|error| *error = u64::from_le(*error));
    count_reached(&limits, errors);
    apply_signs(signs, errors);
}

vectorized! {
    /// Turns magnitudes into residues, negative where the sign bit is set.
    fn apply_signs(signs: &[u8], errors: &mut [u64; RING_DEGREE]) {
        let (words, _) = signs.as_chunks::<8>();
        let (runs, _) = errors.as_chunks_mut::<64>();
        for (run, signs) in runs.iter_mut().zip(words) {
            let signs = u64::from_le_bytes(*signs);
            for (i, error) in run.iter_mut().enumerate() {
                let mask = (signs >> i & 1).wrapping_neg();
                // q - error, but zero stays zero.
                let nonzero = (*error | error.wrapping_neg()) >> 63;
                let negative = (MODULUS & nonzero.wrapping_neg()).wrapping_sub(*error);
                *error = (*error & !mask) | (negative & mask);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;
    use rand::Rng;
    use ringfence_crypto::ring::params::{ERROR_SIGMA, ERROR_TAIL, MODULUS};

    /// The probability that the table gives to `|X| = k`, and the formula's.
    fn probabilities(k: usize) -> (f64, f64) {
        let below = if k == 0 { 0 } else { TABLE[k - 1] };
        let rho = |k: i64| (-(k as f64).powi(2) / (2.0 * ERROR_SIGMA * ERROR_SIGMA)).exp();
        let total: f64 = (-200..=200).map(rho).sum();
        let folded = if k == 0 { 1.0 } else { 2.0 };
        ((TABLE[k] - below) as f64 / 2f64.powi(128), folded * rho(k as i64) / total)
    }

    #[test]
    fn table_is_the_discrete_gaussian() {
        for k in 0..TABLE.len() {
            let (table, formula) = probabilities(k);
            // f64 carries 52 bits of the formula; the far tail is compared relatively too.
            assert!((table / formula - 1.0).abs() < 1e-9, "k = {k}: {table} against {formula}");
        }
        assert_eq!(TABLE.len() as u64, ERROR_TAIL);
    }

    #[test]
    fn signs_and_layout_of_the_uniform_bytes() {
        let mut uniform = [0u8; UNIFORM_BYTES];
        uniform[0] = 0b0000_0101; // the first and the third are negative
        uniform[RING_DEGREE / 8..][..8].copy_from_slice(&u64::MAX.to_le_bytes());
        let high = (TABLE[4] >> 64) as u64;
        for k in 0..3 {
            let at = RING_DEGREE / 8 + 8 + k * 8;
            uniform[at..at + 8].copy_from_slice(&(high * u64::from(k < 2)).to_le_bytes());
        }
        let mut errors = [0; RING_DEGREE];
        errors_from_uniform(&uniform, &mut errors);
        // Minus zero is zero.
        assert_eq!(errors[..4], [MODULUS - 5, 5, 0, 0]);
    }

    #[test]
    fn moments_and_symmetry_of_many_samples() {
        let (mut sum, mut squares, mut zeros, blocks) = (0f64, 0f64, 0u32, 64);
        let mut rng = rng(1);
        for _ in 0..blocks {
            let mut errors = [0; RING_DEGREE];
            let mut uniform = [0; UNIFORM_BYTES];
            rng.fill_bytes(&mut uniform);
            errors_from_uniform(&uniform, &mut errors);
            for error in errors {
                let signed =
                    if error > MODULUS / 2 { -((MODULUS - error) as f64) } else { error as f64 };
                assert!(signed.abs() <= ERROR_TAIL as f64);
                sum += signed;
                squares += signed * signed;
                zeros += u32::from(error == 0);
            }
        }
        let count = f64::from(blocks) * RING_DEGREE as f64;
        // Five standard deviations of each estimate.
        let sigma = ERROR_SIGMA;
        assert!((sum / count).abs() < 5.0 * sigma / count.sqrt(), "mean {}", sum / count);
        let variance = squares / count;
        assert!((variance / sigma.powi(2) - 1.0).abs() < 5.0 * (2.0 / count).sqrt(), "{variance}");
        let p = probabilities(0).1;
        let deviation = 5.0 * (p * (1.0 - p) / count).sqrt();
        assert!((f64::from(zeros) / count - p).abs() < deviation);
    }
}
