//! What a state that a crash may have left needs before it is used.
//!
//! Only the folders that a journal makes are touched. Whatever else lies in the state is others':
//! a file system's `lost+found`, another site's state, the user's own files.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use ringfence_crypto::id::{RoundNumber, StudyId};
use ringfence_durable as durable;

use super::error::JournalError;
use super::files;

/// How the names of a round's files begin.
pub(super) fn round_name(round: &RoundNumber) -> String {
    format!("{:06}", round.0)
}

/// Removes what is half-written. Nobody may be writing to the state meanwhile.
pub(super) fn recover(root: &Path) -> Result<(), JournalError> {
    clear(root)?;
    for study in held(&root.join("studies"), |name| is(name, StudyId::to_string))? {
        clear(&study)?;
        let rounds = study.join("rounds");
        if is_folder(&rounds) {
            clear(&rounds)?;
        }
    }
    Ok(())
}

/// Whether a name is exactly what is written for some `T`.
fn is<T: FromStr>(name: &str, write: impl Fn(&T) -> String) -> bool {
    name.parse().is_ok_and(|value| write(&value) == name)
}

/// The folders with such names in a folder.
fn held(folder: &Path, named: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, JournalError> {
    if !is_folder(folder) {
        return Ok(Vec::new());
    }
    let mut children = files::children(folder)?;
    children.retain(|child| {
        let name = child.file_name().and_then(|name| name.to_str());
        name.is_some_and(&named) && is_folder(child)
    });
    Ok(children)
}

/// A link is none: it may lead anywhere, and this program makes none.
fn is_folder(path: &Path) -> bool {
    path.is_dir() && !path.is_symlink()
}

fn clear(folder: &Path) -> Result<(), JournalError> {
    durable::clear_unfinished(folder).map_err(|source| JournalError::io(folder, source))
}
