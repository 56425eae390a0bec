//! A site's KEM keys for single rounds on disk.
//!
//! ```text
//! STATE/studies/<study>/round-keys/
//!     <first round>.json  <first round>.sent    the statement, and since when the aggregator has it
//!     <first round>.tlog-proof                  that the study's log contains it (C2SP tlog-proof)
//!     <first round>.unopened                    the first round that was not open yet when an initiator
//!                                               must have seen the statement
//!     <round>.secret                            until the round has ended
//!     <site>.<first round>.seen                 other sites' statements, as they were seen
//! ```

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

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

/// A file with a statement that is damaged, and which statement it held by its name.
#[derive(Debug)]
pub(crate) struct DamagedKeys {
    pub(crate) path: PathBuf,
    /// Whose it is; this site's own where none is given.
    pub(crate) site: Option<SiteId>,
    pub(crate) first_round: RoundNumber,
    pub(crate) damage: JournalError,
}

/// The files of a study's round keys.
#[derive(Clone, Debug)]
pub struct RoundKeysJournal {
    pub(super) folder: PathBuf,
}

impl RoundKeysJournal {
    fn statements(&self) -> Result<Vec<(PathBuf, Signed<RoundKeys>)>, JournalError> {
        let mut statements = Vec::new();
        for path in files::children(&self.folder)? {
            if path.extension().is_some_and(|extension| extension == "json") {
                statements.extend(files::read(&path)?.map(|statement| (path, statement)));
            }
        }
        Ok(statements)
    }

    fn secret_path(&self, round: RoundNumber) -> PathBuf {
        self.folder.join(format!("{:06}.secret", round.0))
    }

