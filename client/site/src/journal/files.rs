//! Reading and writing one file of the state: whole or not at all, for its owner's eyes only.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ringfence_crypto::wire::json::{self, MAX_STUDY};
use ringfence_durable::{self as durable, Readers, Unfinished};
use serde::de::DeserializeOwned;

use super::error::JournalError;

/// A file's record; `None` when it is not there.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, JournalError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(JournalError::io(path, source)),
    };
    json::parse(&bytes, MAX_STUDY, "journal record")
        .map(Some)
        .map_err(|source| JournalError::damaged(path, source.to_string()))
}

/// Writes a file so that after a crash it is there completely or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    durable::write(path, bytes, Readers::Owner).map_err(|source| JournalError::io(path, source))
}

/// Writes a file that can be had again: whole for whoever reads it, and lost in a power cut.
pub(super) fn write_passing(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let mut file =
        Unfinished::new(path, Readers::Owner).map_err(|source| JournalError::io(path, source))?;
    let put = file.write_all(bytes).and_then(|()| file.put_unsynced());
    put.map_err(|source| JournalError::io(path, source))
}

/// Removes a file, if it is there.
pub(super) fn delete(path: &Path) -> Result<(), JournalError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(JournalError::io(path, error)),
        _ => Ok(()),
    }
}

/// What lies in a folder; nothing when there is no such folder.
pub(super) fn children(folder: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(JournalError::io(folder, source)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>();
    paths.map_err(|source| JournalError::io(folder, source))
}
