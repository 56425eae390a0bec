//! A site's key for one round: drawn, used for one encryption, shared, gone.
//!
//! The types make misuse a compile error: [`OneTimeKey::encrypt`] takes the key by value, and what
//! it returns can only be shared, once.
//!
//! ```compile_fail
//! # use ringfence_keys::one_time_key::OneTimeKey;
//! # let mut rng = ringfence_keys::system_rng().unwrap();
//! let key = OneTimeKey::generate(&mut rng);
//! let copy = key.clone(); // a key cannot be copied
//! ```

use std::io::{self, Write};

use rand::CryptoRng;
use ringfence_crypto::Digest;
use ringfence_crypto::ciphertext::{BLOCK_BYTES, WORD_BYTES, public_polynomial, to_word};
use ringfence_crypto::field;
use ringfence_crypto::packing::{Packing, PackingError};
use ringfence_crypto::params::{KEY_WORDS, RING_DEGREE};
use zeroize::Zeroizing;

use crate::check::{CheckKey, CheckWords};
use crate::noise::sample_errors;
use crate::quantize::{QuantizedUpdate, pack_block};
use crate::secret::SecretWords;
use crate::transform::Transform;

/// A fresh uniform key in NTT order.
#[derive(Debug)]
pub struct OneTimeKey(SecretWords);

/// A key that has encrypted its one body, with the check words of what it encrypted.
pub struct UsedKey {
    key: SecretWords,
    check: CheckWords,
}

/// Encryption could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum EncryptError {
    /// More values than a key may encrypt.
    #[error(transparent)]
    Packing(#[from] PackingError),
    /// The body could not be written.
    #[error("could not write the encrypted body: {0}")]
    Io(#[from] io::Error),
}

/// What a round's encryption depends on besides the key.
#[derive(Clone, Copy, Debug)]
pub struct EncryptionContext<'a> {
    /// Digest of the manifest: it seeds the public polynomials.
    pub round: &'a Digest,
    /// Slots and scale.
    pub packing: &'a Packing,
    /// The study's check key.
    pub check_key: &'a CheckKey,
}

impl OneTimeKey {
    /// Draws a key. `rng` must be seeded by the operating system (see [`crate::system_rng`]);
    /// only tests may do otherwise.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SecretWords::uniform(RING_DEGREE, rng))
    }

    /// Encrypts an update block by block, `c_j = a_j s + e_j + Delta m_j`, and writes the wire
    /// words to `body`. Memory beyond the update is that of one block.
    ///
    /// # Errors
    /// [`EncryptError`] when the update is too large or `body` cannot be written. The key is gone
    /// either way.
    pub fn encrypt(
        self,
        update: &QuantizedUpdate,
        context: EncryptionContext<'_>,
        rng: &mut impl CryptoRng,
        body: &mut impl Write,
    ) -> Result<UsedKey, EncryptError> {
        let EncryptionContext { round, packing, check_key } = context;
        let values = update.expose();
        let blocks = packing.blocks(values.len())?;
        let transform = Transform::get();
        let mut scaled = SecretWords::zeros(RING_DEGREE);
        for (scaled, word) in scaled.as_mut_slice().iter_mut().zip(self.0.as_slice()) {
            *scaled = field::mul(*word, transform.scale());
        }
        let mut check = check_key.start(round);
        let mut public = [0; RING_DEGREE];
        // Wiped however this ends: a body that cannot be written leaves nothing behind.
        let mut masked = Zeroizing::new([0; RING_DEGREE]);
        let mut message = Zeroizing::new([0; RING_DEGREE]);
        let mut errors = Zeroizing::new([0; RING_DEGREE]);
        let mut words = vec![0; BLOCK_BYTES];
        for block in 0..blocks {
            public_polynomial(round, block as u64, &mut public);
            transform.product(&public, scaled.as_slice(), &mut masked);
            pack_block(values, packing, block, message.as_mut_slice());
            check.add_block(&message);
            sample_errors(rng, &mut errors);
            let (chunks, _) = words.as_chunks_mut::<WORD_BYTES>();
            for (k, chunk) in chunks.iter_mut().enumerate() {
                // The message is below 2^63 / Delta and the packing keeps Delta m below q.
                let noisy = field::add(errors[k], message[k] << packing.delta_bits);
                *chunk = to_word(field::add(masked[k], noisy)).to_le_bytes();
            }
            body.write_all(&words)?;
        }
        Ok(UsedKey { key: self.0, check: check.finish() })
    }
}

impl UsedKey {
    /// The vector that is shared among the holders: N key words and the check words.
    pub(crate) fn into_key_vector(self) -> SecretWords {
        let mut vector = SecretWords::zeros(KEY_WORDS);
        let words = self.key.as_slice().iter().chain(&self.check.0);
        for (slot, word) in vector.as_mut_slice().iter_mut().zip(words) {
            *slot = *word;
        }
        vector
    }
}
