//! A site's durable state: nothing leaves before what it says is here.
//!
//! ```text
//! STATE/lock                                   one process at a time
//! STATE/format.json                            the versions of protocol and state that made all this
//! STATE/site.json                              whose state it is
//! STATE/studies/<study>/study.journal          what is of the study; round keys: see `round_keys`
//!     restored                                 restores from backups, how far the site abstains
//!     ledger                                   the privacy ledger as it stood at the last charge
//! STATE/studies/<study>/checkpoint             the last checkpoint of the log that this site cosigned
//! STATE/studies/<study>/log-fork.json          both signed heads of a log that was forked
//! STATE/studies/<study>/rounds/<round>.journal what is of a round
//!     trust-before                             trust before the round, which its manifest names
//!     manifest  certificate                    checked
//!     base-model                               sampled values of the base model
//!     envelopes  contribution                  what was or will be sent, byte for byte
//!     freeze  review  dealt                    what was dealt to this site, until it is settled
//!     receipt  endorsement  closing  opening  acknowledgement
//!     dispute-1  functionals-1  verdict-1  keys-1   what it said in disputes
//!     judged                                   trust after the round by its reviews alone
//!     settled                                  Q sites hold one model of the round
//! .../<round>.body.bin                         the encrypted body, before the contribution is made
//! .../<round>.reviews.json                     by which the closing was judged, until the next round;
//!                                              for good where trust has changed by them
//! .../<round>.evidence.json                    what was found out about others
//! .../<round>.refused-<statement>.json         closings on a log that this site refuses, manifests and
//!                                              freezes in whose place it took another
//! ```
//!
//! A journal is appended to (`records`); what a crash left half-written is cut off, and other files are
//! removed, when the state is opened again. What else lies in the state is left alone.
//!
//! # What is durable before what
//!
//! Syncing is what a site waits for longest, and no rule needs more of it than this:
//!
//! | before this leaves | this is durable | for |
//! | --- | --- | --- |
//! | header, envelopes, body | body; manifest and trust that it stands on, base model's values, envelopes, contribution | one header a round, one base model an opened set, a resend of the same bytes |
//! | a review | manifest, freeze, receipt, what was dealt, the review | one review a round; a share is known as long as a dispute may need it |
//! | an endorsement | closing and endorsement | one closing a round number, the log that was seen |
//! | an opening, of the sum or in a dispute | certificate and opening | one opening of one set |
//! | an endorsement of a dispute or verdict | dispute or verdict | one for each index |
//! | round keys | their secrets and their statement | a secret for every key that is named |
//! | a manifest, a contribution | the others' round keys that it names, as seen | keys that are hidden later |
//! | a header of a private study | the charge, in the ledger and noted here | a ledger that forgets is known |
//! | a restore request | the request | how far the site abstains |
//! | a cosignature of the log | the checkpoint with it | no smaller log, and no other, is cosigned later |
//!
//! One journal has them in the order in which they were written, so that a sync of the last is one of
//! all. The rest is noted and waits for the next sync: manifest, freeze, receipt, certificate, trust and
//! reviews can be had again from the aggregator, checked as at first, and are asked for where they are
//! missing ([`Journal::first_to_check`]); an acknowledgement is the same bytes whenever it is made.
//! A round's certificate lies in its own journal: that it is not there, although a later manifest stands
//! on it, is a power cut's doing, and mended before the next contribution.
//!
//! What is found on disk may have been written by a process that was killed before it synced it: so it
//! is synced before it is sent again ([`RoundJournal::sync`]).

mod disputes;
mod epochs;
mod error;
mod files;
mod ledger;
mod records;
mod recover;
mod round;
mod round_keys;
mod witness;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use error::JournalError;
pub use ledger::{LedgerNote, Unsettled};
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::protocol::{ProtocolVersion, VERSION};
use ringfence_crypto::signature::{PublicKey, Signed};
use ringfence_crypto::statement::{Closing, RestoreRequest, RosterEntry};
use ringfence_crypto::wire::json;
use ringfence_durable as durable;
use ringfence_keys::duties::contributor::{End, Record};
use ringfence_keys::duties::holder::Records as HolderRecords;
pub use round::{ContributionRecord, RoundJournal};
pub(crate) use round_keys::DamagedKeys;
pub use round_keys::{Published, RoundKeysJournal};
use serde::{Deserialize, Serialize};
pub use witness::{Fork, SignedHead};

use self::records::{Record as Noted, Records};
use crate::fingerprint::Fingerprint;

/// The version of the state: 1 kept every statement in a file of its own, 2 keeps journals.
const STATE: u32 = 2;

/// The name of a study's restores in its journal.
const RESTORED: &str = "restored";

/// One restore from a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRecord {
    /// When the site was restored, by its own clock.
    pub restored_at: UnixSeconds,
    /// What it asked the other sites; none when an operator gave the number.
    pub request: Option<Signed<RestoreRequest>>,
    /// The last round of its abstention; none while that is not known.
    pub through: Option<RoundNumber>,
    /// Whether the study has a privacy budget: a ledger may have forgotten its rounds then.
    pub private: bool,
}

