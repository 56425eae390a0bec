//! The export, read within bounds.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ringfence_crypto::evidence::MAX_ROUND_PROOF;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::log::note::MAX_NOTE;
use ringfence_crypto::wire::json::MAX_STUDY;

/// Most bytes of the list of the log's entries: some three million.
pub(crate) const MAX_ENTRIES: usize = 256 << 20;

/// Most rounds that are looked at.
pub(crate) const MAX_ROUNDS: u32 = 100_000;

/// An export's folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The system says no.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than is read.
    #[error("{path} has more than {limit} bytes, the most that such a file has", path = .path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// The most.
        limit: usize,
    },
}

impl Folder {
    /// The folder of an export.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The study file.
    pub(crate) fn study(&self) -> Result<Option<Vec<u8>>, FolderError> {
        self.read("study.json", MAX_STUDY)
    }

    /// The log's checkpoint.
    pub(crate) fn checkpoint(&self) -> Result<Option<Vec<u8>>, FolderError> {
        self.read("log/checkpoint", MAX_NOTE)
    }

    /// What stands in the log.
    pub(crate) fn entries(&self) -> Result<Option<Vec<u8>>, FolderError> {
        self.read("log/entries.txt", MAX_ENTRIES)
    }

    /// A round's file.
    pub(crate) fn proof(&self, round: RoundNumber) -> Result<Option<Vec<u8>>, FolderError> {
        self.read(&format!("rounds/{round}.proof.json"), MAX_ROUND_PROOF)
    }

    /// Where a round's sum is.
    pub(crate) fn sum(&self, round: RoundNumber) -> PathBuf {
        self.0.join(format!("rounds/{round}.sum"))
    }

    /// Where a site's body is.
    pub(crate) fn body(&self, round: RoundNumber, site: &SiteId) -> PathBuf {
        self.0.join(format!("rounds/{round}.bodies/{site}"))
    }

    /// What the aggregator answered for bodies that it keeps no more.
    pub(crate) fn gone(&self, round: RoundNumber) -> Result<Option<String>, FolderError> {
        let text = self.read(&format!("rounds/{round}.gone"), 4096)?;
        Ok(text.map(|text| String::from_utf8_lossy(&text).trim().to_owned()))
    }

    /// The rounds that have a file.
    pub(crate) fn rounds(&self) -> Result<BTreeSet<RoundNumber>, FolderError> {
        let path = self.0.join("rounds");
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(source) => return Err(FolderError::Read { path, source }),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let numbers = names.filter_map(|name| {
            let number = name.strip_suffix(".proof.json")?;
            let round: u32 = number.parse().ok()?;
            (round.to_string() == number && round < MAX_ROUNDS).then_some(RoundNumber(round))
        });
        Ok(numbers.collect())
    }

    /// A file of at most so many bytes; none where there is none.
    fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, FolderError> {
        let path = self.0.join(name);
        let failed = |source| FolderError::Read { path: path.clone(), source };
        let file = match open(&path) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        match bytes.len() > limit {
            true => Err(FolderError::TooLong { path, limit }),
            false => Ok(Some(bytes)),
        }
    }
}

/// A plain file; none where there is none. What is no plain file, which may never end, is an error.
pub(crate) fn open(path: &Path) -> io::Result<Option<File>> {
    match fs::metadata(path) {
        Ok(of) if of.is_file() => File::open(path).map(Some),
        Ok(_) => Err(io::Error::other("it is no plain file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
