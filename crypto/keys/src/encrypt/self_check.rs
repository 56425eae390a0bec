//! What a site makes sure of before it signs a header: that its machine has computed rightly.
//!
//! A contribution that breaks the format convicts the site that signed it, whatever the reason was.
//! So every block is decrypted again from its wire words before it is written, and the shares are
//! interpolated again before they are sealed (`share/deal.rs`). Nothing is used twice that could
//! have been wrong the first time: the public polynomial and the check words' vectors are derived
//! anew, into memory of their own, and the key is a second copy. The copy must take the mask off
//! every block and be what the shares carry, so a bit that flips in either copy, at any time, is
//! noticed.

use ringfence_crypto::id::ManifestId;
use ringfence_crypto::ring::ciphertext::public_polynomial;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::noise_bound::NoiseModel;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{from_word, unpack};
use ringfence_crypto::statement::Summands;
use ringfence_crypto::vectorized;
use zeroize::Zeroizing;

use super::check::{CheckVectors, CheckWords};
use super::one_time_key::EncryptionContext;
use super::transform::product;
use crate::secret::SecretWords;

/// This machine computed wrongly: a contribution that others would take for an attack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelfCheckError {
    /// Noise beyond the sampler's tail and rounding, or another message than was encrypted.
    #[error(
        "block {block} of the encrypted update does not decrypt to what was encrypted: this machine computed wrongly; nothing was sent; run memory tests before it contributes again"
    )]
    Decryption {
        /// The block.
        block: usize,
    },
    /// A value out of the site's range, a count that is not one, or padding that is not zero.
    #[error(
        "block {block} of the update holds values out of this site's bounds: they were not clipped and weighted as the study says, or this machine computed wrongly; nothing was sent; if they were, run memory tests before it contributes again"
    )]
    Message {
        /// The block.
        block: usize,
    },
    /// Check words that are not those of the wire words.
    #[error(
        "block {block} of the encrypted update has other check words when they are computed again: this machine computed wrongly; nothing was sent; run memory tests before it contributes again"
    )]
    CheckWords {
        /// The block.
        block: usize,
    },
    /// Shares that are not a sharing of the key that encrypted.
    #[error(
        "the shares of the key are not those of the key that encrypted the update: this machine computed wrongly; nothing was sent; run memory tests before it contributes again"
    )]
    Shares,
}

/// A block as it is about to be written.
pub(super) struct EncryptedBlock<'a> {
    pub(super) block: usize,
    /// Values of the update that lie in it.
    pub(super) values: usize,
    pub(super) message: &'a [u64; RING_DEGREE],
    /// Its wire words, laid out.
    pub(super) bytes: &'a [u8],
    pub(super) check: &'a CheckWords,
}

/// What decrypting one's own blocks takes.
pub(super) struct SelfCheck<'a> {
    manifest: ManifestId,
    packing: &'a Packing,
    range: Summands,
    key: SecretWords,
    check: CheckVectors<'a>,
    /// Most noise that one contribution can have: the sampler's tail, rounding and lifting.
    most_noise: u64,
}

/// A thread's working memory, which the encryption of a block does not touch.
pub(super) struct SelfCheckScratch {
    public: [u64; RING_DEGREE],
    masks: Zeroizing<[u64; RING_DEGREE]>,
    words: [u64; RING_DEGREE],
}

impl SelfCheckScratch {
    pub(super) fn new() -> Self {
        let zeros = [0; RING_DEGREE];
        Self { public: zeros, masks: Zeroizing::new(zeros), words: zeros }
    }
}

impl<'a> SelfCheck<'a> {
    /// The check of an encryption under this key.
    pub(super) fn new(context: &EncryptionContext<'a>, key: &SecretWords) -> Self {
        let EncryptionContext { manifest, packing, range, check_key, .. } = *context;
        let mut copy = SecretWords::zeros(RING_DEGREE);
        copy.as_mut_slice().copy_from_slice(key.as_slice());
        Self {
            manifest,
            packing,
            range,
            key: copy,
            check: check_key.vectors(manifest, packing.wire_bits),
            most_noise: NoiseModel::new(1, 1, packing.wire_bits).bound(),
        }
    }

