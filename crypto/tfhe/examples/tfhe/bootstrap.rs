//! From a value of an encrypted sum to an encrypted bit, by tfhe's programmable bootstrapping: is
//! the mean positive?
//!
//! Ringfence's keys are uniform modulo q, and TFHE's bootstrapping wants binary ones. So whoever
//! opened the key sum publishes, once, encryptions of it under a binary GLWE key, by which anybody
//! may switch keys: `(a, b)` becomes `b - sum_l digit_l(a) Enc(B^l S)`, with exact digits (a
//! rounded one would be multiplied by the large key). Under a binary key words may be rounded to
//! the modulus 2^64, where everything is tfhe's: sample extraction, key switch, bootstrapping.

use ringfence_crypto::ring::params::{MODULUS, RING_DEGREE};
use ringfence_tfhe::glwe;
use tfhe::core_crypto::algorithms::polynomial_algorithms::polynomial_wrapping_add_mul_assign_custom_mod;
use tfhe::core_crypto::algorithms::slice_algorithms::slice_wrapping_sub_assign_custom_mod;
use tfhe::core_crypto::prelude::*;
use tfhe::core_crypto::seeders::new_seeder;

/// Digits of 16 bits of a 64-bit word: noise of 2^15.7 times 2^14.2 times the root of 8 * 4096 is
/// 2^37.4, far below a slot's 2^42 and more.
const DIGIT_BITS: u32 = 16;

// Sizes and widths of tfhe 1.8's PARAM_MESSAGE_2_CARRY_2_KS_PBS_GAUSSIAN_2M128: 128 bits.
const SMALL: LweDimension = LweDimension(866);
const SMALL_NOISE: f64 = 2.046_151_696_979_124e-6;
const BOOTSTRAP_SIZE: PolynomialSize = PolynomialSize(2048);
const NOISE: f64 = 2.845_267_479_601_915e-15;
const BOOTSTRAP_DIGITS: (DecompositionBaseLog, DecompositionLevelCount) =
    (DecompositionBaseLog(23), DecompositionLevelCount(1));
const SWITCH_DIGITS: (DecompositionBaseLog, DecompositionLevelCount) =
    (DecompositionBaseLog(3), DecompositionLevelCount(5));

/// The bit's scale: one of eight parts of the torus.
const BIT: u64 = 1 << 61;

/// Largest phase that is decided about, as a fraction of the half torus: what is left stands for
/// small phases that noise took below zero.
pub(crate) const LARGEST: f64 = 0.9;

/// What a server needs to compute on; it opens nothing.
pub(crate) struct EvaluationKeys {
    /// For each polynomial of the key, its encryptions times the powers of the digits' base.
    to_binary: Vec<Vec<GlweCiphertextOwned<u64>>>,
    to_small: LweKeyswitchKeyOwned<u64>,
    bootstrap: FourierLweBootstrapKeyOwned,
}

/// What opens the bits.
pub(crate) struct BitKey(LweSecretKeyOwned<u64>);

/// Makes the keys for computing on ciphertexts under `key`.
pub(crate) fn generate(key: &GlweSecretKeyOwned<u64>) -> (EvaluationKeys, BitKey) {
    let mut seeder = new_seeder();
    let mut secrets = SecretRandomGenerator::<DefaultRandomGenerator>::new(seeder.seed());
    let seed = seeder.seed();
    let mut noise = EncryptionRandomGenerator::<DefaultRandomGenerator>::new(seed, seeder.as_mut());
    let (modulus, native) = (glwe::modulus(), CiphertextModulus::new_native());
    let (wide, narrow) =
        (Gaussian::from_dispersion_parameter(StandardDev(SMALL_NOISE), 0.0), StandardDev(NOISE));
    let narrow = Gaussian::from_dispersion_parameter(narrow, 0.0);
    let one = GlweDimension(1);

    let size = PolynomialSize(RING_DEGREE);
    let binary: GlweSecretKeyOwned<u64> =
        allocate_and_generate_new_binary_glwe_secret_key(one, size, &mut secrets);
    let mut encrypted = |words: Vec<u64>| {
        let mut ciphertext = GlweCiphertextOwned::new(0, one.to_glwe_size(), size, modulus);
        let words = PlaintextList::from_container(words);
        encrypt_glwe_ciphertext(&binary, &mut ciphertext, &words, narrow, &mut noise);
        ciphertext
    };
    let to_binary = key
        .as_polynomial_list()
        .iter()
        .map(|polynomial| {
            let power = |level: u32| {
                let times = |word: &u64| {
                    let product = u128::from(*word) << (level * DIGIT_BITS);
                    (product % u128::from(MODULUS)) as u64
                };
                polynomial.as_ref().iter().map(times).collect()
            };
            (0..u64::BITS / DIGIT_BITS).map(|level| encrypted(power(level))).collect()
        })
        .collect();

    let small: LweSecretKeyOwned<u64> =
        allocate_and_generate_new_binary_lwe_secret_key(SMALL, &mut secrets);
    let (base, levels) = SWITCH_DIGITS;
    let to_small = allocate_and_generate_new_lwe_keyswitch_key(
        &binary.into_lwe_secret_key(),
        &small,
        base,
        levels,
        wide,
        native,
        &mut noise,
    );
    let result: GlweSecretKeyOwned<u64> =
        allocate_and_generate_new_binary_glwe_secret_key(one, BOOTSTRAP_SIZE, &mut secrets);
    let (base, levels) = BOOTSTRAP_DIGITS;
    let glwe_size = one.to_glwe_size();
    let mut standard =
        LweBootstrapKey::new(0, glwe_size, BOOTSTRAP_SIZE, base, levels, SMALL, native);
    par_generate_lwe_bootstrap_key(&small, &result, &mut standard, narrow, &mut noise);
    let mut bootstrap = FourierLweBootstrapKey::new(SMALL, glwe_size, BOOTSTRAP_SIZE, base, levels);
    convert_standard_lwe_bootstrap_key_to_fourier(&standard, &mut bootstrap);
    let keys = EvaluationKeys { to_binary, to_small, bootstrap };
    (keys, BitKey(result.into_lwe_secret_key()))
}

