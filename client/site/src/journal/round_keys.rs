//! A site's KEM keys for single rounds, in its study's journal.
//!
//! ```text
//! keys-<first round>  sent-<first round>   the statement, and since when the aggregator has it
//! place-<first round>                      where the study's log contains it
//! unopened-<first round>                   the first round that was not open yet when an initiator must
//!                                          have seen the statement
//! secret-<round>                           until the round has ended
//! seen-<first round>-<site>                other sites' statements, as they were seen
//! ```
//!
//! The proof that the log contains a statement lies beside the journal, for others to see:
//! `round-keys-<first round>.tlog-proof` (C2SP tlog-proof).

use std::path::PathBuf;
use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::log::TlogProof;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::RoundKeys;
use ringfence_crypto::wire::json;
use ringfence_keys::round_secret::RoundSecret;
use zeroize::Zeroizing;

use super::error::JournalError;
use super::files;
use super::records::{Record, Records};

const KEYS: &str = "keys-";
const SECRET: &str = "secret-";
const SEEN: &str = "seen-";

/// Round keys of this site that the aggregator has confirmed.
#[derive(Clone, Debug)]
pub struct Published {
    /// The statement.
    pub keys: Signed<RoundKeys>,
    /// Since when the aggregator has it, by this site's clock.
    pub since: UnixSeconds,
    /// Its place in the study's log, as far as that is kept.
    pub index: Option<u64>,
    /// The first round that was not open yet some time later, as far as this site has looked.
    pub unopened: Option<RoundNumber>,
}

/// A statement on disk that is damaged, and which one it was by its name.
#[derive(Debug)]
pub(crate) struct DamagedKeys {
    /// The record's name.
    pub(crate) name: String,
    /// Whose it is; this site's own where none is given.
    pub(crate) site: Option<SiteId>,
    pub(crate) first_round: RoundNumber,
    pub(crate) damage: JournalError,
}

/// A study's round keys.
#[derive(Clone, Debug)]
pub struct RoundKeysJournal {
    pub(super) folder: PathBuf,
    pub(super) records: Arc<Records>,
}

/// What is called so of a statement, or of a round.
fn name(kind: &str, round: RoundNumber) -> String {
    format!("{kind}{:06}", round.0)
}

impl RoundKeysJournal {
    fn statements(&self) -> Result<Vec<Signed<RoundKeys>>, JournalError> {
        self.all(KEYS)
    }

    fn all(&self, prefix: &str) -> Result<Vec<Signed<RoundKeys>>, JournalError> {
        let mut statements = Vec::new();
        for name in self.records.names(prefix)? {
            statements.extend(self.records.read(&name)?);
        }
        Ok(statements)
    }

    fn since(&self, keys: &RoundKeys) -> Result<Option<UnixSeconds>, JournalError> {
        self.records.read(&name("sent-", keys.first_round))
    }