/// The state directory of one site.
#[derive(Debug)]
pub struct Journal {
    root: PathBuf,
    /// Those that were opened: read once, and shared.
    journals: Mutex<BTreeMap<PathBuf, Arc<Records>>>,
    _lock: File,
}

impl Journal {
    /// Opens (or makes) a state directory and locks it.
    ///
    /// # Errors
    /// [`JournalError::Locked`] while another process holds it.
    pub fn open(root: &Path) -> Result<Self, JournalError> {
        durable::create_folder(root).map_err(|source| JournalError::io(root, source))?;
        let path = root.join("lock");
        let lock = match durable::lock(&path, durable::HANDED_BACK_WITHIN) {
            Ok(lock) => lock,
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::Locked(root.display().to_string()));
            }
            Err(TryLockError::Error(source)) => return Err(JournalError::io(&path, source)),
        };
        // Under the lock, so that nobody is writing.
        check_version(root)?;
        recover::recover(root)?;
        Ok(Self { root: root.to_owned(), journals: Mutex::default(), _lock: lock })
    }

    /// Binds the state to a site at its first use: an id and a signature key. One that was made before
    /// states were bound is bound at its next use. It is the same site with any of the `keys` that a
    /// study gives it by its epochs.
    ///
    /// # Errors
    /// [`JournalError::OtherSite`] when it is another site's.
    pub fn bind(&self, site: &RosterEntry, keys: &[PublicKey]) -> Result<(), JournalError> {
        let path = self.root.join("site.json");
        let RosterEntry { id, signature_key, .. } = site;
        let own = Owner { id: id.clone(), signature_key: *signature_key };
        match files::read::<Owner>(&path)? {
            Some(owner) if owner == own => Ok(()),
            Some(owner) if owner.id == own.id && keys.contains(&owner.signature_key) => Ok(()),
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

    /// One round.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the study's folder cannot be made.
    pub fn round(&self, study: StudyId, round: RoundNumber) -> Result<RoundJournal, JournalError> {
        self.study(study)?;
        Ok(self.round_at(self.rounds(study).join(recover::round_name(&round))))
    }

    fn round_at(&self, stem: PathBuf) -> RoundJournal {
        RoundJournal { records: self.records(&beside(&stem, "journal")), stem }
    }

    /// Every round of a study of which there is something, in order.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder cannot be read.
    pub fn kept_rounds(&self, study: StudyId) -> Result<Vec<RoundJournal>, JournalError> {
        self.rounds_in(&self.rounds(study))
    }

    fn rounds_in(&self, folder: &Path) -> Result<Vec<RoundJournal>, JournalError> {
        let files = files::children(folder)?.into_iter();
        let stems = files.filter(|file| file.extension().is_some_and(|of| of == "journal"));
        let stems = stems.map(|file| file.with_extension(""));
        let mut numbered: Vec<_> = stems.filter_map(|stem| Some((number(&stem)?, stem))).collect();
        numbered.sort();
        Ok(numbered.into_iter().map(|(_, stem)| self.round_at(stem)).collect())
    }

    /// The same, the last one first.
    fn last_rounds(&self, study: StudyId) -> Result<Vec<RoundJournal>, JournalError> {
        let mut rounds = self.kept_rounds(study)?;
        rounds.sort_by_key(|round| Reverse(round.number()));
        Ok(rounds)
    }

    /// A study's round keys.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the study's folder cannot be made.
    pub fn round_keys(&self, study: StudyId) -> Result<RoundKeysJournal, JournalError> {
        let records = self.study(study)?;
        Ok(RoundKeysJournal { folder: self.folder(study), records })
    }

    fn folder(&self, study: StudyId) -> PathBuf {
        self.root.join("studies").join(study.to_string())
    }

    fn rounds(&self, study: StudyId) -> PathBuf {
        self.folder(study).join("rounds")
    }

    /// A journal by its path, opened when it is used first.
    fn records(&self, path: &Path) -> Arc<Records> {
        let mut journals = self.journals.lock().unwrap_or_else(PoisonError::into_inner);
        let records = journals.entry(path.to_owned()).or_insert_with(|| {
            let of = path.strip_prefix(&self.root).unwrap_or(path);
            let of: Vec<_> = of.iter().map(|part| part.to_string_lossy()).collect();
            Arc::new(Records::new(path.to_owned(), of.join("/")))
        });
        Arc::clone(records)
    }

    /// A study's own journal, begun if need be. With it the study's folders are durable.
    fn study(&self, study: StudyId) -> Result<Arc<Records>, JournalError> {
        const STUDY: &str = "study";
        let records = self.study_unbegun(study);
        if !records.has(STUDY)? {
            let (studies, folder) = (self.root.join("studies"), self.folder(study));
            let rounds = self.rounds(study);
            fs::create_dir_all(&rounds).map_err(|source| JournalError::io(&rounds, source))?;
            // Whoever made them: it may have been killed before it synced them.
            for holds in [&self.root, &studies, &folder] {
                let synced = durable::sync_folder(holds);
                synced.map_err(|source| JournalError::io(holds, source))?;
            }
            records.note(&[Noted::new(STUDY, &json::compact(&study))])?;
        }
        Ok(records)
    }

    /// The same, which may not be there.
    fn study_unbegun(&self, study: StudyId) -> Arc<Records> {
        self.records(&self.folder(study).join("study.journal"))
    }

    /// Every contribution of this site in every study, for the rules of safety.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read: without it no rule could be kept.
    pub fn contributions(&self) -> Result<Vec<Record>, JournalError> {
        let mut records = Vec::new();
        for study in files::children(&self.root.join("studies"))? {
            for round in self.rounds_in(&study.join("rounds"))? {
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
    pub fn holder_records(&self, study: StudyId) -> Result<HolderRecords, JournalError> {
        let mut records = HolderRecords::default();
        for journal in self.kept_rounds(study)? {
            records.endorsed.extend(journal.endorsement()?);
            let Some(round) = journal.number() else { continue };
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
        for round in self.last_rounds(study)? {
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
        Ok(self.study_unbegun(study).read(RESTORED)?.unwrap_or_default())
    }

    /// Takes note of a restore, or of how far the site abstains after it (the same `request` again).
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be written.
    pub fn restored(&self, study: StudyId, record: RestoreRecord) -> Result<(), JournalError> {
        let mut records = self.restores(study)?;
        records.retain(|known| known.request.is_none() || known.request != record.request);
        records.push(record);
        let journal = self.study(study)?;
        journal.note(&[Noted::new(RESTORED, &json::compact(&records))])?;
        journal.sync()
    }

    /// The round from which on a round's predecessors are checked: the last one up to it whose manifest
    /// is on disk, or an earlier one whose certificate a power cut has taken.
    ///
    /// # Errors
    /// [`JournalError`] when a journal cannot be read.
    pub(crate) fn first_to_check(
        &self,
        study: StudyId,
        until: RoundNumber,
    ) -> Result<Option<RoundNumber>, JournalError> {
        let mut last = None;
        for journal in self.kept_rounds(study)? {
            let Some(round) = journal.number().filter(|round| *round <= until) else { continue };
            if !journal.has_manifest()? {
                continue;
            }
            last = Some(round);
            if !journal.has_certificate()? {
                break;
            }
        }
        Ok(last)
    }

    /// The highest round that this site knows: whose manifest it has accepted, or in which it has
    /// signed something.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read.
    pub fn highest_round(&self, study: StudyId) -> Result<Option<RoundNumber>, JournalError> {
        for round in self.last_rounds(study)? {
            let known = round.manifest()?.is_some()
                || round.contribution()?.is_some()
                || round.endorsement()?.is_some()
                || round.certificate()?.is_some();
            if known {
                return Ok(round.number());
            }
        }
        Ok(None)
    }
}

/// Which versions of the protocol and of the state a state directory holds, in `format.json`.
#[derive(Serialize, Deserialize)]
struct Format {
    protocol: u32,
    /// Version 1 did not say it.
    #[serde(default = "first_state")]
    state: u32,
}

fn first_state() -> u32 {
    1
}

/// Whose state a state directory is, in `site.json`.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    id: SiteId,
    signature_key: PublicKey,
}

/// Refuses the state of another version of the protocol or of the state; version 1 of the protocol
/// wrote no `format.json`.
fn check_version(root: &Path) -> Result<(), JournalError> {
    let path = root.join("format.json");
    let stated: Option<Format> = files::read(&path)?;
    let found = match stated {
        Some(found) => found,
        None if root.join("studies").exists() => Format { protocol: 1, state: 1 },
        None => {
            // Whoever made the folder may have been killed before it was durable. Where the one above
            // may not be read, somebody else has made it.
            let _ = durable::sync_folder_of(root);
            let format = Format { protocol: VERSION, state: STATE };
            return files::write(&path, &json::pretty(&format));
        }
    };
    let root = || root.display().to_string();
    ProtocolVersion::of(found.protocol)
        .map_err(|source| JournalError::Version { root: root(), source })?;
    match found.state {
        STATE => Ok(()),
        state => Err(JournalError::State { root: root(), found: state, expected: STATE }),
    }
}

/// A round's file: its stem is the round's number.
fn beside(stem: &Path, name: &str) -> PathBuf {
    let mut file = stem.as_os_str().to_owned();
    file.push(".");
    file.push(name);
    file.into()
}

/// The round that a stem is of.
fn number(stem: &Path) -> Option<u32> {
    let name = stem.file_name()?.to_str()?;
    let number: u32 = name.parse().ok()?;
    (recover::round_name(&RoundNumber(number)) == name).then_some(number)
}

#[cfg(test)]
mod tests;
