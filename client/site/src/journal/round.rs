//! A site's durable state: every file is complete or absent, and nothing leaves before it is here.
//!
//! ```text
//! STATE/lock                                   one process at a time
//! STATE/abstain.json                           after a restore from a backup
//! STATE/studies/<digest>/rounds/<round>/
//!     manifest.json  certificate.json          checked
//!     body.bin  envelopes.bin  contribution.json   what was or will be sent, byte for byte
//!     receipt.json  endorsement.json  closing.json  opening.bin
//!     refused-<digest>.json                    closings on a log that this site refuses
//! ```

use std::cmp::Reverse;
mod round_keys;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ringfence_crypto::Digest;
use ringfence_crypto::statement::{Certificate, Closing, Endorsement, Header, Signed};
use ringfence_crypto::wire::json::{self, JsonError, MAX_STUDY};
use ringfence_keys::contribution::{End, Record};
pub use round_keys::RoundKeysJournal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is damaged.
    #[error(
        "{path} is damaged ({source}); if this state was restored from a backup, run `ringfence restored`"
    )]
    Damaged {
        /// The file.
        path: String,
        /// Why.
        source: JsonError,
    },
    /// Another process uses it.
    #[error("{0} is in use by another ringfence process of this site; wait for it, or stop it")]
    Locked(String),
    /// A decision that was already made.
    #[error("{0} exists already: this decision is made once and never again")]
    Exists(String),
}

/// What stands in `contribution.json`: with it on disk, a contribution is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContributionRecord {
    /// Digest of the base model itself.
    pub base_model: Digest,
    /// The signed header.
    pub header: Signed<Header>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Abstain {
    study: Digest,
    through: u32,
}

/// The state directory of one site.
#[derive(Debug)]
pub struct Journal {
    root: PathBuf,
    _lock: File,
}

impl Journal {
    /// Opens (or makes) a state directory and locks it.
    ///
    /// # Errors
    /// [`JournalError::Locked`] while another process holds it.
    pub fn open(root: &Path) -> Result<Self, JournalError> {
        fs::create_dir_all(root).map_err(|source| io_error(root, source))?;
        let path = root.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| io_error(&path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => {
                Err(JournalError::Locked(root.display().to_string()))
            }
            Err(fs::TryLockError::Error(source)) => Err(io_error(&path, source)),
        }
    }

    /// The files of one round.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder cannot be made.
    pub fn round(&self, study: Digest, round: u32) -> Result<RoundJournal, JournalError> {
        let folder = self.rounds(study).join(format!("{round:06}"));
        fs::create_dir_all(&folder).map_err(|source| io_error(&folder, source))?;
        Ok(RoundJournal { folder })
    }

    /// The files of a study's round keys.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder cannot be made.
    pub fn round_keys(&self, study: Digest) -> Result<RoundKeysJournal, JournalError> {
        let folder = self.root.join("studies").join(study.to_string()).join("round-keys");
        fs::create_dir_all(&folder).map_err(|source| io_error(&folder, source))?;
        Ok(RoundKeysJournal { folder })
    }

    fn rounds(&self, study: Digest) -> PathBuf {
        self.root.join("studies").join(study.to_string()).join("rounds")
    }

    /// Every contribution of this site in every study, for the rules of safety.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read: without it no rule could be kept.
    pub fn contributions(&self) -> Result<Vec<Record>, JournalError> {
        let mut records = Vec::new();
        for study in children(&self.root.join("studies"))? {
            for folder in children(&study.join("rounds"))? {
                let round = RoundJournal { folder };
                let Some(contribution) = round.contribution()? else { continue };
                let end = round.certificate()?.map(|c| End::from(&c.closing.statement));
                let header = &contribution.header.statement;
                let (study, round) = (header.study, header.round);
                records.push(Record { study, round, base_model: contribution.base_model, end });
            }
        }
        Ok(records)
    }

    /// Every endorsement of this site in a study.
    ///
    /// # Errors
    /// [`JournalError`] when one cannot be read.
    pub fn endorsements(&self, study: Digest) -> Result<Vec<Endorsement>, JournalError> {
        let mut endorsements = Vec::new();
        for folder in children(&self.rounds(study))? {
            endorsements.extend(read(&folder.join("endorsement.json"))?);
        }
        Ok(endorsements)
    }

    /// The closing of the highest round of which this site has endorsed one or holds a certificate:
    /// its checkpoint is the last that the site saw. Signed as it is, it is evidence should the log
    /// turn out to have been forked.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read.
    pub fn last_closing(&self, study: Digest) -> Result<Option<Signed<Closing>>, JournalError> {
        let mut folders = children(&self.rounds(study))?;
        folders.sort_by_key(|folder| Reverse(number(folder)));
        for folder in folders {
            let round = RoundJournal { folder };
            if let Some(closing) = round.closing()? {
                return Ok(Some(closing));
            }
            if let Some(certificate) = round.certificate()? {
                return Ok(Some(certificate.closing));
            }
        }
        Ok(None)
    }

