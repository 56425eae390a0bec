//! Reading and writing one file of the state: whole or not at all, for its owner's eyes only.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ringfence_crypto::wire::json::{self, MAX_STUDY};
use ringfence_durable::{self as durable, Readers, Unfinished};
use serde::de::DeserializeOwned;

use super::error::JournalError;
use super::sums;

/// Makes a folder and those above it, durably. What an earlier process made, `recover` has synced.
pub(super) fn folder(path: &Path) -> Result<(), JournalError> {
    durable::create_folder(path).map_err(|source| JournalError::io(path, source))
}

/// A file's bytes, as they were written; `None` when it is not there.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, JournalError> {
    sums::read(path)
}

/// A file's record; `None` when it is not there.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, JournalError> {
    let Some(bytes) = bytes(path)? else { return Ok(None) };
    json::parse(&bytes, MAX_STUDY, "journal record")
        .map(Some)
        .map_err(|source| JournalError::damaged(path, source.to_string()))
}

/// Writes a file so that after a crash it is there completely or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    sums::write(&[(path, bytes)], || write_unlisted(path, bytes))
}

/// Like [`write`], but keeps no digest: what is destroyed later leaves nothing behind.
pub(super) fn write_unlisted(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    durable::write(path, bytes, Readers::Owner).map_err(|source| JournalError::io(path, source))
}

/// Writes what a damaged file held, if these are the bytes; answers whether they are.
pub(super) fn put_back(path: &Path, bytes: &[u8]) -> Result<bool, JournalError> {
    sums::put_back(path, bytes, || write_unlisted(path, bytes))
}

/// Like [`write`], but fails when the file exists: a decision is made once.
pub(super) fn decide(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let exists = || JournalError::Exists(path.display().to_string());
    // Before its digest is listed.
    if path.exists() {
        return Err(exists());
    }
    sums::write(&[(path, bytes)], || {
        durable::create(path, bytes, Readers::Owner).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => exists(),
            _ => JournalError::io(path, source),
        })
    })
}

/// As [`decide`], and another file of the folder written in the same turn, which costs half as much as
/// one after the other. After a crash either may be there without the other.
pub(super) fn decide_with(
    (path, bytes): (&Path, &[u8]),
    (beside, with): (&Path, &[u8]),
) -> Result<(), JournalError> {
    let exists = || JournalError::Exists(path.display().to_string());
    // Before its digest is listed.
    if path.exists() {
        return Err(exists());
    }
    let unfinished = |path: &Path, bytes: &[u8]| {
        let mut file = Unfinished::new(path, Readers::Owner)?;
        file.write_all(bytes)?;
        Ok(file)
    };
    sums::write(&[(beside, with), (path, bytes)], || {
        let put = unfinished(beside, with).and_then(Unfinished::put);
        put.map_err(|source| JournalError::io(beside, source))?;
        let put = unfinished(path, bytes).and_then(Unfinished::put_new);
        put.and_then(|path| durable::sync_folder_of(&path)).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => exists(),
            _ => JournalError::io(path, source),
        })
    })
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
