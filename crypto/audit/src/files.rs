//! Where an export's files come from: a folder of the machine ([`Disk`]), or what a page in a browser
//! was given.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// The files of an export, by their names as `docs/audit.md` lists them, with `/` between folder and
/// file.
pub trait Files {
    /// What the whole is called in an error.
    fn name(&self) -> String;

    /// Bytes of a file; none where there is none.
    ///
    /// # Errors
    /// Where it cannot be told, or what stands there is no plain file, which may never end.
    fn length(&self, file: &str) -> io::Result<Option<u64>>;

    /// Exactly so many bytes of a file from `start` on, put in the place of what `into` holds.
    ///
    /// # Errors
    /// Where they cannot be read, or the file ends before.
    fn read(&self, file: &str, start: u64, length: usize, into: &mut Vec<u8>) -> io::Result<()>;

    /// The names in a folder, in any order; none where there is no such folder.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn names(&self, folder: &str, each: &mut dyn FnMut(&str)) -> io::Result<()>;
}

/// A folder of this machine.
#[derive(Clone, Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// The folder of an export.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Disk {
    /// What stands at a path below the folder, none where nothing does. Who made the export may have
    /// put links into it, whose targets are the reader's own files.
    fn unlinked(&self, path: &str) -> io::Result<Option<Metadata>> {
        let mut at = self.0.clone();
        let mut of = None;
        for part in path.split('/') {
            at.push(part);
            match fs::symlink_metadata(&at) {
                Ok(found) if found.is_symlink() => {
                    return Err(io::Error::other(
                        "it is a link, and an export has files of its own: fetch it again, or put a copy in its place",
                    ));
                }
                Ok(found) => of = Some(found),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(of)
    }
}

impl Files for Disk {
    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn length(&self, file: &str) -> io::Result<Option<u64>> {
        match self.unlinked(file)? {
            Some(of) if of.is_file() => Ok(Some(of.len())),
            Some(_) => Err(io::Error::other("it is no plain file")),
            None => Ok(None),
        }
    }

    fn read(&self, file: &str, start: u64, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
        // Opening what is no plain file may wait for ever.
        self.length(file)?.ok_or(io::ErrorKind::NotFound)?;
        let mut file = File::open(self.0.join(file))?;
        file.seek(SeekFrom::Start(start))?;
        into.clear();
        let got = file.take(length as u64).read_to_end(into)?;
        match got == length {
            true => Ok(()),
            false => Err(io::Error::other(format!("it ends {} bytes too early", length - got))),
        }
    }

    fn names(&self, folder: &str, each: &mut dyn FnMut(&str)) -> io::Result<()> {
        match self.unlinked(folder)? {
            Some(of) if of.is_dir() => {}
            Some(_) => return Err(io::Error::other("it is no folder; fetch the export again")),
            None => return Ok(()),
        }
        for entry in fs::read_dir(self.0.join(folder))? {
            // One that is no text is none of an export.
            if let Some(name) = entry?.file_name().to_str() {
                each(name);
            }
        }
        Ok(())
    }
}
