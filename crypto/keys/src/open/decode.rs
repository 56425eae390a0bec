//! Decrypting the blocks of a sum, and checking what they hold.

use std::io::Read;

use rayon::prelude::*;
use ringfence_crypto::id::ManifestId;
use ringfence_crypto::ring::ciphertext::public_polynomial;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::noise_bound::NoiseModel;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{block_bytes, from_word, unpack};
use ringfence_crypto::statement::{Study, Summands};
use ringfence_crypto::vectorized;

use super::coefficient::split;
use super::error::OpenError;
use crate::encrypt::check::{CheckKey, CheckWords};
use crate::encrypt::transform::product;
use crate::share::reconstruct::KeySum;

/// What a sum is opened with.
#[derive(Clone, Copy, Debug)]
pub struct SumContext<'a> {
    /// The study.
    pub study: &'a Study,
    /// The round's manifest.
    pub manifest: ManifestId,
    /// The contributions that are in the sum ([`Study::summands`]).
    pub summands: Summands,
    /// The sum of their keys.
    pub keys: &'a KeySum,
    /// What the sum's check words must be: the sum of those in the set's headers
    /// ([`CheckKey::sum_of_headers`]).
    pub check: &'a CheckWords,
    /// The study's check key.
    pub check_key: &'a CheckKey,
}

/// How far the noise of a sum stayed from spoiling it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseReport {
    /// Largest absolute noise of any coefficient.
    pub largest: u64,
    /// Largest that would have been accepted.
    pub bound: u64,
    /// A bound on the probability that noise goes beyond that, so that the sum is refused or a
    /// digit wrong, if all but the colluding sites draw theirs as they should
    /// ([`NoiseModel::failure_probability`]); 0 where it cannot.
    pub failure_probability: f64,
    /// Largest mean square of the noise over one block.
    pub mean_square: f64,
    /// What that stays below if every site draws its noise as it should, but for a chance of 2^-64 a
    /// model: beyond it some site did not, within what it may.
    pub mean_square_bound: f64,
}

/// What a [`NoiseReport::failure_probability`] means, in words.
pub fn failure_in_words(failure_probability: f64) -> String {
    match failure_probability {
        0.0 => "honest noise cannot spoil the sum".to_owned(),
        p => format!(
            "honest noise spoils such a sum with probability below 2^{:.0}",
            p.log2().ceil()
        ),
    }
}

/// Blocks a thread that are read and decoded at a time: their slots stay in the cache until they
/// are taken, and enough for the threads to share out.
const BATCH: usize = 8;

/// Of `blocks` blocks, how many are read and decoded at a time.
pub(super) fn batch_blocks(blocks: usize) -> usize {
    (BATCH * rayon::current_num_threads()).min(blocks).max(1)
}