    /// This site's statement that covers a round, once the aggregator has confirmed it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn published(&self, round: RoundNumber) -> Result<Option<Published>, JournalError> {
        for keys in self.statements()? {
            if keys.statement.key(round).is_none() {
                continue;
            }
            let Some(since) = self.since(&keys.statement)? else { continue };
            let first = keys.statement.first_round;
            let index = self.records.read(&name("place-", first))?;
            let unopened = self.records.read(&name("unopened-", first))?;
            return Ok(Some(Published { keys, since, index, unopened }));
        }
        Ok(None)
    }

    /// Takes note that no round from `next` on was open yet, for the statements that the aggregator
    /// had by `by` already.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn not_open(&self, next: RoundNumber, by: UnixSeconds) -> Result<(), JournalError> {
        for keys in self.statements()? {
            let note = name("unopened-", keys.statement.first_round);
            let since = self.since(&keys.statement)?;
            let known: Option<RoundNumber> = self.records.read(&note)?;
            // The lowest: the aggregator says it, and may have said too much before.
            if since.is_some_and(|since| since <= by) && known.is_none_or(|known| next < known) {
                self.records.note(&[Record::new(&note, &json::compact(&next))])?;
            }
        }
        // What this site signs under a manifest stands on it.
        self.records.sync_noted()
    }

    /// All statements on disk: this site's, and those of others that it has seen.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn kept(&self) -> Result<Vec<Signed<RoundKeys>>, JournalError> {
        Ok([self.all(KEYS)?, self.all(SEEN)?].concat())
    }

    /// The statements on disk that are damaged.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn damaged(&self) -> Result<Vec<DamagedKeys>, JournalError> {
        let mut found = Vec::new();
        for name in [self.records.names(KEYS)?, self.records.names(SEEN)?].concat() {
            let (site, first) = match (name.strip_prefix(KEYS), name.strip_prefix(SEEN)) {
                (Some(first), _) => (None, first),
                (_, Some(seen)) => match seen.split_once('-') {
                    Some((first, site)) => (site.parse().ok(), first),
                    None => continue,
                },
                _ => continue,
            };
            let Ok(first) = first.parse() else { continue };
            let first_round = RoundNumber(first);
            if let Err(damage) = self.records.bytes(&name) {
                found.push(DamagedKeys { name, site, first_round, damage });
            }
        }
        Ok(found)
    }

    /// Writes a statement over a record that is damaged, if it is what that held; answers whether it is.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn put_back(
        &self,
        name: &str,
        keys: &Signed<RoundKeys>,
    ) -> Result<bool, JournalError> {
        self.records.put_back(name, &json::compact(keys))
    }

    /// Keeps round keys of another site, so that it is noticed when they are hidden later. Durable with
    /// [`RoundKeysJournal::sync_noted`].
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn see(&self, keys: &Signed<RoundKeys>) -> Result<(), JournalError> {
        let RoundKeys { site, first_round, .. } = &keys.statement;
        let name = format!("{}-{site}", name(SEEN, *first_round));
        if self.records.has(&name)? {
            return Ok(());
        }
        self.records.note(&[Record::new(&name, &json::compact(keys))])
    }

    /// Makes what was noted now durable: before anything is signed that stands on it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn sync_noted(&self) -> Result<(), JournalError> {
        self.records.sync_noted()
    }

    /// Whether round keys of any other site were seen.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn has_seen(&self) -> Result<bool, JournalError> {
        Ok(!self.records.names(SEEN)?.is_empty())
    }

    /// Round keys of another site that cover a round and were seen before.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn seen(
        &self,
        site: &SiteId,
        round: RoundNumber,
    ) -> Result<Option<Signed<RoundKeys>>, JournalError> {
        for name in self.records.names(SEEN)? {
            let of = name.strip_prefix(SEEN).and_then(|name| name.split_once('-'));
            if of.is_none_or(|(_, of)| of != site.as_str()) {
                continue;
            }
            let keys: Option<Signed<RoundKeys>> = self.records.read(&name)?;
            let covers = |keys: &Signed<RoundKeys>| {
                keys.statement.site == *site && keys.statement.key(round).is_some()
            };
            if let Some(keys) = keys.filter(covers) {
                return Ok(Some(keys));
            }
        }
        Ok(None)
    }

    /// The round after the last one that has a key.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn covered(&self) -> Result<RoundNumber, JournalError> {
        let ends = self.statements()?.into_iter().map(|signed| signed.statement.end());
        Ok(ends.max().unwrap_or(RoundNumber::FIRST))
    }

    /// Makes secrets and, last, their statement durable. Nothing has left yet.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn save(
        &self,
        statement: &Signed<RoundKeys>,
        secrets: &[RoundSecret],
    ) -> Result<(), JournalError> {
        let first = statement.statement.first_round;
        let numbered = (first.0..).zip(secrets);
        let secrets: Vec<(String, Zeroizing<String>)> = numbered
            .map(|(round, secret)| {
                let text = Zeroizing::new(hex::encode(secret.expose()));
                (name(SECRET, RoundNumber(round)), text)
            })
            .collect();
        let (keys, made) = (name(KEYS, first), json::compact(statement));
        // A crash may have left secrets whose statement was never made: the last ones count.
        let secrets = secrets.iter().map(|(name, text)| Record::blankable(name, text.as_bytes()));
        let records: Vec<Record<'_>> = secrets.chain([Record::new(&keys, &made)]).collect();
        self.records.decide(&records)
    }

    /// Statements that the aggregator has not confirmed yet, durable here.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn unsent(&self) -> Result<Vec<Signed<RoundKeys>>, JournalError> {
        let mut unsent = Vec::new();
        for keys in self.statements()? {
            if self.since(&keys.statement)?.is_none() {
                unsent.push(keys);
            }
        }
        if !unsent.is_empty() {
            // A process that was killed may have made them.
            self.records.sync()?;
        }
        Ok(unsent)
    }

    /// Statements that the aggregator has confirmed and that cover a round from `next` on.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn in_use(&self, next: RoundNumber) -> Result<Vec<Signed<RoundKeys>>, JournalError> {
        let mut in_use = Vec::new();
        for keys in self.statements()? {
            if keys.statement.end() > next && self.since(&keys.statement)?.is_some() {
                in_use.push(keys);
            }
        }
        Ok(in_use)
    }

    /// Where the proof lies that the study's log contains a statement.
    pub fn proof_path(&self, statement: &RoundKeys) -> PathBuf {
        self.folder.join(format!("round-keys-{:06}.tlog-proof", statement.first_round.0))
    }

    /// Keeps the proof that the study's log contains a statement; its place is durable with
    /// [`RoundKeysJournal::sync_noted`].
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn logged(&self, statement: &RoundKeys, proof: &TlogProof) -> Result<(), JournalError> {
        files::write(&self.proof_path(statement), proof.to_string().as_bytes())?;
        let (place, index) = (name("place-", statement.first_round), json::compact(&proof.index()));
        self.records.note(&[Record::new(&place, &index)])
    }

    /// Takes note that the aggregator has a statement, and since when by this site's clock.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn sent(&self, statement: &Signed<RoundKeys>, at: UnixSeconds) -> Result<(), JournalError> {
        let sent = name("sent-", statement.statement.first_round);
        self.records.note(&[Record::new(&sent, &json::compact(&at))])?;
        self.records.sync()
    }

    /// The secret of a round, if it is of the statement that a manifest names and not destroyed.
    ///
    /// # Errors
    /// [`JournalError`]; [`JournalError::RoundSecret`] when it is not the secret of the key that was
    /// published: with another one, what honest dealers sealed to this site would look like rubbish.
    pub fn secret(
        &self,
        round: RoundNumber,
        statement: Digest,
    ) -> Result<Option<RoundSecret>, JournalError> {
        let statements = self.statements()?;
        let named = statements.iter().find(|signed| signed.id() == statement);
        let Some(key) = named.and_then(|signed| signed.statement.key(round)) else {
            return Ok(None);
        };
        let name = name(SECRET, round);
        let Some(text) = self.records.bytes(&name)?.map(Zeroizing::new) else { return Ok(None) };
        let bytes = hex::decode(text.as_slice()).map(Zeroizing::new).ok();
        let secret = bytes.and_then(|bytes| RoundSecret::from_bytes(&bytes).ok());
        let damaged = || {
            let path = format!("{}: {name}", self.records.path().display());
            JournalError::RoundSecret { path, round }
        };
        secret.filter(|secret| secret.public() == *key).ok_or_else(damaged).map(Some)
    }

    /// Rounds whose secrets are still here.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn secret_rounds(&self) -> Result<Vec<RoundNumber>, JournalError> {
        let names = self.records.names(SECRET)?.into_iter();
        let numbers = names.filter_map(|name| name.strip_prefix(SECRET)?.parse().ok());
        Ok(numbers.map(RoundNumber).collect())
    }

    /// Destroys the secret of a round: overwritten in its place, as far as the disk obeys. Until
    /// [`RoundKeysJournal::sync_destroyed`] a power cut may bring it back; it is destroyed again then.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn destroy(&self, round: RoundNumber) -> Result<(), JournalError> {
        let name = name(SECRET, round);
        if !self.records.has(&name)? {
            return Ok(());
        }
        self.records.blank(&name)
    }

    /// Makes durable that secrets were destroyed, whichever process did it: once a round, at its end.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn sync_destroyed(&self) -> Result<(), JournalError> {
        self.records.sync()
    }
}