    /// The copy of the key that blocks were decrypted with.
    pub(super) fn into_key(self) -> SecretWords {
        self.key
    }

    /// Whether a block's wire words decrypt to its message, which is in bounds, and have its check
    /// words. Its time depends on nothing but what it finds.
    pub(super) fn check_block(
        &self,
        made: EncryptedBlock<'_>,
        scratch: &mut SelfCheckScratch,
    ) -> Result<(), SelfCheckError> {
        let EncryptedBlock { block, message, bytes, check, .. } = made;
        let Packing { delta_bits, wire_bits, .. } = *self.packing;
        if !self.in_bounds(&made) {
            return Err(SelfCheckError::Message { block });
        }
        let SelfCheckScratch { public, masks, words } = scratch;
        unpack(bytes, wire_bits, words.as_mut_slice());
        if !self.check.of_block(block, words).matches(check) {
            return Err(SelfCheckError::CheckWords { block });
        }
        public_polynomial(self.manifest, block as u64, public);
        product(public, self.key.as_slice(), masks);
        let message = message.as_slice();
        let noise =
            largest_noise(words.as_slice(), masks.as_slice(), message, delta_bits, wire_bits);
        match noise <= self.most_noise {
            true => Ok(()),
            false => Err(SelfCheckError::Decryption { block }),
        }
    }

    /// Whether a message counts the site once, its values are what one site may send, and the rest
    /// is zero.
    fn in_bounds(&self, made: &EncryptedBlock<'_>) -> bool {
        let Packing { slot_bits, slots, .. } = *self.packing;
        let counted = usize::from(made.block == 0);
        let used = made.values + counted;
        let mut beyond = 0;
        for slot in 0..usize::from(slots) {
            let shift = slot as u32 * u32::from(slot_bits);
            // The last slot takes all bits that are left: nothing lies above it.
            let last = slot + 1 == usize::from(slots);
            let mask = u64::MAX >> (64 - if last { 64 } else { u32::from(slot_bits) });
            let here = used.saturating_sub(slot * RING_DEGREE).min(RING_DEGREE);
            let (inside, padding) = made.message.split_at(here);
            let (count, values) = inside.split_at(if slot == 0 { counted } else { 0 });
            beyond |= largest_slot(count, shift, mask) ^ if slot == 0 { counted as u64 } else { 0 };
            beyond |= largest_slot(padding, shift, mask);
            let Summands { least, most, .. } = self.range;
            let (low, high) = slot_range(values, shift, mask, least);
            beyond |= u64::from(low < least) | u64::from(high > most);
        }
        beyond == 0
    }
}

vectorized! {
    /// The largest absolute value that is left of lifted words without masks and messages.
    fn largest_noise(words: &[u64], masks: &[u64], messages: &[u64], delta_bits: u8, wire_bits: u8) -> u64 {
        let mut largest = 0;
        for ((word, mask), message) in words.iter().zip(masks).zip(messages) {
            let expected = field::add(*mask, message << delta_bits);
            let noise = field::sub(from_word(*word, wire_bits), expected);
            largest = noise.min(field::neg(noise)).max(largest);
        }
        largest
    }
}

vectorized! {
    /// Least and largest slot; of none, `least` and 0.
    fn slot_range(messages: &[u64], shift: u32, mask: u64, least: u64) -> (u64, u64) {
        messages.iter().fold((least, 0), |(low, high), message| {
            let slot = message >> shift & mask;
            (low.min(slot), high.max(slot))
        })
    }
}

vectorized! {
    fn largest_slot(messages: &[u64], shift: u32, mask: u64) -> u64 {
        messages.iter().fold(0, |largest, message| (message >> shift & mask).max(largest))
    }
}

#[cfg(test)]
mod tests;
