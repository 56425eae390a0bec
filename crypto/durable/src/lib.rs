//! Files that after a crash are there whole or not at all.
//!
//! A file is written beside its place under a name of its own, synced, moved to its place, and then
//! the folder is synced: a name is durable only once its folder is. What a crash leaves
//! half-written begins with [`UNFINISHED`], and [`clear_unfinished`] removes it. Whether a place takes
//! a file is asked beforehand by [`place`]. [`lock`](fn@lock) keeps a folder for one process. What people write is read by [`text::decode`].
#![forbid(unsafe_code)]

mod advice;
mod lock;
pub mod place;
mod syncs;
pub mod text;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

pub use advice::{advice, advice_on_room};
pub use lock::{HANDED_BACK_WITHIN, lock};
pub use syncs::Syncs;
use tempfile::NamedTempFile;

/// How the names of files begin that are still being written.
pub const UNFINISHED: &str = ".unfinished-";

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone.
    Owner,
    /// Whoever the user's settings (umask) let read it.
    Usual,
}

/// Writes a file; one that is there is replaced. Durable when it returns.
///
/// # Errors
/// What the operating system says; the file is then as it was.
pub fn write(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mut file = Unfinished::new(path, readers)?;
    file.write_all(bytes)?;
    file.replace()
}

/// Writes a file; one that is there is replaced. After a crash it is whole, or as it was: its name is
/// not synced. For what can be made again, and is at hand whole or not at all.
///
/// # Errors
/// What the operating system says; the file is then as it was.
pub fn write_whole(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mut file = Unfinished::new(path, readers)?;
    file.write_all(bytes)?;
    file.put().map(drop)
}

/// Writes a file that must not be there yet: a decision is made once. Durable when it returns.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], or what the operating system says; nothing was written then.
pub fn create(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mut file = Unfinished::new(path, readers)?;
    file.write_all(bytes)?;
    file.create()
}

/// A file that is being written and not at its place yet. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Unfinished {
    file: NamedTempFile,
    path: PathBuf,
}

impl Unfinished {
    /// Begins the file that is to lie at `path`, in the same folder.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new(path: &Path, readers: Readers) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(match readers {
            Readers::Owner => 0o600,
            Readers::Usual => 0o666,
        }));
        #[cfg(not(unix))]
        let _ = readers;
        let file = builder.tempfile_in(folder(path)).map_err(without_path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Where the bytes are until the file is finished.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Brings the file to its place, in the place of one that is there.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn replace(self) -> io::Result<()> {
        sync_folder_of(&self.put()?)
    }

    /// Brings the file to its place, in the place of one that is there; answers with the place. Its
    /// bytes are durable then, its name once its folder is synced: for several files of one folder,
    /// which is synced once.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn put(self) -> io::Result<PathBuf> {
        self.sync()?;
        self.file.persist(&self.path)?;
        Ok(self.path)
    }

    /// Brings the file to its place unless one is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or what the operating system says.
    pub fn create(self) -> io::Result<()> {
        sync_folder_of(&self.put_new()?)
    }

    /// Brings the file to its place unless one is there, as [`Unfinished::put`] does.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or what the operating system says.
    pub fn put_new(self) -> io::Result<PathBuf> {
        self.sync()?;
        self.file.persist_noclobber(&self.path)?;
        Ok(self.path)
    }

    /// Brings the file to its place, in the place of one that is there, and syncs nothing: for what can
    /// be made again. A power cut may leave an empty file.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn put_unsynced(self) -> io::Result<()> {
        self.file.persist(&self.path)?;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        syncs::synced(&self.path, self.file.as_file());
        Ok(())
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Not by the named file, whose errors have its passing name in them.
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

/// What the operating system says of a file with a passing name, without that name: whoever asked
/// for the file says which one it was to be.
#[must_use]
pub fn without_path(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.split_once(" at path ") {
        // The error itself does not hand out what it wraps.
        Some((said, _)) => io::Error::new(error.kind(), said.to_owned()),
        None => error,
    }
}

/// Writes a file whole or leaves none, one that is there included: a result among many that can be
/// made again. It is not synced, so that a crash of the machine may take it.
///
/// # Errors
/// What the operating system says; there is no such file then.
pub fn write_result(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes).inspect_err(|_| {
        // Where it could not even be made, there is none. A device is not taken away.
        if path.is_file() {
            let _ = fs::remove_file(path);
        }
    })
}

