//! concrete-core 1.0.2, the library that tfhe replaced: a legacy baseline.
//!
//! The same ring as tfhe's row (k = 1, N = 2048, binary key, native 64-bit modulus). It has
//! Gaussian noise only; its width is the one that tfhe 1.8 publishes for this ring at 128 bits
//! (PARAM_MESSAGE_2_CARRY_2_KS_PBS_GAUSSIAN_2M128), since concrete-core's own older widths are
//! below today's estimates. The engine offers no GLWE addition, so words are added directly.

use std::hint::black_box;

use concrete_core::prelude::{
    AbstractEngine, DefaultEngine, GlweCiphertextVector64,
    GlweCiphertextVectorConsumingRetrievalEngine, GlweCiphertextVectorCreationEngine,
    GlweCiphertextVectorDecryptionEngine, GlweDimension, GlweSecretKey64, GlweSecretKeyEntity,
    GlweSecretKeyGenerationEngine, GlweSeededCiphertextVector64,
    GlweSeededCiphertextVectorEncryptionEngine,
    GlweSeededCiphertextVectorToGlweCiphertextVectorTransformationEngine, PlaintextVector64,
    PlaintextVectorCreationEngine, PlaintextVectorRetrievalEngine, PolynomialSize, UnixSeeder,
    Variance,
};
use rand::Rng;

use super::measured::{Costs, row, system_rng};
use super::report::Row;
use super::slots::Slots;
use super::workload::Workload;

const BLOCK: usize = 2048;
const DIMENSION: usize = 1;

/// Standard deviation as a fraction of the torus: see the module's documentation.
const STD_DEV: f64 = 2.845_267_479_601_915e-15;

/// A Gaussian exceeds twelve widths with probability below `2 exp(-72)`, about 2^-103.
const TAIL: f64 = 12.0;

struct Cipher {
    engine: DefaultEngine,
    key: GlweSecretKey64,
}

impl Cipher {
    /// A binary key of `dimension` polynomials of `size` coefficients.
    fn generate(dimension: usize, size: usize) -> anyhow::Result<Self> {
        let mut secret = [0; 16];
        system_rng()?.fill_bytes(&mut secret);
        let seeder = Box::new(UnixSeeder::new(u128::from_le_bytes(secret)));
        let mut engine = DefaultEngine::new(seeder)?;
        let (dimension, size) = (GlweDimension(dimension), PolynomialSize(size));
        let key = engine.generate_new_glwe_secret_key(dimension, size)?;
        Ok(Self { engine, key })
    }

    fn encrypt(&mut self, words: &[u64]) -> anyhow::Result<GlweSeededCiphertextVector64> {
        let plain: PlaintextVector64 = self.engine.create_plaintext_vector_from(words)?;
        let noise = Variance(STD_DEV * STD_DEV);
        Ok(self.engine.encrypt_glwe_seeded_ciphertext_vector(&self.key, &plain, noise)?)
    }

    fn expand(&mut self, body: GlweSeededCiphertextVector64) -> anyhow::Result<Vec<u64>> {
        let list: GlweCiphertextVector64 =
            self.engine.transform_glwe_seeded_ciphertext_vector_to_glwe_ciphertext_vector(body)?;
        Ok(self.engine.consume_retrieve_glwe_ciphertext_vector(list)?)
    }

    fn decrypt(&mut self, words: Vec<u64>) -> anyhow::Result<Vec<u64>> {
        let list: GlweCiphertextVector64 = self.engine.create_glwe_ciphertext_vector_from(
            words,
            self.key.glwe_dimension(),
            self.key.polynomial_size(),
        )?;
        let plain = self.engine.decrypt_glwe_ciphertext_vector(&self.key, &list)?;
        Ok(self.engine.retrieve_plaintext_vector(&plain)?)
    }
}

fn add(sum: &mut [u64], words: &[u64]) {
    sum.iter_mut().zip(words).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
}

/// The row of concrete-core.
pub(super) fn run(workload: &Workload) -> anyhow::Result<Option<Row>> {
    // A torus fraction times 2^64 is the width in units of the last place.
    let width = STD_DEV * 2f64.powi(64) * (workload.sites() as f64).sqrt();
    let slots = Slots::new(workload.slot_bits(), TAIL * width)?;
    let mut cipher = Cipher::generate(DIMENSION, BLOCK)?;
    let one = workload.one()?;
    let (encrypt_seconds, body) =
        workload.time(|| cipher.encrypt(&slots.pack(&workload.quantize(black_box(one)), BLOCK)))?;

    let words = slots.words(workload.parameters(), BLOCK);
    let mut sum = vec![0; 2 * words];
    for update in &workload.updates {
        let body = cipher.encrypt(&slots.pack(&workload.quantize(update), BLOCK))?;
        add(&mut sum, &cipher.expand(body)?);
    }
    let mut scratch = sum.clone();
    let (add_seconds, ()) = workload.time(|| {
        add(&mut scratch, &cipher.expand(black_box(body.clone()))?);
        Ok(())
    })?;
    let (open_seconds, max_error) = workload.time_opening(workload.repetitions, || {
        let plain = cipher.decrypt(black_box(&sum).clone())?;
        Ok(slots.unpack(&plain, workload.parameters()))
    })?;
    // One 128-bit seed and a word for each coefficient, as in tfhe's row.
    let bytes = (16 + 8 * words) as f64;
    Ok(Some(Row {
        source: "ring and noise of tfhe 1.8's PARAM_MESSAGE_2_CARRY_2_KS_PBS_GAUSSIAN_2M128".into(),
        ..row(
            "concrete-core-glwe",
            workload,
            Costs {
                encrypt_seconds,
                share_seconds: 0.0,
                body_bytes: bytes,
                upload_bytes: bytes,
                add_seconds,
                open_seconds,
                max_error,
            },
            format!(
                "concrete-core 1.0.2 (legacy) GLWE, k = 1, N = 2048, native 64-bit modulus, \
                 Gaussian noise of width 2^-48.3, AES-NI generator; {} values a coefficient, \
                 seeded ciphertexts; ONE secret key held by every site.",
                slots.slots
            ),
        )
    }))
}

#[cfg(test)]
mod cross_check;
