//! Where an export's files come from: a folder of the machine ([`Disk`]), or what a page in a browser
//! was given.

use std::fs::{self, File};
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

impl Files for Disk {
    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn length(&self, file: &str) -> io::Result<Option<u64>> {
        match fs::metadata(self.0.join(file)) {
            Ok(of) if of.is_file() => Ok(Some(of.len())),
            Ok(_) => Err(io::Error::other("it is no plain file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
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
        let entries = match fs::read_dir(self.0.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            // One that is no text is none of an export.
            if let Some(name) = entry?.file_name().to_str() {
                each(name);
            }
        }
        Ok(())
    }
}