/// Decrypts a sum, and hands its sums to `take`, in order and all of the layout's values.
///
/// What `take` got is good only if this returns no error: count and check words are of the whole.
pub(super) fn decode(
    context: SumContext<'_>,
    sum: &mut impl Read,
    mut take: impl FnMut(&[u64]),
) -> Result<NoiseReport, OpenError> {
    let SumContext { study, manifest, summands, keys, check: expected, check_key } = context;
    let values = study.layout.values();
    let decoder = Decoder::new(study, summands, manifest);
    let check = check_key.vectors(manifest, study.packing.wire_bits);
    let blocks = study.blocks()?;
    let (bytes, block_values) =
        (block_bytes(study.packing.wire_bits), study.packing.block_values());
    let batch = batch_blocks(blocks);
    let mut buffer = vec![0; batch * bytes];
    let mut slots = vec![0; batch * block_values];
    let mut total = CheckWords::zero(study.packing.wire_bits);
    let (mut noise, mut counted, mut left) = (BlockNoise::default(), 0, values);
    for first in (0..blocks).step_by(batch) {
        let count = batch.min(blocks - first);
        let (buffer, slots) = (&mut buffer[..count * bytes], &mut slots[..count * block_values]);
        sum.read_exact(buffer)?;
        let decoded: Vec<Result<(BlockNoise, CheckWords), OpenError>> = slots
            .par_chunks_mut(block_values)
            .zip(buffer.par_chunks(bytes))
            .enumerate()
            .map_init(Scratch::boxed, |scratch, (index, (slots, bytes))| {
                let block = first + index;
                unpack(bytes, study.packing.wire_bits, scratch.coefficients.as_mut_slice());
                let words = check.of_block(block, &scratch.coefficients);
                decoder.decrypt(block, keys.words(), scratch);
                Ok((decoder.decode(block, scratch, slots)?, words))
            })
            .collect();
        // The first block's error, whichever thread was faster.
        for block in decoded {
            let (of_block, words) = block?;
            noise = noise.max(of_block);
            total.add(&words);
        }
        // Value 0 is the count; the sums and the padding follow.
        let sums = if first == 0 {
            counted = slots.first().copied().unwrap_or(0);
            slots.get(1..).unwrap_or_default()
        } else {
            slots
        };
        let used = sums.len().min(left);
        take(sums.get(..used).unwrap_or_default());
        left -= used;
    }
    if counted != summands.sites as u64 {
        return Err(OpenError::Count { counted, expected: summands.sites });
    }
    if !total.matches(expected) {
        return Err(OpenError::Check);
    }
    Ok(decoder.report(noise, blocks))
}

/// Words that a loop handles side by side: two of the widest registers.
const LANES: usize = 16;

/// A thread's working memory.
pub(super) struct Scratch {
    public: [u64; RING_DEGREE],
    pub(super) coefficients: [u64; RING_DEGREE],
    message: [u64; RING_DEGREE],
}

impl Scratch {
    pub(super) fn boxed() -> Box<Self> {
        let zeros = [0; RING_DEGREE];
        Box::new(Self { public: zeros, coefficients: zeros, message: zeros })
    }
}

/// Noise of a block, or the most of several.
#[derive(Clone, Copy, Default)]
struct BlockNoise {
    largest: u64,
    mean_square: f64,
}

impl BlockNoise {
    fn max(self, other: Self) -> Self {
        let largest = self.largest.max(other.largest);
        Self { largest, mean_square: self.mean_square.max(other.mean_square) }
    }
}

/// What decoding the blocks of a sum depends on, but for the keys.
pub(super) struct Decoder<'a> {
    packing: &'a Packing,
    summands: Summands,
    values: usize,
    manifest: ManifestId,
    noise: NoiseModel,
    bound: u64,
}

impl<'a> Decoder<'a> {
    /// Decodes sums over these sites.
    pub(super) fn new(study: &'a Study, summands: Summands, manifest: ManifestId) -> Self {
        let (packing, values) = (&study.packing, study.layout.values());
        let noise = NoiseModel::new(summands.sites, study.threshold.collusion, packing.wire_bits);
        Self { packing, summands, values, manifest, noise, bound: noise.bound() }
    }

    /// Largest noise that is accepted.
    pub(super) fn bound(&self) -> u64 {
        self.bound
    }

    /// Lifts the words of a block of the sum, which lie where its coefficients do, and takes their
    /// masks off: `Delta M` and noise are left.
    pub(super) fn decrypt(&self, block: usize, key: &[u64], scratch: &mut Scratch) {
        let Scratch { public, message, coefficients } = scratch;
        public_polynomial(self.manifest, block as u64, public);
        // The message is found last; until then its place holds the masks.
        let masks = message;
        product(public, key, masks);
        unmask(masks.as_slice(), self.packing.wire_bits, coefficients.as_mut_slice());
    }

