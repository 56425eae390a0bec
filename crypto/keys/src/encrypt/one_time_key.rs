//! A site's key for one round: drawn, used for one encryption, shared, gone.
//!
//! The types make misuse a compile error: [`OneTimeKey::start`] takes the key by value, and what
//! comes of it can only be shared, once. This compiles:
//!
//! ```
//! # use ringfence_keys::encrypt::one_time_key::{Encryption, EncryptionContext, OneTimeKey};
//! fn encrypt<'a>(
//!     key: OneTimeKey,
//!     context: EncryptionContext<'a>,
//!     rng: &mut impl ringfence_keys::CryptoRng,
//! ) -> Encryption<'a, f32> {
//!     key.start(context, rng).unwrap()
//! }
//! ```
//!
//! A second encryption under the same key does not:
//!
//! ```compile_fail
//! # use ringfence_keys::encrypt::one_time_key::{Encryption, EncryptionContext, OneTimeKey};
//! fn encrypt<'a>(
//!     key: OneTimeKey,
//!     context: EncryptionContext<'a>,
//!     rng: &mut impl ringfence_keys::CryptoRng,
//! ) -> Encryption<'a, f32> {
//!     key.start::<f32>(context, rng).unwrap();
//!     key.start(context, rng).unwrap()
//! }
//! ```
//!
//! Nor does a copy of a key, its text, or its serialised form:
//!
//! ```compile_fail
//! # use ringfence_keys::encrypt::one_time_key::OneTimeKey;
//! fn copy(key: &OneTimeKey) -> OneTimeKey { key.clone() }
//! ```
//! ```compile_fail
//! # use ringfence_keys::encrypt::one_time_key::OneTimeKey;
//! fn show(key: &OneTimeKey) -> String { format!("{key:?}") }
//! ```
//! ```compile_fail
//! # use ringfence_keys::encrypt::one_time_key::OneTimeKey;
//! fn serialise(key: &OneTimeKey) -> impl serde::Serialize { key }
//! ```
//!
//! What all three fail for is the missing trait; this compiles:
//!
//! ```
//! # use ringfence_keys::encrypt::one_time_key::OneTimeKey;
//! fn keep(key: OneTimeKey) -> OneTimeKey { key }
//! fn serialise(number: &u32) -> impl serde::Serialize { number }
//! ```

use std::io::Write;
use std::sync::Mutex;

use rand::CryptoRng;
use ringfence_crypto::id::ManifestId;
use ringfence_crypto::layout::Layout;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Manifest, Study, Summands};
use zeroize::Zeroizing;

pub use super::blocks::EncryptError;
use super::blocks::{BlockCipher, Sink};
use super::check::{CheckKey, CheckWords};
use super::self_check::SelfCheck;
use crate::randomness::BulkRandomness;
use crate::secret::SecretWords;
use crate::update::quantize::{QuantizeError, Quantizer, Value};

/// Blocks a thread between two moments at which all threads wait for the last one: all the memory
/// that an encryption takes if one thread stands still; mostly it is a block a thread.
const BATCH: usize = 256;

/// A fresh uniform key in NTT order.
pub struct OneTimeKey(SecretWords);

/// A key that has encrypted its one body, with the check words of that body.
pub struct UsedKey {
    key: SecretWords,
    /// The copy that the body was checked with: what is shared must be the same.
    copy: SecretWords,
    check: CheckWords,
}

/// What a round's encryption depends on besides the key.
#[derive(Clone, Copy, Debug)]
pub struct EncryptionContext<'a> {
    /// The round's manifest: it seeds the public polynomials.
    pub manifest: ManifestId,
    /// Slots, scale and wire words.
    pub packing: &'a Packing,
    /// Tensors and clip bounds.
    pub layout: &'a Layout,
    /// Between what the site's values lie.
    pub range: Summands,
    /// The study's check key.
    pub check_key: &'a CheckKey,
}

impl<'a> EncryptionContext<'a> {
    /// The context of a round of a study, for the site at a place of the roster.
    pub fn new(
        study: &'a Study,
        place: usize,
        manifest: &Manifest,
        check_key: &'a CheckKey,
    ) -> Self {
        let (packing, layout, range) = (&study.packing, &study.layout, study.summands([place]));
        Self { manifest: manifest.id(), packing, layout, range, check_key }
    }
}

