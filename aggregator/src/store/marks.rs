//! High-water marks: what this aggregator has promised, kept apart from the database.
//!
//! A database that was restored from a backup does not know what was signed after the backup. So
//! each study has a file of its own, in a folder that no backup of the data brings back, with the
//! leaves of its log: `MARKS/STUDY`, 96 bytes a leaf, which are the leaf's hash and the aggregator's
//! signature over the log's size and root from then on. Of leaves that are written in one go, only the
//! last has a signature, which covers the others; they have zeros. A leaf is on the disk there before
//! its statement leaves, and after it is in the database.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ed25519_dalek::Signature;
use ringfence_crypto::id::StudyId;
use ringfence_crypto::log::{Checkpoint, LogHash, Tree};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::wire::canonical::Canonical;
use ringfence_durable::Readers;
use serde::{Deserialize, Serialize};

use crate::identity::Identity;

const HASH_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
const RECORD_BYTES: usize = HASH_BYTES + SIGNATURE_BYTES;

/// In the place of a signature, where one behind it covers the leaf.
const UNSIGNED: [u8; SIGNATURE_BYTES] = [0; SIGNATURE_BYTES];

/// How far a study's log has come: what the aggregator signs for itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    study: StudyId,
    checkpoint: Checkpoint,
}

impl Canonical for Mark {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { study, checkpoint } = self;
        study.encode(out);
        checkpoint.encode(out);
    }
}

impl Statement for Mark {
    const LABEL: &'static str = "mark";
    type Id = ringfence_crypto::Digest;
}

/// A mark that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// Another server has the folder.
    #[error(
        "the folder of marks {0} is in use by another aggregator; two must not sign with one key, on a copy of the data neither: stop the other one, or give an aggregator with another key its own --marks"
    )]
    Locked(PathBuf),
    /// The operating system.
    #[error("the mark {path} cannot be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Lost.
    #[error(
        "there is no mark {0}, so that nobody can tell whether the database is the newest; bring the folder of marks back, or, if the database was never restored from a backup, start once with --adopt-marks"
    )]
    Missing(PathBuf),
    /// Altered.
    #[error(
        "the mark {path} was altered: the signature of its leaf {leaf} does not hold; bring the folder of marks back, or, if the database was never restored from a backup, remove the file and start once with --adopt-marks"
    )]
    Altered {
        /// The file.
        path: PathBuf,
        /// The last leaf.
        leaf: u64,
    },
}

/// The folder of marks.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    folder: PathBuf,
    identity: Arc<Identity>,
    /// Whether missing marks are made from what is stored.
    adopt: bool,
    _lock: Arc<File>,
}

/// The mark of one study.
#[derive(Clone, Debug)]
pub(crate) struct StudyMark {
    study: StudyId,
    path: PathBuf,
    identity: Arc<Identity>,
    file: Arc<Mutex<MarkFile>>,
}

#[derive(Debug)]
struct MarkFile {
    file: File,
    /// All leaves.
    tree: Tree,
    /// How many of them are on the disk, and the records of the others: a write failed.
    durable: u64,
    unwritten: Vec<u8>,
}

impl Marks {
    /// The marks in a folder, which is made if it is not there, and locked until the last clone is
    /// dropped. With `adopt`, a study that has no mark gets one of what is stored.
    ///
    /// # Errors
    /// [`MarkError::Locked`] while another process has the folder, or [`MarkError::Io`].
    pub(crate) fn open(
        folder: &Path,
        identity: Arc<Identity>,
        adopt: bool,
    ) -> Result<Self, MarkError> {
        let at = |source| MarkError::Io { path: folder.to_owned(), source };
        ringfence_durable::create_folder(folder).map_err(at)?;
        let path = folder.join("lock");
        let lock = match ringfence_durable::lock(&path, ringfence_durable::HANDED_BACK_WITHIN) {
            Ok(lock) => lock,
            Err(TryLockError::WouldBlock) => return Err(MarkError::Locked(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(at(source)),
        };
        // An earlier process may have made it and crashed.
        ringfence_durable::sync_folder_of(folder).map_err(at)?;
        ringfence_durable::clear_unfinished(folder).map_err(at)?;
        Ok(Self { folder: folder.to_owned(), identity, adopt, _lock: Arc::new(lock) })
    }

    /// The mark of a study that is registered now: empty, unless it was registered before.
    ///
    /// # Errors
    /// [`MarkError`].
    pub(crate) fn create(&self, study: StudyId) -> Result<StudyMark, MarkError> {
        let path = self.folder.join(study.to_string());
        match ringfence_durable::create(&path, &[], Readers::Owner) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                Err(MarkError::Io { path, source })
            }
            _ => self.load(study),
        }
    }

