//! Opening the sum, at the sites: unseal the holders' openings, reconstruct the key sum, decrypt,
//! check everything, and only then have a mean.

use std::io::{self, Read};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use rayon::prelude::*;
use ringfence_crypto::Digest;
use ringfence_crypto::ciphertext::{block_bytes, from_word, public_polynomial, unpack};
use ringfence_crypto::field;
use ringfence_crypto::noise::NoiseModel;
use ringfence_crypto::packing::{Packing, PackingError};
use ringfence_crypto::params::RING_DEGREE;
use ringfence_crypto::statement::{CertificateError, FailureClass, SignatureError, SiteId, Study};
use ringfence_crypto::vectorized;
use ringfence_crypto::wire::canonical;
use ringfence_crypto::wire::frame;
use ringfence_crypto::wire::message::OpeningFrame;

use crate::check::{CheckKey, CheckWords};
use crate::holder::{OpeningBinding, SALT_BYTES, SealedOpening};
use crate::identity::Identity;
use crate::reconstruct::{KeySum, ReconstructError};
use crate::seal::Purpose;
use crate::share::Share;
use crate::transform::product;

/// The sum could not be opened. The details stay at the site; see [`OpenError::class`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing certified.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Too few openings, or too many lies.
    #[error(transparent)]
    Reconstruct(#[from] ReconstructError),
    /// The sum of the bodies could not be read.
    #[error("could not read the sum of the bodies: {0}")]
    Io(#[from] io::Error),
    /// The study's own numbers.
    #[error(transparent)]
    Packing(#[from] PackingError),
    /// Noise beyond its bound: the sum does not belong to the keys.
    #[error(
        "coefficient {coefficient} has noise {noise}, expected at most {bound} for {sites} sites: sum and keys do not belong together (was a site shown another manifest?)"
    )]
    Noise {
        /// Index over all blocks.
        coefficient: usize,
        /// What came.
        noise: i64,
        /// Largest allowed.
        bound: u64,
        /// Contributions in the set.
        sites: usize,
    },
    /// A block whose noise is too large on average.
    #[error(
        "block {block} has a noise mean square of {mean_square:.1}, expected at most {bound:.1} for {sites} sites"
    )]
    NoiseMeanSquare {
        /// The block.
        block: usize,
        /// What came.
        mean_square: f64,
        /// Largest allowed.
        bound: f64,
        /// Contributions in the set.
        sites: usize,
    },
    /// A slot beyond what the set can sum to, or padding that is not zero.
    #[error(
        "value {index} sums to {sum}, expected at most {limit} for {sites} sites: a contribution was not encoded as the study says"
    )]
    Slot {
        /// Index over all slots; 0 is the count.
        index: usize,
        /// What came.
        sum: u64,
        /// Largest allowed.
        limit: u64,
        /// Contributions in the set.
        sites: usize,
    },
    /// Another number of sites was counted.
    #[error("the sum counts {counted} sites, the certified set has {expected}")]
    Count {
        /// Counted by the sum.
        counted: u64,
        /// In the set.
        expected: usize,
    },
    /// The check words do not match.
    #[error("the check words do not match the sum: the sum of the bodies was altered on the way")]
    Check,
}

impl OpenError {
    /// What may be posted: the error's class and nothing else.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Certificate(_) | Self::Reconstruct(_) | Self::Io(_) => FailureClass::Openings,
            Self::Check => FailureClass::Check,
            Self::Packing(_)
            | Self::Noise { .. }
            | Self::NoiseMeanSquare { .. }
            | Self::Slot { .. }
            | Self::Count { .. } => FailureClass::Decoding,
        }
    }
}

/// One holder's opening that a recipient cannot use.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OpeningError {
    /// For another closing, or by no holder of the round.
    #[error("the opening of {0} is for another round or closing, or {0} is no key holder")]
    Other(SiteId),
    /// Signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// What was sealed is not what the statement says.
    #[error("the opening of {holder} does not hold what its statement says: {reason}")]
    Content {
        /// Who opened.
        holder: SiteId,
        /// What is wrong.
        reason: String,
    },
}

/// The round and closing that openings must be for.
#[derive(Clone, Copy, Debug)]
pub struct OpeningContext<'a> {
    /// The study.
    pub study: &'a Study,
    /// Round number.
    pub round: u32,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Digest of the certified closing.
    pub closing: Digest,
}