impl OneTimeKey {
    /// Draws a key. `rng` must be seeded by the operating system (see [`crate::system_rng`]);
    /// only tests may do otherwise.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SecretWords::uniform(RING_DEGREE, rng))
    }

    /// Starts the one encryption of this key. `rng` as for [`OneTimeKey::generate`].
    ///
    /// # Errors
    /// [`EncryptError::Packing`] when the study's model is too large for one key,
    /// [`EncryptError::Noise`] when values of this kind lack the noise that the study asks for, or
    /// have noise that it does not.
    pub fn start<'a, V: Value>(
        self,
        context: EncryptionContext<'a>,
        rng: &mut impl CryptoRng,
    ) -> Result<Encryption<'a, V>, EncryptError> {
        let EncryptionContext { manifest, packing, layout, check_key, .. } = context;
        let noise_bound = packing.noise_bound;
        if V::NOISED != (noise_bound > 0) {
            return Err(EncryptError::Noise { noised: V::NOISED, noise_bound });
        }
        let quantizer = Quantizer::new(layout, packing);
        let randomness = BulkRandomness::draw(rng);
        let cipher = BlockCipher {
            manifest,
            blocks: packing.blocks(quantizer.values())?,
            quantizer,
            self_check: SelfCheck::new(&context, &self.0, &randomness),
            key: self.0,
            check: check_key.vectors(manifest, packing.wire_bits),
            randomness,
            spare: Mutex::new(Vec::new()),
        };
        let pending = Zeroizing::new(Vec::with_capacity(packing.block_values()));
        let check = cipher.no_check_words();
        Ok(Encryption { cipher, check, pending, taken: 0, next: 0, failed: false })
    }
}

/// An encryption under way: values go in, in layout order and pieces of any size; wire words come
/// out. Its memory is that of a batch of blocks, whatever the model's size, and the work is spread
/// over the threads of the current rayon pool.
pub struct Encryption<'a, V: Value> {
    cipher: BlockCipher<'a>,
    check: CheckWords,
    /// Values of the next block that is not full yet.
    pending: Zeroizing<Vec<V>>,
    /// Values that have come.
    taken: usize,
    /// The next block.
    next: usize,
    /// A block may have been encrypted that does not count: it must never be encrypted again.
    failed: bool,
}

impl<V: Value> Encryption<'_, V> {
    /// Encrypts further values and writes the blocks that are complete to `body`.
    ///
    /// # Errors
    /// [`EncryptError`] when there are more values than in the layout, one is not finite, `body`
    /// cannot be written, or a block does not decrypt again. Nothing more can be encrypted after
    /// the last three.
    pub fn update(
        &mut self,
        values: &[V],
        body: &mut (impl Write + Send),
    ) -> Result<(), EncryptError> {
        if self.failed {
            return Err(EncryptError::Failed);
        }
        let (expected, got) = (self.cipher.quantizer.values(), self.taken + values.len());
        if got > expected {
            return Err(QuantizeError::Length { expected, got }.into());
        }
        self.taken = got;
        let missing = self.capacity(self.next) - self.pending.len();
        if values.len() < missing {
            self.pending.extend_from_slice(values);
            return Ok(());
        }
        let (head, rest) = values.split_at(missing);
        // Only the values of a block that an earlier piece has begun are copied.
        let mut begun = Zeroizing::new(std::mem::take(&mut *self.pending));
        let first = if begun.is_empty() {
            head
        } else {
            begun.extend_from_slice(head);
            begun.as_slice()
        };
        let chunks = rest.chunks_exact(self.cipher.packing().block_values());
        let mut remainder = chunks.remainder();
        let mut blocks: Vec<&[V]> = std::iter::once(first).chain(chunks).collect();
        if got == expected {
            // Nothing else comes: the last blocks need not wait for `finish`.
            blocks.push(std::mem::take(&mut remainder));
            blocks.resize(self.cipher.blocks - self.next, &[]);
        }
        self.write_blocks(&blocks, body)?;
        self.pending = Zeroizing::new(Vec::with_capacity(self.capacity(self.next)));
        self.pending.extend_from_slice(remainder);
        Ok(())
    }

    /// Pads and writes the last blocks; the key is ready to be shared.
    ///
    /// # Errors
    /// [`EncryptError`] when values are missing, `body` cannot be written, or a block does not
    /// decrypt again.
    pub fn finish(mut self, body: &mut (impl Write + Send)) -> Result<UsedKey, EncryptError> {
        if self.failed {
            return Err(EncryptError::Failed);
        }
        let expected = self.cipher.quantizer.values();
        if self.taken != expected {
            return Err(QuantizeError::Length { expected, got: self.taken }.into());
        }
        let pending = std::mem::replace(&mut self.pending, Zeroizing::new(Vec::new()));
        let left = self.cipher.blocks - self.next;
        let blocks: Vec<&[V]> = std::iter::once(pending.as_slice())
            .chain(std::iter::repeat(&[][..]))
            .take(left)
            .collect();
        self.write_blocks(&blocks, body)?;
        let copy = self.cipher.self_check.into_key();
        Ok(UsedKey { key: self.cipher.key, copy, check: self.check })
    }

    /// Values of the update that lie in a block: one less in the first, which counts the site.
    fn capacity(&self, block: usize) -> usize {
        self.cipher.packing().block_values() - usize::from(block == 0)
    }

    /// Encrypts blocks batch by batch, and writes each as soon as those before it are written.
    fn write_blocks(
        &mut self,
        blocks: &[&[V]],
        body: &mut (impl Write + Send),
    ) -> Result<(), EncryptError> {
        // Until everything is written: whatever ends this early leaves it set.
        self.failed = true;
        for batch in blocks.chunks(BATCH * rayon::current_num_threads()) {
            let sink = Mutex::new(Sink::new(&mut *body, self.next));
            self.check.add(&self.cipher.encrypt_batch(self.next, batch, &sink)?);
            self.next += batch.len();
        }
        self.failed = false;
        Ok(())
    }
}

