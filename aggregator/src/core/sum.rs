//! The sum of a closed round's bodies: the only thing that is ever computed from them.
//!
//! A [`Sum`] can be made here only, and only from a [`ClosedSet`], which the round machine makes
//! only when its set is fixed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use ringfence_crypto::Digest;
use ringfence_crypto::ciphertext::{LengthError, add_words, block_bytes};
use ringfence_crypto::round::ClosedSet;

use crate::files::{RoundFiles, sync_parent};

/// Blocks of every body that are added at a time, about half a megabyte: the running sum stays in
/// the processor's cache. Memory is two such chunks, whatever the number of sites and the size of
/// the model.
const CHUNK_BLOCKS: usize = 20;

/// The sum could not be made; nothing was published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SumError {
    /// The disk failed.
    #[error("adding up failed: {0}")]
    Io(#[from] io::Error),
    /// A body that has a receipt is not whole.
    #[error("the body of {site} has {got} bytes on disk, expected {expected}: the disk lost it")]
    Length {
        /// Whose body.
        site: String,
        /// By the study.
        expected: u64,
        /// On disk.
        got: u64,
    },
    /// The study's body length is no whole number of words.
    #[error(transparent)]
    Words(#[from] LengthError),
    /// An abort has no sum.
    #[error("an empty set has no sum")]
    Empty,
}

/// The sum over a closed set, durable on disk.
#[derive(Debug)]
pub(crate) struct Sum {
    digest: Digest,
}

impl Sum {
    /// Adds up the bodies of `set`, each `length` bytes of `wire_bits`-bit words, into the round's
    /// sum file.
    ///
    /// It is a pure function of the set: a crash in the middle only means doing it again.
    pub(crate) fn add_up(
        set: &ClosedSet,
        files: &RoundFiles,
        length: u64,
        wire_bits: u8,
    ) -> Result<Self, SumError> {
        if set.included().is_empty() {
            return Err(SumError::Empty);
        }
        for entry in set.included() {
            let got = std::fs::metadata(files.body(&entry.site))?.len();
            if got != length {
                return Err(SumError::Length {
                    site: entry.site.to_string(),
                    expected: length,
                    got,
                });
            }
        }
        let unfinished = files.sum_unfinished();
        let mut out = File::create(&unfinished)?;
        let mut hasher = blake3::Hasher::new();
        let chunk = CHUNK_BLOCKS * block_bytes(wire_bits);
        let (mut total, mut words) = (vec![0u8; chunk], vec![0u8; chunk]);
        let mut offset = 0;
        while offset < length {
            // At most a chunk, so it fits.
            let size = (length - offset).min(chunk as u64) as usize;
            let (total, words) = (&mut total[..size], &mut words[..size]);
            total.fill(0);
            for entry in set.included() {
                // Opened anew for every chunk: one open body at a time, however many sites.
                let mut body = File::open(files.body(&entry.site))?;
                body.seek(SeekFrom::Start(offset))?;
                body.read_exact(words)?;
                add_words(total, words, wire_bits)?;
            }
            hasher.update(total);
            out.write_all(total)?;
            offset += size as u64;
        }
        out.sync_all()?;
        std::fs::rename(&unfinished, files.sum())?;
        sync_parent(&files.sum())?;
        Ok(Self { digest: Digest::finish(&hasher) })
    }

    /// BLAKE3 root of the sum.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }
}
