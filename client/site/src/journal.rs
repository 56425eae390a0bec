//! A site's durable state: every file is complete or absent, and nothing leaves before it is here.
//!
//! ```text
//! STATE/lock                                   one process at a time
//! STATE/format.json                            the version of the protocol that made all this
//! STATE/site.json                              whose state it is
//! .../B3SUMS                                   the digests of a folder's files: see `sums`
//! STATE/studies/<study>/rounds/<round>/
//!     manifest.json  certificate.json          checked
//!     base-model.json                          sampled values of the base model
//!     body.bin  envelopes.bin  contribution.json   what was or will be sent, byte for byte
//!     freeze.json  review.json  dealt.bin      what was dealt to this site, until settled.json
//!     receipt.json  endorsement.json  closing.json  opening.bin  acknowledgement.json
//!     dispute-1.json  functionals-1.bin  verdict-1.json  keys-1.bin   what it said in disputes
//!     reviews.json                             by which the closing was judged, until trust.json;
//!                                              for good where trust has changed by them
//!     judged.json                              trust after the round by these reviews alone
//!     trust.json                               trust after the round, once a manifest names it
//!     refused-<statement>.json                 closings on a log that this site refuses, manifests and
//!                                              freezes in whose place it took another
//! STATE/studies/<study>/restored.json          restores from backups, how far the site abstains
//! STATE/studies/<study>/ledger.json            the privacy ledger as it stood at the last charge
//! STATE/studies/<study>/round-keys/            see `round_keys`
//! ```
//!
//! What a crash left half-written is removed when the state is opened again. What else lies in the
//! state is left alone.

mod disputes;
mod error;
mod files;
mod ledger;
mod recover;
mod round;
mod round_keys;
mod sums;

use std::cmp::Reverse;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

pub use error::JournalError;
pub use ledger::{LedgerNote, Unsettled};
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::protocol::{ProtocolVersion, VERSION};
use ringfence_crypto::signature::{PublicKey, Signed};
use ringfence_crypto::statement::{Closing, RestoreRequest, RosterEntry};
use ringfence_crypto::wire::json;
use ringfence_keys::duties::contributor::{End, Record};
use ringfence_keys::duties::holder::Records;
pub use round::{ContributionRecord, RoundJournal};
pub(crate) use round_keys::DamagedKeys;
pub use round_keys::{Published, RoundKeysJournal};
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;

/// One restore from a backup, in `restored.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRecord {
    /// When the site was restored, by its own clock.
    pub restored_at: UnixSeconds,
    /// What it asked the other sites; none when an operator gave the number.
    pub request: Option<Signed<RestoreRequest>>,
    /// The last round of its abstention; none while that is not known.
    pub through: Option<RoundNumber>,
    /// Whether the study has a privacy budget: a ledger may have forgotten its rounds then. Of records
    /// that do not say so it is believed.
    #[serde(default = "of_unknown")]
    pub private: bool,
}