impl EvaluationKeys {
    /// The same phase under the binary key and modulo 2^64.
    pub(crate) fn switched(&self, sum: &GlweCiphertextOwned<u64>) -> GlweCiphertextOwned<u64> {
        let size = PolynomialSize(RING_DEGREE);
        let glwe_size = GlweDimension(1).to_glwe_size();
        let mut out = GlweCiphertextOwned::new(0, glwe_size, size, sum.ciphertext_modulus());
        let mut negated = out.clone();
        for (mask, encrypted) in sum.get_mask().as_polynomial_list().iter().zip(&self.to_binary) {
            for (level, encrypted) in (0u32..).zip(encrypted) {
                let digit = |word: &u64| word >> (level * DIGIT_BITS) & ((1 << DIGIT_BITS) - 1);
                let digits =
                    Polynomial::from_container(mask.as_ref().iter().map(digit).collect::<Vec<_>>());
                let mut products = negated.as_mut_polynomial_list();
                for (mut product, factor) in
                    products.iter_mut().zip(encrypted.as_polynomial_list().iter())
                {
                    polynomial_wrapping_add_mul_assign_custom_mod(
                        &mut product,
                        &digits,
                        &factor,
                        MODULUS,
                    );
                }
            }
        }
        out.get_mut_body().as_mut().copy_from_slice(sum.get_body().as_ref());
        slice_wrapping_sub_assign_custom_mod(out.as_mut(), negated.as_ref(), MODULUS);
        let native = |word: &u64| {
            // Rounded; a word near q becomes 0.
            (((u128::from(*word) << 64) + u128::from(MODULUS / 2)) / u128::from(MODULUS)) as u64
        };
        let words = out.as_ref().iter().map(native).collect();
        GlweCiphertextOwned::from_container(words, size, CiphertextModulus::new_native())
    }

    /// An encryption of whether the coefficient's phase lies at or above `threshold`, a fraction of
    /// the half torus; phases must lie between 0 and [`LARGEST`] of it.
    pub(crate) fn is_above(
        &self,
        switched: &GlweCiphertextOwned<u64>,
        coefficient: usize,
        threshold: f64,
    ) -> LweCiphertextOwned<u64> {
        let modulus = switched.ciphertext_modulus();
        let mut sample = LweCiphertext::new(0, LweSize(RING_DEGREE + 1), modulus);
        let degree = MonomialDegree(coefficient);
        extract_lwe_sample_from_glwe_ciphertext(switched, &mut sample, degree);
        let mut small = LweCiphertext::new(0, SMALL.to_lwe_size(), modulus);
        keyswitch_lwe_ciphertext(&self.to_small, &sample, &mut small);
        // Entry j is the answer for a phase of j / N of the half torus, and negated for the phase
        // half a torus away.
        let entries = BOOTSTRAP_SIZE.0 as f64;
        let (from, to) = ((threshold * entries) as usize, (LARGEST * entries) as usize);
        let table = (0..BOOTSTRAP_SIZE.0).map(|j| if (from..to).contains(&j) { BIT } else { 0 });
        let table = allocate_and_trivially_encrypt_new_glwe_ciphertext(
            self.bootstrap.glwe_size(),
            &PlaintextList::from_container(table.collect::<Vec<u64>>()),
            modulus,
        );
        let mut bit = LweCiphertext::new(0, LweSize(BOOTSTRAP_SIZE.0 + 1), modulus);
        programmable_bootstrap_lwe_ciphertext(&small, &mut bit, &table, &self.bootstrap);
        bit
    }
}

impl BitKey {
    /// The bit; an error when the ciphertext is no bit's.
    pub(crate) fn open(&self, bit: &LweCiphertextOwned<u64>) -> Result<bool, String> {
        let phase = decrypt_lwe_ciphertext(&self.0, bit).0;
        // Half a scale upwards, so that a small negative phase rounds to 0.
        match phase.wrapping_add(BIT / 2) / BIT {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("expected an encrypted bit, got {other} eighths")),
        }
    }
}