/// Reads a file whole, if it has at most `limit` bytes: another file than the one that was meant, or
/// a device without an end, must not fill the memory.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`], with no more than `limit` bytes read, or what the operating
/// system says.
pub fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // Made in one piece: a secret leaves no copy behind in memory that was too small.
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(length.min(limit).saturating_add(1));
    file.take((limit as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        let words =
            format!("expected a file of at most {limit} bytes, got more: is it the right one?");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
    }
    Ok(bytes)
}

/// Reads a regular file whole, however long it is. A device or a pipe does not say how long, and is
/// refused.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] when it is none, or what the operating system says.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        let words = "expected a regular file, got a device, a pipe or a folder";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
    }
    read(path, usize::try_from(about.len()).unwrap_or(usize::MAX))
}

/// Gives a finished file another name in its folder, durably.
///
/// # Errors
/// What the operating system says.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let file = File::open(from)?;
    file.sync_all()?;
    syncs::synced(from, &file);
    fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Makes what was created, renamed or removed in a folder durable.
///
/// # Errors
/// What the operating system says.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = File::open(path)?;
    folder.sync_all()?;
    syncs::synced(path, &folder);
    Ok(())
}

/// Makes the bytes and the length of a file durable that is written in its place; `path` is where it
/// lies. Its name is durable once its folder is synced.
///
/// # Errors
/// What the operating system says. What was written since the last sync may be lost then, although it
/// can be read: it must not be relied upon, and another sync that succeeds does not bring it back.
pub fn sync_data(path: &Path, file: &File) -> io::Result<()> {
    file.sync_data()?;
    syncs::synced(path, file);
    Ok(())
}

/// Makes what was created, renamed or removed in the folder of `path` durable.
///
/// # Errors
/// What the operating system says.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    sync_folder(folder(path))
}

/// Makes a folder and those above it. Those that this call makes are durable when it returns.
///
/// A folder that is there already is left as it is, unsynced: where an earlier process crashed
/// between making it and syncing the one above, it may still be lost. Who builds on folders of
/// earlier processes calls [`sync_folder`], once at its start, on each folder that holds some.
///
/// # Errors
/// What the operating system says.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = folder(path);
    if above != path {
        create_folder(above)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder_of(path)
}

/// Removes what a crash left half-written in a folder. Nobody may be writing there meanwhile.
///
/// # Errors
/// What the operating system says.
pub fn clear_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The folder of a path; a bare file name lies in the working folder.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) => Path::new("."),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_a_decision_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        create(&path, b"first", Readers::Owner).unwrap();
        let again = create(&path, b"second", Readers::Owner).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        write(&path, b"third", Readers::Owner).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_more_bytes_than_expected_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!(read_regular(&path).unwrap(), b"four");
        assert_eq!(read(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        #[cfg(unix)]
        {
            let endless = read(Path::new("/dev/zero"), 1000).unwrap_err();
            assert!(endless.to_string().contains("at most 1000 bytes"), "{endless}");
            let endless = read_regular(Path::new("/dev/zero")).unwrap_err();
            assert!(endless.to_string().contains("expected a regular file"), "{endless}");
        }
    }

    #[test]
    fn what_is_not_finished_is_not_there_and_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = Unfinished::new(&path, Readers::Usual).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // As a kill leaves it.
        fs::write(folder.path().join(".unfinished-x"), b"half").unwrap();
        fs::write(&path, b"whole").unwrap();
        clear_unfinished(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_could_not_be_written_is_not_there_and_its_passing_name_is_not_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/file");
        let error = write(&path, b"bytes", Readers::Usual).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(error.to_string(), "No such file or directory (os error 2)");
        let error = write_result(&path, b"bytes").unwrap_err();
        assert_eq!(error.to_string(), "No such file or directory (os error 2)");
        let full = Path::new("/dev/full");
        if full.exists() {
            let error = write_result(full, b"bytes").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert!(full.exists());
        }
    }

    #[test]
    fn folders_are_made_with_those_above_them() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create_folder(&deep).unwrap();
        create_folder(&deep).unwrap();
        assert!(deep.is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str, readers| {
            let path = folder.path().join(name);
            write(&path, b"", readers).unwrap();
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode("secret", Readers::Owner), 0o600);
        assert_ne!(mode("usual", Readers::Usual) & 0o600, 0);
    }
}