    /// The round through which this site abstains in a study after a restore.
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be read.
    pub fn abstains_through(&self, study: Digest) -> Result<Option<u32>, JournalError> {
        let records: Option<Vec<Abstain>> = read(&self.root.join("abstain.json"))?;
        let of_study = records.into_iter().flatten().filter(|record| record.study == study);
        Ok(of_study.map(|record| record.through).max())
    }

    /// Abstains from contributing and endorsing through a round: after a restore from a backup.
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be written.
    pub fn abstain(&self, study: Digest, through: u32) -> Result<(), JournalError> {
        let path = self.root.join("abstain.json");
        let mut records: Vec<Abstain> = read(&path)?.unwrap_or_default();
        records.push(Abstain { study, through });
        write(&path, &json::pretty(&records))
    }
}

/// The files of one round at one site.
#[derive(Clone, Debug)]
pub struct RoundJournal {
    folder: PathBuf,
}

macro_rules! json_file {
    ($read:ident, $write:ident, $file:literal, $type:ty) => {
        #[doc = concat!("Reads `", $file, "`, if it is there.")]
        ///
        /// # Errors
        /// [`JournalError`].
        pub fn $read(&self) -> Result<Option<$type>, JournalError> {
            read(&self.folder.join($file))
        }

        #[doc = concat!("Writes `", $file, "`, durably.")]
        ///
        /// # Errors
        /// [`JournalError`].
        pub fn $write(&self, value: &$type) -> Result<(), JournalError> {
            write(&self.folder.join($file), &json::pretty(value))
        }
    };
}

impl RoundJournal {
    json_file!(certificate, save_certificate, "certificate.json", Certificate);
    json_file!(closing, save_closing, "closing.json", Signed<Closing>);
    json_file!(
        manifest,
        save_manifest,
        "manifest.json",
        Signed<ringfence_crypto::statement::Manifest>
    );
    json_file!(receipt, save_receipt, "receipt.json", Signed<ringfence_crypto::statement::Receipt>);

    /// Reads `contribution.json`, if a contribution was made.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn contribution(&self) -> Result<Option<ContributionRecord>, JournalError> {
        read(&self.folder.join("contribution.json"))
    }

    /// Where the encrypted body lies.
    pub fn body(&self) -> PathBuf {
        self.folder.join("body.bin")
    }

    /// Writes body, envelopes and, last, the record: with the record on disk, the contribution is
    /// made and will be sent exactly as it is. `body` writes the body and returns what it made.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when a contribution was made before; whatever `body` returns.
    pub fn contribute<E: From<JournalError>>(
        &self,
        body: impl FnOnce(
            &mut io::BufWriter<&mut NamedTempFile>,
        ) -> Result<(Vec<u8>, ContributionRecord), E>,
    ) -> Result<ContributionRecord, E> {
        let path = self.body();
        let at = |source| E::from(io_error(&path, source));
        let mut file = NamedTempFile::new_in(&self.folder).map_err(at)?;
        let mut buffered = io::BufWriter::with_capacity(1 << 20, &mut file);
        let (envelopes, record) = body(&mut buffered)?;
        buffered.flush().map_err(at)?;
        drop(buffered);
        persist(file, &path, false)?;
        write(&self.folder.join("envelopes.bin"), &envelopes)?;
        decide(&self.folder.join("contribution.json"), &json::pretty(&record))?;
        Ok(record)
    }

    /// The envelopes' frame.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn envelopes(&self) -> Result<Vec<u8>, JournalError> {
        let path = self.folder.join("envelopes.bin");
        fs::read(&path).map_err(|source| io_error(&path, source))
    }

    /// Records the one endorsement of this round number.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one already, whatever it says.
    pub fn endorse(&self, endorsement: &Endorsement) -> Result<(), JournalError> {
        decide(&self.folder.join("endorsement.json"), &json::pretty(endorsement))
    }

    /// Keeps a closing whose log this site refuses, as evidence: `refused-` and its digest.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn save_refused(&self, closing: &Signed<Closing>) -> Result<(), JournalError> {
        let name = format!("refused-{}.json", closing.digest());
        write(&self.folder.join(name), &json::pretty(closing))
    }

    /// The opening's frame, if it was made.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn opening(&self) -> Result<Option<Vec<u8>>, JournalError> {
        let path = self.folder.join("opening.bin");
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error(&path, source)),
        }
    }

    /// Records the opening's frame before it leaves.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one already.
    pub fn save_opening(&self, frame: &[u8]) -> Result<(), JournalError> {
        decide(&self.folder.join("opening.bin"), frame)
    }

    /// A scratch file for the sum, deleted when dropped.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn scratch(&self) -> Result<NamedTempFile, JournalError> {
        NamedTempFile::new_in(&self.folder).map_err(|source| io_error(&self.folder, source))
    }
}

