//! Digests of the files of a folder of the state, in `B3SUMS` beside them: `b3sum --check B3SUMS`
//! checks them, too.
//!
//! What a site signs, it signs on what it reads back from its own disk. A flipped bit there must be an
//! error that names the file, and never a statement against another site. A digest is listed before
//! its file is written. After a crash a file that replaces another has a digest of its own, or is not
//! there; until the next file is written the digest before may stand beside it. A new file and its
//! digest become durable together, with their folder.
//!
//! A file that is not listed is taken as it is: folders of earlier versions have no list.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ringfence_crypto::Digest;
use ringfence_durable::{self as durable, Readers, Unfinished};

use super::error::JournalError;

/// The list's name.
pub(super) const LIST: &str = "B3SUMS";

/// A site's tasks read and write one folder at the same time: a list and its files change together.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // It guards no data that a panic could leave half-changed: that is on disk.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The digests that are listed beside a file.
struct Sums {
    path: PathBuf,
    lines: Vec<(Digest, String)>,
}

impl Sums {
    fn beside(file: &Path) -> Result<Self, JournalError> {
        let path = file.with_file_name(LIST);
        let text = whole(&path)?.unwrap_or_default();
        let damaged = |line: usize| {
            JournalError::damaged(&path, format!("line {line} is no digest and a file's name"))
        };
        let text = String::from_utf8(text).map_err(|_| damaged(1))?;
        let mut lines = Vec::new();
        for (place, line) in text.lines().enumerate() {
            let parts = line.split_once("  ");
            let parts = parts.and_then(|(digest, name)| Some((digest.parse().ok()?, name.into())));
            lines.push(parts.ok_or_else(|| damaged(place + 1))?);
        }
        Ok(Self { path, lines })
    }

    /// Whether a file may have a digest; `None` when none of it is listed.
    fn allows(&self, name: &str, digest: Digest) -> Option<bool> {
        let mut listed = self.lines.iter().filter(|(_, of)| of == name).peekable();
        listed.peek()?;
        Some(listed.any(|(listed, _)| *listed == digest))
    }

    /// Lists the digest that a file is about to have, beside the one that it has. Answers whether there
    /// is a file that must not be without its digest.
    fn list(&mut self, file: &Path, next: Digest) -> Result<bool, JournalError> {
        let name = name(file);
        let now = whole(file)?.map(|bytes| Digest::of(&bytes));
        let stays = |digest: Digest| Some(digest) == now && digest != next;
        self.lines.retain(|(digest, of)| *of != name || stays(*digest));
        self.lines.push((next, name));
        Ok(now.is_some())
    }

    /// Writes the list, durably but for its name in the folder.
    fn save(&self) -> Result<(), JournalError> {
        let mut text = String::new();
        for (digest, name) in &self.lines {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{digest}  {name}");
        }
        let write = || {
            let mut list = Unfinished::new(&self.path, Readers::Owner)?;
            list.write_all(text.as_bytes())?;
            list.put().map(drop)
        };
        write().map_err(|source| JournalError::io(&self.path, source))
    }
}

/// The bytes of a file, which must have a digest that is listed, if any is; `None` when it is not
/// there.
///
/// # Errors
/// [`JournalError::Damaged`].
pub(super) fn read(file: &Path) -> Result<Option<Vec<u8>>, JournalError> {
    let _alone = alone();
    let Some(bytes) = whole(file)? else { return Ok(None) };
    match Sums::beside(file)?.allows(&name(file), Digest::of(&bytes)) {
        Some(false) => Err(JournalError::damaged(file, format!("it is not what {LIST} lists"))),
        _ => Ok(Some(bytes)),
    }
}

/// Lists the digests of files of one folder and writes them: `write` must sync the folder.
///
/// # Errors
/// That of listing, or of `write`.
pub(super) fn write(
    files: &[(&Path, &[u8])],
    write: impl FnOnce() -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let _alone = alone();
    let Some((first, _)) = files.first() else { return Ok(()) };
    let mut sums = Sums::beside(first)?;
    let (before, mut replaced) = (sums.lines.clone(), false);
    // Before any is listed: those that are written now are not there yet.
    sums.lines.retain(|(_, of)| first.with_file_name(of).exists());
    for (file, bytes) in files {
        replaced |= sums.list(file, Digest::of(bytes))?;
    }
    if sums.lines != before {
        sums.save()?;
    }
    if replaced {
        // Before the file is another one.
        durable::sync_folder_of(first).map_err(|source| JournalError::io(first, source))?;
    }
    write()
}

/// Writes what a damaged file held, if these are the bytes; answers whether they are.
///
/// # Errors
/// As for [`write`].
pub(super) fn put_back(
    file: &Path,
    bytes: &[u8],
    write: impl FnOnce() -> Result<(), JournalError>,
) -> Result<bool, JournalError> {
    let _alone = alone();
    let listed = Sums::beside(file)?.allows(&name(file), Digest::of(bytes)) == Some(true);
    if listed {
        write()?;
    }
    Ok(listed)
}

fn name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn whole(path: &Path) -> Result<Option<Vec<u8>>, JournalError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(JournalError::io(path, source)),
    }
}
