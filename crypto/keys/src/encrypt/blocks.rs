//! Encrypting blocks on all threads, and writing them in order.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use ringfence_crypto::id::ManifestId;
use ringfence_crypto::ring::ciphertext::public_polynomial;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::packing::{Packing, PackingError};
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{block_bytes, pack, to_word};
use ringfence_crypto::vectorized;
use zeroize::Zeroizing;

use super::check::{CheckVectors, CheckWords};
use super::rlwe_noise::{UNIFORM_BYTES, errors_from_uniform};
use super::self_check::{EncryptedBlock, SelfCheck, SelfCheckError, SelfCheckScratch};
use super::transform::product;
use crate::randomness::BulkRandomness;
use crate::secret::SecretWords;
use crate::update::quantize::{QuantizeError, Quantizer, Value};

/// Encryption could not be finished; nothing of it may be sent.
#[derive(Debug, thiserror::Error)]
pub enum EncryptError {
    /// More values than a key may encrypt.
    #[error(transparent)]
    Packing(#[from] PackingError),
    /// An update that does not fit the study.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// Values without the noise that the study's policy asks for, or with noise that it does not.
    #[error(
        "the study's slots have room for noise of up to {noise_bound} at each site, and the update comes {} noise; sites add noise exactly where the policy protects whole sites",
        if *.noised { "with" } else { "without" }
    )]
    Noise {
        /// Whether noise has been added.
        noised: bool,
        /// As the study's packing states it.
        noise_bound: u32,
    },
    /// The body could not be written.
    #[error("could not write the encrypted body: {0}")]
    Io(#[from] io::Error),
    /// What was encrypted does not decrypt.
    #[error(transparent)]
    SelfCheck(#[from] SelfCheckError),
    /// An earlier step failed: going on would encrypt other values under the same key and errors.
    #[error("this encryption has failed before; start again with a fresh key")]
    Failed,
}

/// Where the blocks of a batch go, in order.
pub(super) struct Sink<'a, W> {
    body: &'a mut W,
    /// The block to be written next.
    next: usize,
    /// Blocks that are done before it.
    early: BTreeMap<usize, Vec<u8>>,
}

impl<'a, W: Write> Sink<'a, W> {
    /// A place for blocks from `next` on.
    pub(super) fn new(body: &'a mut W, next: usize) -> Self {
        Self { body, next, early: BTreeMap::new() }
    }

    /// Writes a block and those that have waited for it, or lets it wait; `bytes` may be used
    /// again. After an error nothing more is written.
    fn put(&mut self, block: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        if block != self.next {
            self.early.insert(block, std::mem::take(bytes));
            return Ok(());
        }
        self.body.write_all(bytes)?;
        self.next += 1;
        while let Some(early) = self.early.remove(&self.next) {
            self.body.write_all(&early)?;
            self.next += 1;
        }
        Ok(())
    }
}

/// Everything that encrypting a block needs.
pub(super) struct BlockCipher<'a> {
    pub(super) manifest: ManifestId,
    /// Blocks of the whole body.
    pub(super) blocks: usize,
    pub(super) quantizer: Quantizer<'a>,
    pub(super) key: SecretWords,
    pub(super) check: CheckVectors<'a>,
    pub(super) self_check: SelfCheck<'a>,
    pub(super) randomness: BulkRandomness,
    /// Working memory that no block is using.
    pub(super) spare: Mutex<Vec<Box<Scratch>>>,
}

/// A thread's working memory, wiped when the encryption is done, however it ends. In this order no
/// polynomial's vectors lie across two cache lines.
#[repr(C, align(64))]
pub(super) struct Scratch {
    public: [u64; RING_DEGREE],
    message: Zeroizing<[u64; RING_DEGREE]>,
    masks: Zeroizing<[u64; RING_DEGREE]>,
    /// Errors, and then the words that come of them.
    words: Zeroizing<[u64; RING_DEGREE]>,
    again: SelfCheckScratch,
    uniform: Zeroizing<[u8; UNIFORM_BYTES]>,
    dither: Zeroizing<Vec<u8>>,
}