fn io_error(path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { path: path.display().to_string(), source }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, JournalError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(path, source)),
    };
    json::parse(&bytes, MAX_STUDY, "journal record")
        .map(Some)
        .map_err(|source| JournalError::Damaged { path: path.display().to_string(), source })
}

/// Writes a file so that after a crash it is there completely or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    persist(staged(path, bytes)?, path, false)
}

/// Like [`write`], but fails when the file exists: a decision is made once.
fn decide(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    persist(staged(path, bytes)?, path, true)
}

fn staged(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, JournalError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let at = |source| io_error(path, source);
    let mut file = NamedTempFile::new_in(folder).map_err(at)?;
    file.write_all(bytes).map_err(at)?;
    Ok(file)
}

fn persist(file: NamedTempFile, path: &Path, once: bool) -> Result<(), JournalError> {
    let at = |source| io_error(path, source);
    file.as_file().sync_all().map_err(at)?;
    let result = if once { file.persist_noclobber(path) } else { file.persist(path) };
    result.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => JournalError::Exists(path.display().to_string()),
        _ => at(error.error),
    })?;
    // The name is durable only once its folder is.
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| io_error(folder, e))
}

/// The round that a folder is of.
fn number(folder: &Path) -> Option<u32> {
    folder.file_name()?.to_str()?.parse().ok()
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(io_error(folder, source)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>();
    paths.map_err(|source| io_error(folder, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endorsement(closing: &[u8]) -> Endorsement {
        let (study, closing) = (Digest::of(b"study"), Digest::of(closing));
        Endorsement { study, round: 3, closing, holder: "a".parse().unwrap() }
    }

    #[test]
    fn an_endorsement_is_written_once_and_survives() {
        let folder = tempfile::tempdir().unwrap();
        let study = Digest::of(b"study");
        {
            let journal = Journal::open(folder.path()).unwrap();
            journal.round(study, 3).unwrap().endorse(&endorsement(b"first")).unwrap();
            let second = journal.round(study, 3).unwrap().endorse(&endorsement(b"second"));
            assert!(matches!(second, Err(JournalError::Exists(_))));
        }
        let journal = Journal::open(folder.path()).unwrap();
        assert_eq!(journal.endorsements(study).unwrap(), [endorsement(b"first")]);
        assert_eq!(journal.endorsements(Digest::of(b"other")).unwrap(), []);
    }

    #[test]
    fn the_last_closing_is_that_of_the_highest_round() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let study = Digest::of(b"study");
        assert_eq!(journal.last_closing(study).unwrap(), None);
        let closing = |round: u32| -> Signed<Closing> {
            let (zero, signature) = ("00".repeat(32), "00".repeat(64));
            let statement = format!(
                r#"{{"study":"{study}","round":{round},"manifest":"{zero}","closed_at":0,"included":[],
                "excluded":[],"sum":null,"checkpoint":{{"size":{round},"root":"{zero}"}}}}"#
            );
            let signed = format!(r#"{{"statement":{statement},"signature":"{signature}"}}"#);
            json::parse(signed.as_bytes(), MAX_STUDY, "closing").unwrap()
        };
        let saved = |round| journal.round(study, round).unwrap().closing().unwrap();
        // The last two do not sort by their names.
        for round in [7, 3, 999_999, 1_000_000] {
            journal.round(study, round).unwrap().save_closing(&closing(round)).unwrap();
            assert_eq!(saved(round), Some(closing(round)));
            let expected = if round == 3 { 7 } else { round };
            assert_eq!(journal.last_closing(study).unwrap(), Some(closing(expected)));
        }
        // A round without a closing of its own, but with a certificate; and one with neither.
        let (closing, endorsements) = (closing(1_000_001), Vec::new());
        let certificate = Certificate { closing: closing.clone(), endorsements };
        journal.round(study, 1_000_001).unwrap().save_certificate(&certificate).unwrap();
        journal.round(study, 1_000_002).unwrap();
        assert_eq!(journal.last_closing(study).unwrap(), Some(closing));
        assert_eq!(journal.last_closing(Digest::of(b"other")).unwrap(), None);
    }

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Journal::open(folder.path()).unwrap();
        assert!(matches!(Journal::open(folder.path()), Err(JournalError::Locked(_))));
    }

    #[test]
    fn damage_is_an_error_and_abstention_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let study = Digest::of(b"study");
        assert_eq!(journal.abstains_through(study).unwrap(), None);
        journal.abstain(study, 4).unwrap();
        journal.abstain(study, 2).unwrap();
        assert_eq!(journal.abstains_through(study).unwrap(), Some(4));
        let round = journal.round(study, 0).unwrap();
        fs::write(round.folder.join("contribution.json"), b"{").unwrap();
        assert!(matches!(journal.contributions(), Err(JournalError::Damaged { .. })));
    }
}