fn of_unknown() -> bool {
    true
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
        files::folder(root)?;
        let path = root.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| JournalError::io(&path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::Locked(root.display().to_string()));
            }
            Err(TryLockError::Error(source)) => return Err(JournalError::io(&path, source)),
        }
        // Under the lock, so that nobody is writing.
        check_version(root)?;
        recover::recover(root)?;
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    /// Binds the state to a site at its first use: an id and a signature key. One that was made before
    /// states were bound is bound at its next use.
    ///
    /// # Errors
    /// [`JournalError::OtherSite`] when it is another site's.
    pub fn bind(&self, site: &RosterEntry) -> Result<(), JournalError> {
        let path = self.root.join("site.json");
        let RosterEntry { id, signature_key, .. } = site;
        let own = Owner { id: id.clone(), signature_key: *signature_key };
        match files::read::<Owner>(&path)? {
            Some(owner) if owner == own => Ok(()),
            Some(owner) => Err(JournalError::OtherSite {
                root: self.root.display().to_string(),
                owner: owner.id,
                owner_key: owner.signature_key.into(),
                site: own.id,
                site_key: own.signature_key.into(),
            }),
            None => files::write(&path, &json::pretty(&own)),
        }
    }

    /// The files of one round.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder cannot be made.
    pub fn round(&self, study: StudyId, round: RoundNumber) -> Result<RoundJournal, JournalError> {
        let folder = self.rounds(study).join(recover::round_name(&round));
        files::folder(&folder)?;
        Ok(RoundJournal { folder })
    }

    /// The files of every round of a study of which there are some, in order.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder cannot be read.
    pub fn kept_rounds(&self, study: StudyId) -> Result<Vec<RoundJournal>, JournalError> {
        let mut folders = files::children(&self.rounds(study))?;
        folders.sort_by_key(|folder| number(folder));
        Ok(folders.into_iter().map(|folder| RoundJournal { folder }).collect())
    }

    /// The files of a study's round keys.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder cannot be made.
    pub fn round_keys(&self, study: StudyId) -> Result<RoundKeysJournal, JournalError> {
        let folder = self.root.join("studies").join(study.to_string()).join("round-keys");
        files::folder(&folder)?;
        Ok(RoundKeysJournal { folder })
    }

    fn rounds(&self, study: StudyId) -> PathBuf {
        self.root.join("studies").join(study.to_string()).join("rounds")
    }

    /// Every contribution of this site in every study, for the rules of safety.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read: without it no rule could be kept.
    pub fn contributions(&self) -> Result<Vec<Record>, JournalError> {
        let mut records = Vec::new();
        for study in files::children(&self.root.join("studies"))? {
            for folder in files::children(&study.join("rounds"))? {
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

    /// What is remembered of every base model that this site contributed from, in whatever study,
    /// unless the round ended in a certified abort.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read.
    pub fn spent_models(&self) -> Result<Vec<(Record, Fingerprint)>, JournalError> {
        let mut spent = Vec::new();
        for record in self.contributions()? {
            if record.end == Some(End::Abort) {
                continue;
            }
            let round = self.round(record.study, record.round)?;
            spent.extend(round.base_model()?.map(|fingerprint| (record, fingerprint)));
        }
        Ok(spent)
    }

    /// Everything that this site has said as a key holder in a study and may say once only.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read.
    pub fn holder_records(&self, study: StudyId) -> Result<Records, JournalError> {
        let mut records = Records::default();
        for folder in files::children(&self.rounds(study))? {
            let round = number(&folder).map(RoundNumber);
            let journal = RoundJournal { folder };
            records.endorsed.extend(journal.endorsement()?);
            let Some(round) = round else { continue };
            let review = journal.review()?;
            records.reviewed.extend(review.map(|review| (round, review.statement.freeze)));
            records.disputes.extend(journal.disputes()?);
            records.verdicts.extend(journal.verdicts()?);
            records.settled.extend(journal.is_settled()?.then_some(round));
        }
        Ok(records)
    }

    /// The closing of the highest round of which this site has endorsed one or holds a certificate:
    /// its checkpoint is the last that the site saw. Signed as it is, it is evidence should the log
    /// turn out to have been forked.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read.
    pub fn last_closing(&self, study: StudyId) -> Result<Option<Signed<Closing>>, JournalError> {
        let mut folders = files::children(&self.rounds(study))?;
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

    /// This site's restores from backups in a study, in the order in which they were noted.
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be read.
    pub fn restores(&self, study: StudyId) -> Result<Vec<RestoreRecord>, JournalError> {
        Ok(files::read(&self.restores_path(study))?.unwrap_or_default())
    }

    /// Takes note of a restore, or of how far the site abstains after it (the same `request` again).
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be written.
    pub fn restored(&self, study: StudyId, record: RestoreRecord) -> Result<(), JournalError> {
        let mut records = self.restores(study)?;
        records.retain(|known| known.request.is_none() || known.request != record.request);
        records.push(record);
        files::folder(&self.rounds(study))?;
        files::write(&self.restores_path(study), &json::pretty(&records))
    }

    fn restores_path(&self, study: StudyId) -> PathBuf {
        self.root.join("studies").join(study.to_string()).join("restored.json")
    }

    /// The last round up to this one whose manifest is on disk.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read.
    pub(crate) fn last_manifest(
        &self,
        study: StudyId,
        until: RoundNumber,
    ) -> Result<Option<RoundNumber>, JournalError> {
        let folders = files::children(&self.rounds(study))?.into_iter();
        let numbered = folders.filter_map(|folder| Some((number(&folder)?, folder)));
        let mut rounds: Vec<_> = numbered.filter(|(round, _)| *round <= until.0).collect();
        rounds.sort_by_key(|(round, _)| Reverse(*round));
        for (round, folder) in rounds {
            if (RoundJournal { folder }).manifest()?.is_some() {
                return Ok(Some(RoundNumber(round)));
            }
        }
        Ok(None)
    }

    /// The highest round that this site knows: whose manifest it has accepted, or in which it has
    /// signed something.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read.
    pub fn highest_round(&self, study: StudyId) -> Result<Option<RoundNumber>, JournalError> {
        let mut folders = files::children(&self.rounds(study))?;
        folders.sort_by_key(|folder| Reverse(number(folder)));
        for folder in folders {
            let highest = number(&folder).map(RoundNumber);
            let round = RoundJournal { folder };
            let known = round.manifest()?.is_some()
                || round.contribution()?.is_some()
                || round.endorsement()?.is_some()
                || round.certificate()?.is_some();
            if known {
                return Ok(highest);
            }
        }
        Ok(None)
    }
}

/// Which version of the protocol a state directory holds, in `format.json`.
#[derive(Serialize, Deserialize)]
struct Format {
    protocol: u32,
}

/// Whose state a state directory is, in `site.json`.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    id: SiteId,
    signature_key: PublicKey,
}

/// Refuses the state of another version of the protocol; version 1 wrote no `format.json`.
fn check_version(root: &Path) -> Result<(), JournalError> {
    let path = root.join("format.json");
    let stated: Option<Format> = files::read(&path)?;
    let found = match stated {
        Some(Format { protocol }) => protocol,
        None if root.join("studies").exists() => 1,
        None => return files::write(&path, &json::pretty(&Format { protocol: VERSION })),
    };
    ProtocolVersion::of(found)
        .map(|_| ())
        .map_err(|source| JournalError::Version { root: root.display().to_string(), source })
}

/// The round that a folder is of.
fn number(folder: &Path) -> Option<u32> {
    folder.file_name()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