/// A panic in another thread is that thread's: it ends the encryption, whatever was locked then.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BlockCipher<'_> {
    /// Slots, scale and wire words.
    pub(super) fn packing(&self) -> &Packing {
        self.quantizer.packing()
    }

    /// The check words of no block.
    pub(super) fn no_check_words(&self) -> CheckWords {
        CheckWords::zero(self.packing().wire_bits)
    }

    /// Working memory that another block has left, or fresh one.
    fn scratch(&self) -> Box<Scratch> {
        lock(&self.spare).pop().unwrap_or_else(|| {
            Box::new(Scratch {
                public: [0; RING_DEGREE],
                message: Zeroizing::new([0; RING_DEGREE]),
                masks: Zeroizing::new([0; RING_DEGREE]),
                words: Zeroizing::new([0; RING_DEGREE]),
                uniform: Zeroizing::new([0; UNIFORM_BYTES]),
                dither: Zeroizing::new(vec![0; self.packing().block_values() * 4]),
                again: SelfCheckScratch::new(),
            })
        })
    }

    /// Encrypts successive blocks into `sink`; returns what they add to the check words.
    ///
    /// Each thread takes the next block when it has done one: cores of a shared machine are not
    /// equally fast.
    pub(super) fn encrypt_batch<V: Value>(
        &self,
        first: usize,
        blocks: &[&[V]],
        sink: &Mutex<Sink<'_, impl Write + Send>>,
    ) -> Result<CheckWords, EncryptError> {
        let work = Mutex::new((first..).zip(blocks));
        // A closure, so that the lock is not held while the block is encrypted.
        let next = || lock(&work).next();
        let parts: Vec<Result<CheckWords, (usize, EncryptError)>> = (0
            ..rayon::current_num_threads().min(blocks.len()))
            .into_par_iter()
            .with_max_len(1)
            .map(|_| {
                let (mut scratch, mut sum) = (self.scratch(), self.no_check_words());
                let mut out = Vec::new();
                while let Some((block, values)) = next() {
                    out.resize(block_bytes(self.packing().wire_bits), 0);
                    let words = self
                        .encrypt_block(block, values, &mut scratch, &mut out)
                        .map_err(|error| (block, error))?;
                    sum.add(&words);
                    lock(sink).put(block, &mut out).map_err(|error| (block, error.into()))?;
                }
                // After the last block each thread wipes its own.
                if first + blocks.len() < self.blocks {
                    lock(&self.spare).push(scratch);
                }
                Ok(sum)
            })
            .collect();
        // Blocks are taken in order, so that the first bad one is among the errors whichever
        // thread is faster: it is the one to tell.
        let mut sum = self.no_check_words();
        let mut errors = Vec::new();
        for part in parts {
            match part {
                Ok(words) => sum.add(&words),
                Err(error) => errors.push(error),
            }
        }
        match errors.into_iter().min_by_key(|(block, _)| *block) {
            Some((_, error)) => Err(error),
            None => Ok(sum),
        }
    }

    /// `c_j = a_j s + e_j + Delta m_j`, rounded to wire words; and whether they decrypt again.
    fn encrypt_block<V: Value>(
        &self,
        block: usize,
        values: &[V],
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Result<CheckWords, EncryptError> {
        let Scratch { public, message, masks, words, uniform, dither, again } = scratch;
        let mut stream = self.randomness.block(block as u64);
        stream.fill(uniform.as_mut_slice());
        stream.fill(dither);
        self.quantizer.fill_block(block, values, dither, message)?;
        errors_from_uniform(uniform, words);
        public_polynomial(self.manifest, block as u64, public);
        product(public, self.key.as_slice(), masks);
        let Packing { delta_bits, wire_bits, .. } = *self.packing();
        mask(masks.as_slice(), message.as_slice(), delta_bits, wire_bits, words.as_mut_slice());
        pack(words.as_slice(), wire_bits, out);
        let check = self.check.of_block(block, words);
        let values = values.len();
        let made = EncryptedBlock { block, values, message, masks, bytes: out, check: &check };
        self.self_check.check_block(made, again)?;
        Ok(check)
    }
}

vectorized! {
    /// Adds masks and scaled messages to errors, in whose place the wire words come to which the
    /// sums are rounded. The packing keeps `Delta m` below q.
    pub(crate) fn mask(masks: &[u64], messages: &[u64], delta_bits: u8, wire_bits: u8, words: &mut [u64]) {
        for ((word, mask), message) in words.iter_mut().zip(masks).zip(messages) {
            let noisy = field::add(*word, message << delta_bits);
            *word = to_word(field::add(*mask, noisy), wire_bits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_written_in_order_and_none_after_an_error() {
        let put = |mut body: &mut dyn Write, order: &[usize]| -> Vec<io::Result<()>> {
            let mut sink = Sink::new(&mut body, 3);
            order.iter().map(|block| sink.put(*block, &mut vec![*block as u8; 2])).collect()
        };
        let mut body = Vec::new();
        assert!(put(&mut body, &[5, 3, 7, 4, 6]).iter().all(Result::is_ok));
        assert_eq!(body, [3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
        // Room for one block and a half.
        let mut full = [0; 3];
        let results = put(&mut full.as_mut_slice(), &[3, 5, 4, 6]);
        assert_eq!(
            results.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, true, false, true]
        );
        assert_eq!(full, [3, 3, 4]);
    }
}