impl UsedKey {
    /// The check words of the body, for the header.
    pub(crate) fn check(&self) -> &CheckWords {
        &self.check
    }

    /// The vector that is shared among the holders, the key's words, and the copy of them that the
    /// body was checked with.
    pub(crate) fn into_key_vectors(self) -> (SecretWords, SecretWords) {
        (self.key, self.copy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::self_check::SelfCheckError;
    use super::*;
    use crate::testing::rng;
    use ringfence_crypto::Digest;
    use ringfence_crypto::layout::TensorLayout;
    use ringfence_crypto::threshold::Threshold;

    #[test]
    fn a_failed_encryption_encrypts_nothing_more() {
        let packing = Packing::derive(16, 0, 3, 1).unwrap();
        let values = packing.block_values() * 2;
        let tensor = TensorLayout { name: "w".into(), shape: vec![values as u32], clip: 1.0 };
        let layout = Layout { tensors: vec![tensor] };
        let mut rng = rng(1);
        let check_key = CheckKey::generate(&mut rng);
        let (packing, layout, check_key) = (&packing, &layout, &check_key);
        let manifest = Digest::of(b"round").into();
        let range = Summands::alike(1, packing);
        let context = EncryptionContext { manifest, packing, layout, range, check_key };
        let part = vec![0.5f32; values / 2];
        let mut start = || OneTimeKey::generate(&mut rng).start::<f32>(context, &mut rng).unwrap();

        // The disk is full: the same block must not be encrypted again, over other values.
        let mut encryption = start();
        let mut full = [0u8; 10];
        let error = encryption.update(&part, &mut full.as_mut_slice()).unwrap_err();
        assert!(matches!(error, EncryptError::Io(_)), "{error}");
        let mut body = Vec::new();
        assert!(matches!(encryption.update(&part, &mut body), Err(EncryptError::Failed)));
        assert!(matches!(encryption.finish(&mut body), Err(EncryptError::Failed)));
        assert!(body.is_empty());

        let mut encryption = start();
        let mut bad = part.clone();
        bad[7] = f32::NAN;
        let error = encryption.update(&bad, &mut body).unwrap_err();
        assert!(matches!(error, EncryptError::Quantize(_)), "{error}");
        assert!(matches!(encryption.update(&part, &mut body), Err(EncryptError::Failed)));

        let mut encryption = start();
        encryption.update(&part, &mut body).unwrap();
        encryption.update(&part, &mut body).unwrap();
        assert!(encryption.finish(&mut body).is_ok());
    }

    #[test]
    fn a_machine_that_computes_wrongly_encrypts_and_shares_nothing() {
        let packing = Packing::derive(16, 0, 3, 1).unwrap();
        let values = packing.block_values() * 2;
        let tensor = TensorLayout { name: "w".into(), shape: vec![values as u32], clip: 1.0 };
        let layout = Layout { tensors: vec![tensor] };
        let mut rng = rng(1);
        let check_key = CheckKey::generate(&mut rng);
        let (packing, layout, check_key) = (&packing, &layout, &check_key);
        let manifest = Digest::of(b"round").into();
        let range = Summands::alike(1, packing);
        let context = EncryptionContext { manifest, packing, layout, range, check_key };
        let part = vec![0.5f32; values / 2];
        let mut start = || OneTimeKey::generate(&mut rng).start::<f32>(context, &mut rng).unwrap();

        // A bit of the key flips after the first block: the second is another key's.
        let (mut encryption, mut body) = (start(), Vec::new());
        encryption.update(&part, &mut body).unwrap();
        let written = body.len();
        assert!(written > 0, "the first block is written");
        encryption.cipher.key.as_mut_slice()[4095] ^= 1 << 40;
        let error = encryption.update(&part, &mut body).unwrap_err();
        let expected = SelfCheckError::Decryption { block: 1 };
        assert!(matches!(&error, EncryptError::SelfCheck(e) if *e == expected), "{error}");
        assert!(error.to_string().contains("nothing was sent"), "{error}");
        assert_eq!(body.len(), written);
        assert!(matches!(encryption.finish(&mut body), Err(EncryptError::Failed)));

        // A public polynomial that is wrong once.
        let (mut encryption, mut body) = (start(), Vec::new());
        encryption.cipher.manifest = Digest::of(b"another").into();
        let error = encryption.update(&part, &mut body).unwrap_err();
        assert!(matches!(error, EncryptError::SelfCheck(_)), "{error}");
        assert!(body.is_empty());

        // The key flips after the last block, or its copy does.
        let threshold = Threshold::derive(3, 1, 1, 3).unwrap();
        let mut shared = |alter: fn(&mut UsedKey)| {
            let (mut encryption, mut body) = (start(), Vec::new());
            encryption.update(&part, &mut body).unwrap();
            encryption.update(&part, &mut body).unwrap();
            let mut used = encryption.finish(&mut body).unwrap();
            alter(&mut used);
            used.share(&threshold, &mut crate::testing::rng(2)).map(|dealt| dealt.len())
        };
        assert_eq!(shared(|_| ()), Ok(3));
        let wrong = Err(SelfCheckError::Shares);
        assert_eq!(shared(|used| used.key.as_mut_slice()[17] ^= 2), wrong);
        assert_eq!(shared(|used| used.copy.as_mut_slice()[17] ^= 2), wrong);
    }

    #[test]
    fn pieces_of_any_size_give_the_same_body() {
        let packing = Packing::derive(16, 0, 3, 1).unwrap();
        let count = packing.block_values() * 3 + 5;
        let tensor = TensorLayout { name: "w".into(), shape: vec![count as u32], clip: 1.0 };
        let layout = Layout { tensors: vec![tensor] };
        let check_key = CheckKey::generate(&mut rng(1));
        let (packing, layout, check_key) = (&packing, &layout, &check_key);
        let manifest = Digest::of(b"round").into();
        let range = Summands::alike(1, packing);
        let context = EncryptionContext { manifest, packing, layout, range, check_key };
        let start = || {
            // The same key, errors and dithers each time, as only a test may have them.
            let mut rng = rng(2);
            OneTimeKey::generate(&mut rng).start::<f32>(context, &mut rng).unwrap()
        };
        let values: Vec<f32> = (0..count).map(|k| (k % 77) as f32 / 80.0).collect();
        let body = |piece: usize| {
            let (mut encryption, mut body) = (start(), Vec::new());
            for values in values.chunks(piece) {
                encryption.update(values, &mut body).unwrap();
            }
            let used = encryption.finish(&mut body).unwrap();
            (body, used.check.numbers())
        };
        let whole = body(count);
        let block = packing.block_values();
        for piece in [1, 1000, block - 1, block, block + 1, 2 * block] {
            assert!(body(piece) == whole, "pieces of {piece}");
        }

        let (mut encryption, mut body) = (start(), Vec::new());
        encryption.update(&values, &mut body).unwrap();
        let error = encryption.update(&[0.5], &mut body).unwrap_err().to_string();
        assert!(error.contains(&count.to_string()), "{error}");
        let mut encryption = start();
        encryption.update(&values[1..], &mut body).unwrap();
        let error = encryption.finish(&mut body).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(&(count - 1).to_string()), "{error}");
    }
}