/// Unseals one holder's share of the key sum; returns it with the holder's window offset.
///
/// # Errors
/// [`OpeningError`] names the holder and what is wrong.
pub fn unseal(
    identity: &Identity,
    context: OpeningContext<'_>,
    opening: &OpeningFrame,
) -> Result<(usize, Share), OpeningError> {
    let statement = &opening.statement.statement;
    let holder = &statement.holder;
    let OpeningContext { study, round, manifest, closing } = context;
    let other = || OpeningError::Other(holder.clone());
    let offset = study.holder_offset(round, holder).ok_or_else(other)?;
    if statement.manifest != manifest || statement.closing != closing {
        return Err(other());
    }
    let site = study.site(holder).ok_or_else(other)?;
    opening.statement.verify(&site.signature_key, holder)?;
    let wrong = |reason: String| OpeningError::Content { holder: holder.clone(), reason };
    if statement.sealed != Digest::of(&opening.sealed) {
        return Err(wrong("its digest differs".into()));
    }
    let sealed: SealedOpening =
        frame::decode(&opening.sealed, "a sealed opening").map_err(|e| wrong(e.to_string()))?;
    let recipient = identity.site();
    let position = study.position(recipient).ok_or_else(other)?;
    let key = sealed.keys.get(position);
    let key = key.ok_or_else(|| wrong("it holds no content key for this site".into()))?;
    let binding = OpeningBinding { manifest, closing, holder, recipient: Some(recipient) };
    let key =
        identity.kem().open(Purpose::Opening, &binding, key).map_err(|e| wrong(e.to_string()))?;
    let key = Key::try_from(key.as_slice())
        .map(zeroize::Zeroizing::new)
        .map_err(|_| wrong(format!("its content key has {} bytes, expected 32", key.len())))?;
    let binding = OpeningBinding { manifest, closing, holder, recipient: None };
    let associated = canonical::bytes("opening-content", &binding);
    let payload = Payload { msg: &sealed.content, aad: &associated };
    let plaintext = ChaCha20Poly1305::new(&key)
        .decrypt(&Nonce::default(), payload)
        .map(zeroize::Zeroizing::new)
        .map_err(|_| wrong("its content does not decrypt".into()))?;
    if statement.plaintext != Digest::of(&plaintext) {
        return Err(wrong("the digest of its content differs".into()));
    }
    let words = plaintext.get(SALT_BYTES..).unwrap_or_default();
    let share = Share::from_bytes(words, &study.threshold).map_err(|e| wrong(e.to_string()))?;
    Ok((offset, share))
}

/// How far the noise of a sum stayed from spoiling it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseReport {
    /// Largest absolute noise of any coefficient.
    pub largest: u64,
    /// Largest that would have been accepted.
    pub bound: u64,
    /// `log2((Delta/2) / largest)`: bits between the noise and a wrong digit.
    pub margin_bits: f64,
}

/// The opened sum: the integers that the quantized updates of the certified set add up to.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenedSum {
    /// Contributions in it.
    pub sites: usize,
    /// The noise that was taken off.
    pub noise: NoiseReport,
    /// The count, and one sum for each value of the layout.
    slots: Vec<u64>,
}

impl OpenedSum {
    /// One sum for each value of the layout.
    pub fn sums(&self) -> &[u64] {
        self.slots.get(1..).unwrap_or_default()
    }

    /// Decrypts the sum of the bodies of `sites` contributions with the sum of their keys, on the
    /// threads of the current rayon pool.
    ///
    /// Noise, slots, count and check words are all verified before anything is returned: a wrong
    /// sum is an error, never a result.
    ///
    /// # Errors
    /// [`OpenError`] with the first thing that is out of bounds.
    pub fn open(
        study: &Study,
        round: &Digest,
        sites: usize,
        keys: &KeySum,
        check_key: &CheckKey,
        sum: &mut impl Read,
    ) -> Result<Self, OpenError> {
        let (key, check_words) = keys.words().split_at(RING_DEGREE);
        let values = study.layout.values();
        let decoder = Decoder::new(&study.packing, sites, values, *round);
        let check = check_key.vectors(round, &study.packing);
        let blocks = study.blocks()?;
        let (bytes, block_values) =
            (block_bytes(study.packing.wire_bits), study.packing.block_values());
        // Value 0 is the count; the sums and the padding follow.
        let mut slots = vec![0; blocks * block_values];
        let mut total = CheckWords::zero();
        let mut largest = 0;
        let mut buffer = vec![0; BATCH * bytes];
        for (batch, slots) in slots.chunks_mut(BATCH * block_values).enumerate() {
            let buffer = &mut buffer[..slots.len() / block_values * bytes];
            sum.read_exact(buffer)?;
            let decoded: Vec<(u64, CheckWords)> = slots
                .par_chunks_mut(block_values)
                .zip(buffer.par_chunks(bytes))
                .enumerate()
                .map_init(Scratch::boxed, |scratch, (index, (slots, bytes))| {
                    let block = batch * BATCH + index;
                    decoder.decrypt(block, bytes, key, scratch);
                    let noise = decoder.decode(block, scratch, slots)?;
                    Ok((noise, check.of_block(block, &scratch.message)))
                })
                .collect::<Result<_, OpenError>>()?;
            for (noise, words) in &decoded {
                largest = largest.max(*noise);
                total.add(words);
            }
        }
        let counted = slots.first().copied().unwrap_or(0);
        if counted != sites as u64 {
            return Err(OpenError::Count { counted, expected: sites });
        }
        if !total.matches(check_words) {
            return Err(OpenError::Check);
        }
        slots.truncate(values + 1);
        let noise = decoder.report(largest);
        Ok(Self { sites, noise, slots })
    }
}

