//! A bundle: one file, of which every byte is held by a digest.
//!
//! ```text
//! ringfence bundle 1\n
//! the items' bytes, one after the other
//! the index, JSON: whose, which way, and each item with its length and digest
//! length of the index (8 bytes, little-endian), digest of the index (32 bytes)
//! ```
//!
//! The digests tell damage, and no more: what a bundle holds is signed by who said it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ringfence_crypto::Digest;
use ringfence_crypto::wire::json;
use ringfence_durable::{Readers, Unfinished};
use serde::{Deserialize, Serialize};

use super::contents::{Item, Kind, Of, Way};
use super::error::ByHandError;

const MAGIC: &[u8] = b"ringfence bundle 1\n";

/// Bytes after the index.
const TRAILER: u64 = 8 + 32;

/// Most bytes of an index: hundreds of thousands of items.
const MAX_INDEX: u64 = 64 << 20;

/// Bytes that are copied at once.
const PIECE: usize = 1 << 18;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    of: Of,
    way: Way,
    items: Vec<Item>,
}

/// A bundle that is being written; dropping it leaves nothing.
#[derive(Debug)]
pub(crate) struct BundleWriter {
    out: io::BufWriter<Unfinished>,
    path: PathBuf,
    written: u64,
    items: Vec<Item>,
    paths: BTreeSet<String>,
}

impl BundleWriter {
    /// Begins the bundle that is to lie at `path`.
    pub(crate) fn new(path: &Path) -> Result<Self, ByHandError> {
        let file = ByHandError::file(path);
        let mut out = io::BufWriter::new(Unfinished::new(path, Readers::Owner).map_err(&file)?);
        out.write_all(MAGIC).map_err(&file)?;
        let (path, written) = (path.to_owned(), MAGIC.len() as u64);
        Ok(Self { out, path, written, items: Vec::new(), paths: BTreeSet::new() })
    }

    /// Whether there is an item of this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Adds an item; its digest.
    pub(crate) fn add(
        &mut self,
        path: String,
        kind: Kind,
        mut bytes: impl Read,
    ) -> Result<Digest, ByHandError> {
        let (mut hasher, mut length) = (blake3::Hasher::new(), 0u64);
        let mut piece = vec![0; PIECE];
        let file = ByHandError::file(&self.path);
        loop {
            let read = bytes.read(&mut piece).map_err(&file)?;
            let some = piece.get(..read).unwrap_or_default();
            if some.is_empty() {
                break;
            }
            hasher.update(some);
            self.out.write_all(some).map_err(&file)?;
            length += some.len() as u64;
        }
        self.written += length;
        let digest = Digest::finish(&hasher);
        self.paths.insert(path.clone());
        self.items.push(Item { path, kind, bytes: length, digest });
        Ok(digest)
    }

    /// Ends the bundle and brings it to its place; how many bytes it has.
    pub(crate) fn finish(self, of: Of, way: Way) -> Result<u64, ByHandError> {
        let Self { mut out, path, written, items, .. } = self;
        let file = ByHandError::file(&path);
        let index = json::compact(&Index { of, way, items });
        let length = index.len() as u64;
        out.write_all(&index).map_err(&file)?;
        out.write_all(&length.to_le_bytes()).map_err(&file)?;
        out.write_all(&Digest::of(&index).0).map_err(&file)?;
        let out = out.into_inner().map_err(|error| file(error.into_error()))?;
        out.replace().map_err(&file)?;
        Ok(written + length + TRAILER)
    }
}

/// A bundle of which every byte was checked.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    pub(crate) path: PathBuf,
    pub(crate) of: Of,
    pub(crate) way: Way,
    /// Each item, and where it begins.
    pub(crate) items: Vec<(Item, u64)>,
    /// Names the whole file.
    pub(crate) digest: Digest,
}

impl Bundle {
    /// Reads a bundle, all of it.
    ///
    /// # Errors
    /// [`ByHandError::NoBundle`], [`ByHandError::Altered`]; nothing of it may be used then.
    pub(crate) fn open(path: &Path) -> Result<Self, ByHandError> {
        let bundle = Self::open_unread(path)?;
        let mut file = File::open(path).map_err(ByHandError::file(path))?;
        file.seek(SeekFrom::Start(MAGIC.len() as u64)).map_err(ByHandError::file(path))?;
        for (item, _) in &bundle.items {
            let mut hasher = blake3::Hasher::new();
            let mut part = (&file).take(item.bytes);
            io::copy(&mut part, &mut hasher).map_err(ByHandError::file(path))?;
            if Digest::finish(&hasher) != item.digest {
                let reason = format!("{} has another digest than the index says", item.described());
                return Err(ByHandError::Altered { path: path.to_owned(), reason });
            }
        }
        Ok(bundle)
    }

    /// Reads the index alone, of a bundle that was read when it came.
    pub(crate) fn open_unread(path: &Path) -> Result<Self, ByHandError> {
        let io = ByHandError::file(path);
        let altered =
            |reason: &str| ByHandError::Altered { path: path.to_owned(), reason: reason.into() };
        // A pipe would be waited for.
        if !path.metadata().map_err(&io)?.is_file() {
            return Err(ByHandError::NoBundle(path.to_owned()));
        }
        let mut file = File::open(path).map_err(&io)?;
        let mut magic = [0; MAGIC.len()];
        let begun = file.read_exact(&mut magic);
        if begun.is_err() || magic != MAGIC {
            return Err(ByHandError::NoBundle(path.to_owned()));
        }
        let length = file.metadata().map_err(&io)?.len();
        let end = length.checked_sub(TRAILER).filter(|end| *end >= MAGIC.len() as u64);
        let end = end.ok_or_else(|| altered("it is cut short"))?;
        let (mut bytes, mut digest) = ([0; 8], [0; 32]);
        file.seek(SeekFrom::Start(end)).map_err(&io)?;
        file.read_exact(&mut bytes).map_err(&io)?;
        file.read_exact(&mut digest).map_err(&io)?;
        let cut = "it is cut short, or its end was altered";
        let index_bytes = u64::from_le_bytes(bytes);
        let start = end.checked_sub(index_bytes).filter(|_| index_bytes <= MAX_INDEX);
        let start = start.ok_or_else(|| altered(cut))?;
        let mut index = Vec::new();
        file.seek(SeekFrom::Start(start)).map_err(&io)?;
        (&file).take(index_bytes).read_to_end(&mut index).map_err(&io)?;
        if Digest::of(&index).0 != digest {
            return Err(altered(cut));
        }
        let limit = usize::try_from(MAX_INDEX).unwrap_or(usize::MAX);
        let Index { of, way, items } = json::parse(&index, limit, "index of a bundle")
            .map_err(|error| altered(&format!("{error}; it may be of another version")))?;
        let mut at = MAGIC.len() as u64;
        let mut placed = Vec::with_capacity(items.len());
        for item in items {
            let next = at.saturating_add(item.bytes);
            placed.push((item, at));
            at = next;
        }
        if at != start {
            return Err(altered("its items are longer or shorter than the index says"));
        }
        Ok(Self { path: path.to_owned(), of, way, items: placed, digest: Digest(digest) })
    }

    /// The bytes of an item.
    pub(crate) fn reader(&self, item: &Item, start: u64) -> io::Result<io::Take<File>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(file.take(item.bytes))
    }

    /// The same in memory.
    pub(crate) fn bytes(&self, item: &Item, start: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader(item, start)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
