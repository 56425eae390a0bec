//! Places for results, looked at before the work that they come from: one that takes no file is told
//! then and not afterwards, and what lies there already is not written over unasked.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::{Readers, Unfinished, create_folder, folder};

/// Whether a file can be written here, in a folder that is there. One that is there already would be
/// replaced.
///
/// # Errors
/// What stands against it: a folder of this name, no folder to hold the file, one that cannot be
/// written to.
pub fn check_file(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        let words = "expected a file's name, got a folder's; name a file in it";
        return Err(io::Error::new(ErrorKind::IsADirectory, words));
    }
    let holds = folder(path);
    if !holds.is_dir() {
        let words = format!("there is no folder {}; make it first", holds.display());
        return Err(io::Error::new(ErrorKind::NotFound, words));
    }
    // Permissions alone do not tell: the file system may be full or read-only. Gone when dropped.
    Unfinished::new(path, Readers::Owner).map(drop)
}

/// Whether a file can be written here and none is there yet.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`], with `instead`, what to do, in its words; else as for [`check_file`].
pub fn check_new_file(path: &Path, instead: &str) -> io::Result<()> {
    // A link to nowhere is something, too.
    if !path.is_dir() && fs::symlink_metadata(path).is_ok() {
        let words = format!("it exists already; {instead}");
        return Err(io::Error::new(ErrorKind::AlreadyExists, words));
    }
    check_file(path)
}

/// Makes a folder, with those above it, and looks whether files can be written there.
///
/// # Errors
/// What stands against it.
pub fn check_folder(path: &Path) -> io::Result<()> {
    let there = path.ancestors().find(|above| fs::symlink_metadata(above).is_ok());
    if let Some(file) = there.filter(|above| !above.is_dir()) {
        let words = format!("expected a folder, got the file {}; name another one", file.display());
        return Err(io::Error::new(ErrorKind::NotADirectory, words));
    }
    create_folder(path)?;
    Unfinished::new(&path.join("result"), Readers::Owner).map(drop)
}

/// As [`check_folder`], of a folder that holds nothing: results of two runs are not mixed.
///
/// # Errors
/// [`ErrorKind::DirectoryNotEmpty`] with one thing that it holds; else as for [`check_folder`].
pub fn check_empty_folder(path: &Path) -> io::Result<()> {
    check_folder(path)?;
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    let Some(first) = names.first() else { return Ok(()) };
    let words = format!(
        "expected an empty or a new folder, for old and new results would mix; it holds {}{}; name another one or empty it",
        first.display(),
        if names.len() > 1 { " and others" } else { "" }
    );
    Err(io::Error::new(ErrorKind::DirectoryNotEmpty, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(result: io::Result<()>, kind: ErrorKind, expected: &str) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn a_place_that_takes_no_file_is_told_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        check_new_file(&at("new"), "").unwrap();
        check_file(&at("new")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        refused(check_file(&at("none/new")), ErrorKind::NotFound, "there is no folder ");
        for check in [check_file(folder.path()), check_new_file(folder.path(), "")] {
            refused(check, ErrorKind::IsADirectory, "got a folder's");
        }
        fs::write(at("file"), "mine").unwrap();
        check_file(&at("file")).unwrap();
        let new = check_new_file(&at("file"), "say otherwise");
        refused(new, ErrorKind::AlreadyExists, "exists already; say otherwise");
        refused(check_file(&at("file/new")), ErrorKind::NotFound, "there is no folder ");
        assert_eq!(fs::read(at("file")).unwrap(), b"mine");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("nowhere"), at("link")).unwrap();
            refused(check_new_file(&at("link"), ""), ErrorKind::AlreadyExists, "exists already");
        }
    }

    #[test]
    fn a_folder_is_made_and_one_that_holds_something_is_not_empty() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        check_folder(&at("a/b")).unwrap();
        check_empty_folder(&at("a/b")).unwrap();
        check_folder(&at("a")).unwrap();
        refused(check_empty_folder(&at("a")), ErrorKind::DirectoryNotEmpty, "it holds b;");
        fs::write(at("a/c"), "").unwrap();
        let two = check_empty_folder(&at("a"));
        refused(two, ErrorKind::DirectoryNotEmpty, "it holds b and others;");
        for below in ["a/c", "a/c/d/e"] {
            refused(check_folder(&at(below)), ErrorKind::NotADirectory, "a/c; name another one");
        }
    }
}
