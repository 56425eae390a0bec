//! A site's KEM keys for single rounds on disk.
//!
//! ```text
//! STATE/studies/<digest>/round-keys/
//!     <first round>.json  <first round>.sent    the statement, and that the aggregator has it
//!     <round>.secret                            until the round has ended
//! ```

use std::fs;
use std::io;
use std::path::PathBuf;

use ringfence_crypto::Digest;
use ringfence_crypto::statement::{RoundKeys, Signed};
use ringfence_crypto::wire::json;
use ringfence_keys::round_secret::RoundSecret;
use zeroize::Zeroizing;

use super::{JournalError, children, decide, io_error, read, write};

/// The files of a study's round keys.
#[derive(Clone, Debug)]
pub struct RoundKeysJournal {
    pub(super) folder: PathBuf,
}

impl RoundKeysJournal {
    fn statements(&self) -> Result<Vec<(PathBuf, Signed<RoundKeys>)>, JournalError> {
        let mut statements = Vec::new();
        for path in children(&self.folder)? {
            if path.extension().is_some_and(|extension| extension == "json") {
                statements.extend(read(&path)?.map(|statement| (path, statement)));
            }
        }
        Ok(statements)
    }

    fn secret_path(&self, round: u32) -> PathBuf {
        self.folder.join(format!("{round:06}.secret"))
    }

    /// The round after the last one that has a key.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn covered(&self) -> Result<u32, JournalError> {
        let ends = self.statements()?.into_iter().map(|(_, signed)| {
            let RoundKeys { first_round, keys, .. } = &signed.statement;
            first_round.saturating_add(keys.len() as u32)
        });
        Ok(ends.max().unwrap_or(0))
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
        for (round, secret) in (first..).zip(secrets) {
            // A crash may have left secrets whose statement was never made: they are replaced.
            let text = Zeroizing::new(hex::encode(secret.expose()));
            write(&self.secret_path(round), text.as_bytes())?;
        }
        decide(&self.folder.join(format!("{first:06}.json")), &json::compact(statement))
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

    /// Takes note that the aggregator has a statement.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn sent(&self, statement: &Signed<RoundKeys>) -> Result<(), JournalError> {
        let first = statement.statement.first_round;
        write(&self.folder.join(format!("{first:06}.sent")), b"")
    }

    /// The secret of a round, if it is of the statement that a manifest names and not destroyed.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn secret(
        &self,
        round: u32,
        statement: Digest,
    ) -> Result<Option<RoundSecret>, JournalError> {
        let mut statements = self.statements()?.into_iter();
        let named = statements.any(|(_, signed)| {
            signed.digest() == statement && signed.statement.key(round).is_some()
        });
        let path = self.secret_path(round);
        let text = match fs::read(&path).map(Zeroizing::new) {
            Ok(text) if named => text,
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_error(&path, source)),
        };
        let secret = hex::decode(text.as_slice()).map(Zeroizing::new).ok();
        Ok(secret.and_then(|bytes| RoundSecret::from_bytes(&bytes).ok()))
    }

    /// Rounds whose secrets are still here.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn secret_rounds(&self) -> Result<Vec<u32>, JournalError> {
        let paths = children(&self.folder)?.into_iter();
        let secrets = paths.filter(|path| path.extension().is_some_and(|e| e == "secret"));
        Ok(secrets.filter_map(|path| path.file_stem()?.to_str()?.parse().ok()).collect())
    }

    /// Destroys the secret of a round: overwritten as far as the disk obeys, then deleted.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn destroy(&self, round: u32) -> Result<(), JournalError> {
        let path = self.secret_path(round);
        if !path.exists() {
            return Ok(());
        }
        let at = |source| io_error(&path, source);
        let file = fs::File::options().write(true).open(&path).map_err(at)?;
        io::Write::write_all(&mut &file, &[b'0'; 64]).map_err(at)?;
        file.sync_all().map_err(at)?;
        fs::remove_file(&path).map_err(at)
    }
}
