//! tfhe's `core_crypto` GLWE with one secret key for all: what tfhe users build first.
//!
//! Parameters are those that tfhe 1.8 recommends for shortint (message 2, carry 2, failure 2^-128):
//! k = 1, N = 2048, binary key, native 64-bit modulus, noise uniform-like in `[-2^17, 2^17]`
//! (TUniform), 128 bits of security. Ciphertexts travel seeded (a 16-byte seed and the bodies),
//! which is tfhe's own compact form and halves the upload; the aggregator expands and adds.

use std::hint::black_box;

use tfhe::core_crypto::algorithms::slice_algorithms::slice_wrapping_add_assign;
use tfhe::core_crypto::prelude::{
    DefaultRandomGenerator, GlweCiphertextCount, GlweCiphertextListOwned, GlweSecretKeyOwned,
    PlaintextCount, PlaintextList, SecretRandomGenerator, SeededGlweCiphertextListOwned,
    allocate_and_generate_new_binary_glwe_secret_key, decrypt_glwe_ciphertext_list,
    encrypt_seeded_glwe_ciphertext_list,
};
use tfhe::core_crypto::seeders::{Seeder, new_seeder};
use tfhe::shortint::parameters::{
    ClassicPBSParameters, PARAM_MESSAGE_2_CARRY_2_KS_PBS_TUNIFORM_2M128,
};

use super::measured::{Costs, row};
use super::report::Row;
use super::slots::Slots;
use super::workload::Workload;

const PARAMETERS: ClassicPBSParameters = PARAM_MESSAGE_2_CARRY_2_KS_PBS_TUNIFORM_2M128;

/// Largest absolute noise of a fresh ciphertext: TUniform(17), the parameter set's own.
pub(super) const FRESH_NOISE: f64 = 131_072.0;

/// Coefficients of a ciphertext.
pub(super) const BLOCK: usize = PARAMETERS.polynomial_size.0;

/// Seed and bodies.
pub(super) type Seeded = SeededGlweCiphertextListOwned<u64>;

/// Masks and bodies.
pub(super) type Expanded = GlweCiphertextListOwned<u64>;

/// The one secret key, and randomness to encrypt with.
pub(super) struct SharedKey {
    key: GlweSecretKeyOwned<u64>,
    seeder: Box<dyn Seeder>,
}

impl SharedKey {
    /// Draws a key.
    pub(super) fn generate() -> Self {
        let mut seeder = new_seeder();
        let mut random = SecretRandomGenerator::<DefaultRandomGenerator>::new(seeder.seed());
        let key = allocate_and_generate_new_binary_glwe_secret_key(
            PARAMETERS.glwe_dimension,
            PARAMETERS.polynomial_size,
            &mut random,
        );
        Self { key, seeder }
    }

    /// Encrypts whole blocks of scaled words.
    pub(super) fn encrypt(&mut self, words: Vec<u64>) -> Seeded {
        let mut list = Seeded::new(
            0,
            PARAMETERS.glwe_dimension.to_glwe_size(),
            PARAMETERS.polynomial_size,
            GlweCiphertextCount(words.len() / BLOCK),
            self.seeder.seed().into(),
            PARAMETERS.ciphertext_modulus,
        );
        encrypt_seeded_glwe_ciphertext_list(
            &self.key,
            &mut list,
            &PlaintextList::from_container(words),
            PARAMETERS.glwe_noise_distribution,
            self.seeder.as_mut(),
        );
        list
    }

    /// Scaled messages with their noise.
    pub(super) fn decrypt(&self, list: &Expanded) -> Vec<u64> {
        let count = PlaintextCount(list.glwe_ciphertext_count().0 * BLOCK);
        let mut plain = PlaintextList::new(0, count);
        decrypt_glwe_ciphertext_list(&self.key, list, &mut plain);
        plain.into_container()
    }
}

/// An empty sum of as many blocks as `words` words need.
pub(super) fn zeros(words: usize) -> Expanded {
    Expanded::new(
        0,
        PARAMETERS.glwe_dimension.to_glwe_size(),
        PARAMETERS.polynomial_size,
        GlweCiphertextCount(words / BLOCK),
        PARAMETERS.ciphertext_modulus,
    )
}

/// Adds ciphertexts word by word.
pub(super) fn add(sum: &mut Expanded, other: &Expanded) {
    slice_wrapping_add_assign(sum.as_mut(), other.as_ref());
}

/// Bytes of a seeded list: the seed is 128 bits.
fn seeded_bytes(list: &Seeded) -> f64 {
    (16 + 8 * list.as_ref().len()) as f64
}

/// The row of tfhe's GLWE.
pub(super) fn run(workload: &Workload) -> anyhow::Result<Option<Row>> {
    let slots = Slots::new(workload.slot_bits(), workload.sites() as f64 * FRESH_NOISE)?;
    let mut key = SharedKey::generate();
    let one = workload.one()?;
    let (encrypt_seconds, body) =
        workload.time(|| Ok(key.encrypt(slots.pack(&workload.quantize(black_box(one)), BLOCK))))?;

    let words = slots.words(workload.parameters(), BLOCK);
    let mut sum = zeros(words);
    for update in &workload.updates {
        let body = key.encrypt(slots.pack(&workload.quantize(update), BLOCK));
        add(&mut sum, &body.decompress_into_glwe_ciphertext_list());
    }
    let mut scratch = sum.clone();
    let (add_seconds, ()) = workload.time(|| {
        add(&mut scratch, &black_box(body.clone()).decompress_into_glwe_ciphertext_list());
        Ok(())
    })?;
    let (open_seconds, max_error) = workload.time_opening(workload.repetitions, || {
        Ok(slots.unpack(&key.decrypt(black_box(&sum)), workload.parameters()))
    })?;
    Ok(Some(Row {
        source: "shortint parameter set PARAM_MESSAGE_2_CARRY_2_KS_PBS_TUNIFORM_2M128 of tfhe 1.8"
            .into(),
        ..row(
            "tfhe-glwe",
            workload,
            Costs {
                encrypt_seconds,
                share_seconds: 0.0,
                body_bytes: seeded_bytes(&body),
                upload_bytes: seeded_bytes(&body),
                add_seconds,
                open_seconds,
                max_error,
            },
            format!(
                "tfhe 1.8 core_crypto GLWE, k = 1, N = 2048, native 64-bit modulus, TUniform(17), \
                 128 bits; {} values a coefficient, seeded ciphertexts; ONE secret key held by \
                 every site: whoever holds it opens every single update.",
                slots.slots
            ),
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_bound_is_that_of_the_parameter_set() {
        use tfhe::core_crypto::prelude::DynamicDistribution;
        let noise = DynamicDistribution::new_t_uniform(17);
        assert_eq!(PARAMETERS.glwe_noise_distribution, noise);
        assert_eq!(FRESH_NOISE, f64::from(1 << 17));
        let mut key = SharedKey::generate();
        let body = key.encrypt(vec![0; 4 * BLOCK]).decompress_into_glwe_ciphertext_list();
        let plain = key.decrypt(&body);
        let largest = plain.iter().map(|word| word.cast_signed().unsigned_abs()).max().unwrap();
        assert!(largest > 100_000 && largest <= 1 << 17, "{largest}");
    }
}