    /// This site's statement that covers a round, once the aggregator has confirmed it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn published(&self, round: RoundNumber) -> Result<Option<Published>, JournalError> {
        for (path, keys) in self.statements()? {
            if keys.statement.key(round).is_none() {
                continue;
            }
            let Some(since) = files::read(&path.with_extension("sent"))? else { continue };
            let index = self.place(&keys.statement)?;
            let unopened = files::read(&path.with_extension("unopened"))?;
            return Ok(Some(Published { keys, since, index, unopened }));
        }
        Ok(None)
    }

    /// Where the study's log contains a statement, by the proof that is kept.
    fn place(&self, statement: &RoundKeys) -> Result<Option<u64>, JournalError> {
        let path = self.proof_path(statement);
        let Some(bytes) = files::bytes(&path)? else { return Ok(None) };
        let proof = String::from_utf8(bytes).ok().and_then(|text| text.parse::<TlogProof>().ok());
        let damaged = || JournalError::damaged(&path, "it is no tlog-proof".into());
        Ok(Some(proof.ok_or_else(damaged)?.index()))
    }

    /// Takes note that no round from `next` on was open yet, for the statements that the aggregator
    /// had by `by` already.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn not_open(&self, next: RoundNumber, by: UnixSeconds) -> Result<(), JournalError> {
        for (path, _) in self.statements()? {
            let note = path.with_extension("unopened");
            let since: Option<UnixSeconds> = files::read(&path.with_extension("sent"))?;
            let known: Option<RoundNumber> = files::read(&note)?;
            // The lowest: the aggregator says it, and may have said too much before.
            if since.is_some_and(|since| since <= by) && known.is_none_or(|known| next < known) {
                files::write(&note, &json::compact(&next))?;
            }
        }
        Ok(())
    }

    /// All statements on disk: this site's, and those of others that it has seen.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn kept(&self) -> Result<Vec<Signed<RoundKeys>>, JournalError> {
        let mut statements = Vec::new();
        for path in files::children(&self.folder)? {
            if path.extension().is_some_and(|extension| extension == "json" || extension == "seen")
            {
                statements.extend(files::read(&path)?);
            }
        }
        Ok(statements)
    }

    /// The statements on disk that are damaged.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn damaged(&self) -> Result<Vec<DamagedKeys>, JournalError> {
        let mut found = Vec::new();
        for path in files::children(&self.folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let (site, first) = match (name.strip_suffix(".json"), name.strip_suffix(".seen")) {
                (Some(first), _) => (None, first),
                (_, Some(seen)) => match seen.rsplit_once('.') {
                    Some((site, first)) => (site.parse().ok(), first),
                    None => continue,
                },
                _ => continue,
            };
            let Ok(first) = first.parse() else { continue };
            let first_round = RoundNumber(first);
            if let Err(damage) = files::read::<Signed<RoundKeys>>(&path) {
                found.push(DamagedKeys { path, site, first_round, damage });
            }
        }
        Ok(found)
    }

    /// Writes a statement over a file that is damaged, if it is what that held; answers whether it is.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn put_back(
        &self,
        path: &Path,
        keys: &Signed<RoundKeys>,
    ) -> Result<bool, JournalError> {
        files::put_back(path, &json::compact(keys))
    }

    /// Keeps round keys of another site, so that it is noticed when they are hidden later.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn see(&self, keys: &Signed<RoundKeys>) -> Result<(), JournalError> {
        let RoundKeys { site, first_round, .. } = &keys.statement;
        let path = self.folder.join(format!("{site}.{:06}.seen", first_round.0));
        if path.exists() {
            return Ok(());
        }
        files::write(&path, &json::compact(keys))
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
        for path in files::children(&self.folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let of = name.strip_suffix(".seen").and_then(|name| name.rsplit_once('.'));
            if of.is_none_or(|(of, _)| of != site.as_str()) {
                continue;
            }
            let keys: Option<Signed<RoundKeys>> = files::read(&path)?;
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
        let ends = self.statements()?.into_iter().map(|(_, signed)| signed.statement.end());
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
        let first = statement.statement.first_round.0;
        for (round, secret) in (first..).zip(secrets) {
            // A crash may have left secrets whose statement was never made: they are replaced.
            let text = Zeroizing::new(hex::encode(secret.expose()));
            files::write_unlisted(&self.secret_path(RoundNumber(round)), text.as_bytes())?;
        }
        files::decide(&self.folder.join(format!("{first:06}.json")), &json::compact(statement))
    }

    /// Statements that the aggregator has not confirmed yet.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn unsent(&self) -> Result<Vec<Signed<RoundKeys>>, JournalError> {
        let statements = self.statements()?.into_iter();
        let unsent = statements.filter(|(path, _)| !path.with_extension("sent").exists());
        Ok(unsent.map(|(_, statement)| statement).collect())
    }

    /// Statements that the aggregator has confirmed and that cover a round from `next` on.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn in_use(&self, next: RoundNumber) -> Result<Vec<Signed<RoundKeys>>, JournalError> {
        let statements = self.statements()?.into_iter();
        let in_use = statements.filter(|(path, signed)| {
            path.with_extension("sent").exists() && signed.statement.end() > next
        });
        Ok(in_use.map(|(_, statement)| statement).collect())
    }

    /// Where the proof lies that the study's log contains a statement.
    pub fn proof_path(&self, statement: &RoundKeys) -> PathBuf {
        self.folder.join(format!("{:06}.tlog-proof", statement.first_round.0))
    }

    /// Keeps the proof that the study's log contains a statement.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn logged(&self, statement: &RoundKeys, proof: &TlogProof) -> Result<(), JournalError> {
        files::write(&self.proof_path(statement), proof.to_string().as_bytes())
    }

    /// Takes note that the aggregator has a statement, and since when by this site's clock.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn sent(&self, statement: &Signed<RoundKeys>, at: UnixSeconds) -> Result<(), JournalError> {
        let first = statement.statement.first_round.0;
        files::write(&self.folder.join(format!("{first:06}.sent")), &json::compact(&at))
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
        let named = statements.iter().find(|(_, signed)| signed.id() == statement);
        let Some(key) = named.and_then(|(_, signed)| signed.statement.key(round)) else {
            return Ok(None);
        };
        let path = self.secret_path(round);
        let Some(text) = files::bytes(&path)?.map(Zeroizing::new) else { return Ok(None) };
        let bytes = hex::decode(text.as_slice()).map(Zeroizing::new).ok();
        let secret = bytes.and_then(|bytes| RoundSecret::from_bytes(&bytes).ok());
        let damaged = || JournalError::RoundSecret { path: path.display().to_string(), round };
        secret.filter(|secret| secret.public() == *key).ok_or_else(damaged).map(Some)
    }

    /// Rounds whose secrets are still here.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn secret_rounds(&self) -> Result<Vec<RoundNumber>, JournalError> {
        let paths = files::children(&self.folder)?.into_iter();
        let secrets = paths.filter(|path| path.extension().is_some_and(|e| e == "secret"));
        let numbers = secrets.filter_map(|path| path.file_stem()?.to_str()?.parse().ok());
        Ok(numbers.map(RoundNumber).collect())
    }

    /// Destroys the secret of a round: overwritten as far as the disk obeys, then deleted.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn destroy(&self, round: RoundNumber) -> Result<(), JournalError> {
        let path = self.secret_path(round);
        if !path.exists() {
            return Ok(());
        }
        let destroyed = || {
            let mut file = fs::File::options().write(true).open(&path)?;
            file.write_all(&[b'0'; 64])?;
            file.sync_all()?;
            fs::remove_file(&path)?;
            ringfence_durable::sync_folder_of(&path)
        };
        destroyed().map_err(|source| JournalError::io(&path, source))
    }
}