    /// Takes the noise off the coefficients of a block and reads the slots of its message. Returns
    /// the noise.
    fn decode(
        &self,
        block: usize,
        scratch: &mut Scratch,
        slots: &mut [u64],
    ) -> Result<BlockNoise, OpenError> {
        let delta_bits = self.packing.delta_bits;
        let Scratch { message, coefficients, .. } = scratch;
        let (largest, squares) = split_noise(coefficients, delta_bits, message.as_mut_slice());
        let sites = self.summands.sites;
        if largest > self.bound {
            let noise = |coefficient: &u64| split(*coefficient, delta_bits).1;
            let mut noises = coefficients.iter().map(noise).enumerate();
            let at = noises.find(|(_, noise)| noise.unsigned_abs() == largest);
            let (at, noise) = at.unwrap_or_default();
            let coefficient = block * RING_DEGREE + at;
            return Err(OpenError::Noise { coefficient, noise, bound: self.bound, sites });
        }
        let Packing { slot_bits, slots: count, .. } = *self.packing;
        for (slot, out) in slots.chunks_mut(RING_DEGREE).enumerate() {
            // The last slot takes all that is left: bits above it must not go unseen.
            let width = if slot + 1 == usize::from(count) { 64 } else { u32::from(slot_bits) };
            read_slot(message.as_slice(), slot as u32 * u32::from(slot_bits), width, out);
        }
        self.check_slots(block, slots)?;
        Ok(BlockNoise { largest, mean_square: squares / RING_DEGREE as f64 })
    }

    /// Every slot must be one that the set can sum to, the count at most the number of sites,
    /// padding zero.
    fn check_slots(&self, block: usize, slots: &[u64]) -> Result<(), OpenError> {
        let first = block * slots.len();
        let used = (self.values + 1).saturating_sub(first).min(slots.len());
        let (used, padding) = slots.split_at(used);
        let (count, sums) = used.split_at(usize::from(block == 0).min(used.len()));
        let mut start = first;
        let Summands { sites, least, most } = self.summands;
        for (part, least, most) in [(count, 0, sites as u64), (sums, least, most), (padding, 0, 0)]
        {
            // One pass that vectorises; which one it was matters to an error only.
            let (low, high) = part
                .iter()
                .fold((most, least), |(low, high), slot| (low.min(*slot), high.max(*slot)));
            if low < least || high > most {
                let beyond = |slot: &u64| !(least..=most).contains(slot);
                let at = part.iter().position(beyond).unwrap_or(0);
                let (index, sum) = (start + at, part.get(at).copied().unwrap_or(0));
                return Err(OpenError::Slot { index, sum, least, most, sites });
            }
            start += part.len();
        }
        Ok(())
    }

    fn report(&self, noise: BlockNoise, blocks: usize) -> NoiseReport {
        let BlockNoise { largest, mean_square } = noise;
        NoiseReport {
            largest,
            bound: self.bound,
            failure_probability: self.noise.failure_probability(blocks),
            mean_square,
            mean_square_bound: self.noise.mean_square_bound(),
        }
    }
}

vectorized! {
    /// Lifts words and takes their masks off.
    fn unmask(masks: &[u64], wire_bits: u8, words: &mut [u64]) {
        for (word, mask) in words.iter_mut().zip(masks) {
            *word = field::sub(from_word(*word, wire_bits), *mask);
        }
    }
}

vectorized! {
    /// Splits coefficients; returns the largest noise and the sum of the squares.
    fn split_noise(coefficients: &[u64; RING_DEGREE], delta_bits: u8, messages: &mut [u64]) -> (u64, f64) {
        let mut largest = [0; LANES];
        // Sums side by side: floating-point additions keep their order.
        let mut squares = [0.0f64; LANES];
        let (rows, _) = coefficients.as_chunks::<LANES>();
        let (messages, _) = messages.as_chunks_mut::<LANES>();
        for (row, messages) in rows.iter().zip(messages) {
            for i in 0..LANES {
                let (message, noise) = split(row[i], delta_bits);
                messages[i] = message;
                largest[i] = noise.unsigned_abs().max(largest[i]);
                squares[i] += noise as f64 * noise as f64;
            }
        }
        (largest.into_iter().fold(0, u64::max), squares.iter().sum())
    }
}

vectorized! {
    fn read_slot(messages: &[u64], shift: u32, width: u32, out: &mut [u64]) {
        let mask = u64::MAX >> (64 - width);
        for (out, message) in out.iter_mut().zip(messages) {
            *out = message >> shift & mask;
        }
    }
}
