//! What a site makes sure of before it signs a header: that its machine has computed rightly.
//!
//! A contribution that breaks the format convicts the site that signed it, whatever the reason was.
//! So every block is decrypted again from its wire words before it is written, and the shares are
//! interpolated again before they are sealed (`share/deal.rs`). Nothing is used twice that could
//! have been wrong the first time: the public polynomial and the check words' vectors are derived
//! anew, into memory of their own, and the key is a second copy. The one thing that is used again,
//! the block's masks `a_j s`, is verified against them (`ProductCheck`). The copy must be what the
//! masks are made of and what the shares carry, so a bit that flips in either copy, at any time, is
//! noticed.

mod product;

use ringfence_crypto::id::ManifestId;
use ringfence_crypto::ring::ciphertext::public_polynomial;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::noise_bound::NoiseModel;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{from_word, unpack};
use ringfence_crypto::statement::Summands;
use ringfence_crypto::vectorized;

use super::check::{CheckVectors, CheckWords};
use super::one_time_key::EncryptionContext;
use crate::randomness::BulkRandomness;
use crate::secret::SecretWords;
use product::ProductCheck;

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
    /// The product with the key that hides it.
    pub(super) masks: &'a [u64; RING_DEGREE],
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
    /// Made from that copy before the first block.
    product: ProductCheck,
    check: CheckVectors<'a>,
    /// Most noise that one contribution can have: the sampler's tail, rounding and lifting.
    most_noise: u64,
}

/// A thread's working memory, which the encryption of a block does not touch.
pub(super) struct SelfCheckScratch {
    public: [u64; RING_DEGREE],
    words: [u64; RING_DEGREE],
}

impl SelfCheckScratch {
    pub(super) fn new() -> Self {
        let zeros = [0; RING_DEGREE];
        Self { public: zeros, words: zeros }
    }
}

impl<'a> SelfCheck<'a> {
    /// The check of an encryption under this key, with this randomness.
    pub(super) fn new(
        context: &EncryptionContext<'a>,
        key: &SecretWords,
        randomness: &BulkRandomness,
    ) -> Self {
        let EncryptionContext { manifest, packing, range, check_key, .. } = *context;
        let mut copy = SecretWords::zeros(RING_DEGREE);
        copy.as_mut_slice().copy_from_slice(key.as_slice());
        Self {
            manifest,
            packing,
            range,
            product: ProductCheck::new(copy.as_slice(), &mut randomness.self_check()),
            key: copy,
            check: check_key.vectors(manifest, packing.wire_bits),
            most_noise: NoiseModel::new(1, 1, packing.wire_bits).bound(),
        }
    }

    /// The copy of the key that blocks were checked with.
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
        let EncryptedBlock { block, message, masks, bytes, check, .. } = made;
        if !self.in_bounds(&made) {
            return Err(SelfCheckError::Message { block });
        }
        let SelfCheckScratch { public, words } = scratch;
        unpack(bytes, self.packing.wire_bits, words.as_mut_slice());
        if !self.check.of_block(block, words).matches(check) {
            return Err(SelfCheckError::CheckWords { block });
        }
        public_polynomial(self.manifest, block as u64, public);
        if !self.product.holds(public, masks) {
            return Err(SelfCheckError::Decryption { block });
        }
        match noise_beyond(words, masks, message, self.packing, self.most_noise) == 0 {
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
            // At most one coefficient.
            beyond |= bits_of(count, shift, mask) ^ if slot == 0 { counted as u64 } else { 0 };
            beyond |= bits_of(padding, shift, mask);
            beyond |= slots_beyond(values, shift, mask, self.range);
        }
        beyond == 0
    }
}

/// The highest bit is set where a number is not from `least` to `most`, both below 2^63: of two
/// differences one is negative, or the number is so large that its highest bit is set.
#[inline(always)]
fn outside(number: u64, least: u64, most: u64) -> u64 {
    number.wrapping_sub(least) | most.wrapping_sub(number)
}

vectorized! {
    /// Not zero if what is left of a lifted word without mask and message is larger than `most`,
    /// below 2^62, in absolute value.
    fn noise_beyond(
        words: &[u64; RING_DEGREE],
        masks: &[u64; RING_DEGREE],
        messages: &[u64; RING_DEGREE],
        packing: &Packing,
        most: u64,
    ) -> u64 {
        let Packing { delta_bits, wire_bits, .. } = *packing;
        let mut beyond = 0;
        for ((word, mask), message) in words.iter().zip(masks).zip(messages) {
            let expected = field::add(*mask, message << delta_bits);
            let noise = field::sub(from_word(*word, wire_bits), expected);
            // From -most..most to 0..2 most.
            beyond |= outside(field::add(noise, most), 0, 2 * most);
        }
        beyond >> 63
    }
}

vectorized! {
    /// Not zero if a slot is out of the range of a contribution.
    fn slots_beyond(messages: &[u64], shift: u32, mask: u64, range: Summands) -> u64 {
        let Summands { least, most, .. } = range;
        messages.iter().fold(0, |beyond, message| {
            beyond | outside(message >> shift & mask, least, most)
        }) >> 63
    }
}

vectorized! {
    /// All bits that are set in any slot.
    fn bits_of(messages: &[u64], shift: u32, mask: u64) -> u64 {
        messages.iter().fold(0, |bits, message| bits | message >> shift & mask)
    }
}

#[cfg(test)]
mod tests;