/// Blocks that are read and decoded at a time.
const BATCH: usize = 32;

/// Words that a loop handles side by side: two of the widest registers.
const LANES: usize = 16;

/// A thread's working memory.
struct Scratch {
    public: [u64; RING_DEGREE],
    coefficients: [u64; RING_DEGREE],
    message: [u64; RING_DEGREE],
}

impl Scratch {
    fn boxed() -> Box<Self> {
        let zeros = [0; RING_DEGREE];
        Box::new(Self { public: zeros, coefficients: zeros, message: zeros })
    }
}

struct Decoder<'a> {
    packing: &'a Packing,
    sites: usize,
    values: usize,
    round: Digest,
    bound: u64,
    mean_square_bound: f64,
}

impl<'a> Decoder<'a> {
    fn new(packing: &'a Packing, sites: usize, values: usize, round: Digest) -> Self {
        let noise = NoiseModel::new(sites, packing.wire_bits);
        let (bound, mean_square_bound) = (noise.bound(), noise.mean_square_bound());
        Self { packing, sites, values, round, bound, mean_square_bound }
    }

    /// Coefficients of a block of the sum with their masks taken off: `Delta M` and noise.
    fn decrypt(&self, block: usize, bytes: &[u8], key: &[u64], scratch: &mut Scratch) {
        let Scratch { public, message, coefficients } = scratch;
        public_polynomial(&self.round, block as u64, public);
        // The message is found last; until then its place holds the masks.
        let masks = message;
        product(public, key, masks);
        unpack(bytes, self.packing.wire_bits, coefficients.as_mut_slice());
        unmask(masks.as_slice(), self.packing.wire_bits, coefficients.as_mut_slice());
    }

    /// Takes the noise off the coefficients of a block and reads the slots of its message. Returns
    /// the largest noise.
    fn decode(
        &self,
        block: usize,
        scratch: &mut Scratch,
        slots: &mut [u64],
    ) -> Result<u64, OpenError> {
        let delta_bits = self.packing.delta_bits;
        let Scratch { message, coefficients, .. } = scratch;
        let (largest, squares) = split_noise(coefficients, delta_bits, message.as_mut_slice());
        let sites = self.sites;
        if largest > self.bound {
            let noise = |coefficient: &u64| split(*coefficient, delta_bits).1;
            let mut noises = coefficients.iter().map(noise).enumerate();
            let at = noises.find(|(_, noise)| noise.unsigned_abs() == largest);
            let (at, noise) = at.unwrap_or_default();
            let coefficient = block * RING_DEGREE + at;
            return Err(OpenError::Noise { coefficient, noise, bound: self.bound, sites });
        }
        let (mean_square, bound) = (squares / RING_DEGREE as f64, self.mean_square_bound);
        if mean_square > bound {
            return Err(OpenError::NoiseMeanSquare { block, mean_square, bound, sites });
        }
        let Packing { slot_bits, slots: count, .. } = *self.packing;
        for (slot, out) in slots.chunks_mut(RING_DEGREE).enumerate() {
            // The last slot takes all that is left: bits above it must not go unseen.
            let width = if slot + 1 == usize::from(count) { 64 } else { u32::from(slot_bits) };
            read_slot(message.as_slice(), slot as u32 * u32::from(slot_bits), width, out);
        }
        self.check_slots(block, slots)?;
        Ok(largest)
    }

    /// Every slot must be at most what the set can sum to, the count the number of sites, padding
    /// zero.
    fn check_slots(&self, block: usize, slots: &[u64]) -> Result<(), OpenError> {
        let first = block * slots.len();
        let used = (self.values + 1).saturating_sub(first).min(slots.len());
        let (used, padding) = slots.split_at(used);
        let (count, sums) = used.split_at(usize::from(block == 0).min(used.len()));
        let mut start = first;
        let limits = [self.sites as u64, self.packing.slot_limit(self.sites), 0];
        for (part, limit) in [count, sums, padding].into_iter().zip(limits) {
            // One pass that vectorises; which one it was matters to an error only.
            let sum = part.iter().copied().fold(0, u64::max);
            if sum > limit {
                let index = start + part.iter().position(|slot| *slot == sum).unwrap_or(0);
                return Err(OpenError::Slot { index, sum, limit, sites: self.sites });
            }
            start += part.len();
        }
        Ok(())
    }

    fn report(&self, largest: u64) -> NoiseReport {
        let half = (1u64 << (self.packing.delta_bits - 1)) as f64;
        let margin_bits = (half / largest.max(1) as f64).log2();
        NoiseReport { largest, bound: self.bound, margin_bits }
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

/// Splits `v = Delta M + noise`, `v` in `[-Delta/2, q - Delta/2)`, into `M` and noise.
#[inline(always)]
fn split(v: u64, delta_bits: u8) -> (u64, i64) {
    let half = 1u64 << (delta_bits - 1);
    let shifted = field::add(v, half);
    (shifted >> delta_bits, (shifted & (2 * half - 1)) as i64 - half as i64)
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