    /// The mark of a study that was registered before.
    ///
    /// # Errors
    /// [`MarkError`].
    pub(crate) fn load(&self, study: StudyId) -> Result<StudyMark, MarkError> {
        let path = self.folder.join(study.to_string());
        let at = |source| MarkError::Io { path: path.clone(), source };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.adopt {
                true => {
                    tracing::warn!(path = %path.display(), "a mark is made from what is stored");
                    ringfence_durable::create(&path, &[], Readers::Owner).map_err(at)?;
                    Vec::new()
                }
                false => return Err(MarkError::Missing(path)),
            },
            Err(source) => return Err(at(source)),
        };
        // What a crash left at the end, a part of a record or leaves whose last one is missing: their
        // statements never left.
        let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
        let signed = records.iter().rposition(|record| !record.ends_with(&UNSIGNED));
        let (records, _) = records.split_at(signed.map_or(0, |last| last + 1));
        let mut tree = Tree::default();
        for record in records {
            let (leaf, _) = record.split_at(HASH_BYTES);
            tree.append(leaf.try_into().map_or_else(|_| LogHash::empty(), LogHash));
        }
        let file = OpenOptions::new().write(true).open(&path).map_err(at)?;
        file.set_len((records.len() * RECORD_BYTES) as u64).map_err(at)?;
        if let Some(signature) = records.last().and_then(|record| record.get(HASH_BYTES..)) {
            let leaf = records.len() as u64 - 1;
            let altered = || MarkError::Altered { path: path.clone(), leaf };
            let signature = Signature::from_slice(signature).map_err(|_| altered())?;
            let signed =
                Signed { statement: Mark { study, checkpoint: tree.checkpoint() }, signature };
            let key = self.identity.public_key();
            signed.verify(&key, &"the aggregator").map_err(|_| altered())?;
        }
        let durable = tree.size();
        let file = Arc::new(Mutex::new(MarkFile { file, tree, durable, unwritten: Vec::new() }));
        Ok(StudyMark { study, path, identity: self.identity.clone(), file })
    }
}

impl StudyMark {
    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many leaves it has, and their root.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.locked(|mark| mark.tree.checkpoint())
    }

    /// How many leaves it has, and the bytes that they take.
    pub(crate) fn extent(&self) -> (u64, u64) {
        let leaves = self.checkpoint().size;
        (leaves, leaves.saturating_mul(RECORD_BYTES as u64))
    }

    /// The leaf at an index.
    pub(crate) fn leaf(&self, index: u64) -> Option<LogHash> {
        self.locked(|mark| mark.tree.leaf(index).ok())
    }

    /// Adds leaves, durably, with one write and one sync. It waits for the disk: never on a thread that serves requests.
    ///
    /// # Errors
    /// [`MarkError::Io`]: how much is on the disk is unknown. The next call, without leaves, too,
    /// writes what is missing.
    pub(crate) fn append(&self, leaves: &[LogHash]) -> Result<(), MarkError> {
        self.locked(|mark| {
            if let Some((last, before)) = leaves.split_last() {
                for leaf in before {
                    mark.tree.append(*leaf);
                    mark.unwritten.extend_from_slice(&leaf.0);
                    mark.unwritten.extend_from_slice(&UNSIGNED);
                }
                mark.tree.append(*last);
                let checkpoint = mark.tree.checkpoint();
                let signed = self.identity.sign(Mark { study: self.study, checkpoint });
                mark.unwritten.extend_from_slice(&last.0);
                mark.unwritten.extend_from_slice(&signed.signature.to_bytes());
            }
            if mark.unwritten.is_empty() {
                return Ok(());
            }
            let at = |source| MarkError::Io { path: self.path.clone(), source };
            let start = SeekFrom::Start(mark.durable * RECORD_BYTES as u64);
            mark.file.seek(start).map_err(at)?;
            mark.file.write_all(&mark.unwritten).map_err(at)?;
            ringfence_durable::sync_data(&self.path, &mark.file).map_err(at)?;
            mark.unwritten.clear();
            mark.durable = mark.tree.size();
            Ok(())
        })
    }

    fn locked<T>(&self, work: impl FnOnce(&mut MarkFile) -> T) -> T {
        // A poisoned lock would mean a panic here, where nothing can.
        work(&mut self.file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test that indexes wrongly must fail")]
mod tests {
    use ringfence_crypto::Digest;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_mark_comes_back_and_what_was_altered_or_lost_is_refused() {
        let folder = TempDir::new().unwrap();
        let identity = Arc::new(Identity::generate(&folder.path().join("key")).unwrap());
        let place = folder.path().join("marks");
        let open = |adopt| Marks::open(&place, identity.clone(), adopt).unwrap();
        let study = StudyId(Digest::of(b"study"));
        let missing = open(false).load(study).unwrap_err();
        assert!(matches!(missing, MarkError::Missing(_)), "{missing}");
        let mark = open(false).create(study).unwrap();
        let leaves: Vec<LogHash> = (0..5u8).map(|k| LogHash::leaf(&[k])).collect();
        mark.append(&leaves[..2]).unwrap();
        mark.append(&leaves[2..]).unwrap();
        let again = open(false).load(study).unwrap();
        assert_eq!(again.checkpoint(), mark.checkpoint());
        assert_eq!((again.leaf(4), again.leaf(5)), (Some(leaves[4]), None));
        // A crash in the middle of a write, wherever it was cut, and one that goes on: what was written
        // together is there together.
        let path = place.join(study.to_string());
        let whole = fs::read(&path).unwrap();
        for cut in [1, RECORD_BYTES, RECORD_BYTES + 1, 2 * RECORD_BYTES, 3 * RECORD_BYTES] {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let shorter = open(false).load(study).unwrap();
            assert_eq!(shorter.checkpoint().size, 2, "{cut}");
            shorter.append(&leaves[2..]).unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
        // A flipped bit anywhere.
        for at in [0, 100, whole.len() - RECORD_BYTES, whole.len() - 1] {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            fs::write(&path, altered).unwrap();
            let error = open(false).load(study).unwrap_err();
            assert!(matches!(error, MarkError::Altered { leaf: 4, .. }), "{at}: {error}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(open(true).load(study).unwrap().checkpoint().size, 0);
    }
}
