//! The export, read within bounds.

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use ringfence_crypto::evidence::MAX_ROUND_PROOF;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::log::note::MAX_NOTE;
use ringfence_crypto::wire::json::MAX_STUDY;

use crate::files::Files;

/// Most bytes of the list of the log's entries: some three million.
pub(crate) const MAX_ENTRIES: usize = 256 << 20;

/// Most bytes of the cosigned checkpoints: of 10,000 sites some 6 MB.
const MAX_COSIGNATURES: usize = 16 << 20;

/// Most rounds that are looked at.
pub(crate) const MAX_ROUNDS: u32 = 100_000;

/// An export's folder.
#[derive(Clone, Copy)]
pub(crate) struct Folder<'a>(pub(crate) &'a dyn Files);

impl fmt::Debug for Folder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Folder({})", self.0.name())
    }
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The system says no.
    #[error("cannot read {file}: {source}")]
    Read {
        /// Which file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// More than is read.
    #[error("{file} has {got} bytes, more than the {limit} that such a file has at most")]
    TooLong {
        /// Which file.
        file: String,
        /// What it has.
        got: u64,
        /// The most.
        limit: usize,
    },
}

impl Folder<'_> {
    /// The study file.
    pub(crate) fn study(&self) -> Result<Option<Vec<u8>>, FolderError> {
        self.read("study.json", MAX_STUDY)
    }

    /// The log's checkpoint.
    pub(crate) fn checkpoint(&self) -> Result<Option<Vec<u8>>, FolderError> {
        self.read("log/checkpoint", MAX_NOTE)
    }

    /// The last checkpoint that each site has cosigned.
    pub(crate) fn cosignatures(&self) -> Result<Option<Vec<u8>>, FolderError> {
        self.read("log/cosignatures.json", MAX_COSIGNATURES)
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
    pub(crate) fn sum(round: RoundNumber) -> String {
        format!("rounds/{round}.sum")
    }

    /// Where a site's body is.
    pub(crate) fn body(round: RoundNumber, site: &SiteId) -> String {
        format!("rounds/{round}.bodies/{site}")
    }

    /// Whether the folder says that the aggregator keeps a round's bodies no more.
    pub(crate) fn gone(&self, round: RoundNumber) -> Result<bool, FolderError> {
        Ok(self.read(&format!("rounds/{round}.gone"), 4096)?.is_some())
    }

    /// The rounds that have a file.
    pub(crate) fn rounds(&self) -> Result<BTreeSet<RoundNumber>, FolderError> {
        let mut rounds = BTreeSet::new();
        let read = self.0.names("rounds", &mut |name| {
            let number = name.strip_suffix(".proof.json");
            let round = number.and_then(|number| {
                let round: u32 = number.parse().ok()?;
                (round.to_string() == number && round < MAX_ROUNDS).then_some(RoundNumber(round))
            });
            rounds.extend(round);
        });
        match read {
            Ok(()) => Ok(rounds),
            Err(source) => Err(FolderError::Read { file: "rounds".to_owned(), source }),
        }
    }

    /// A file of at most so many bytes; none where there is none.
    fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, FolderError> {
        let failed = |source| FolderError::Read { file: name.to_owned(), source };
        let Some(got) = self.0.length(name).map_err(failed)? else { return Ok(None) };
        let length = usize::try_from(got).ok().filter(|length| *length <= limit);
        let too_long = || FolderError::TooLong { file: name.to_owned(), got, limit };
        let length = length.ok_or_else(too_long)?;
        let mut bytes = Vec::new();
        self.0.read(name, 0, length, &mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }
}
