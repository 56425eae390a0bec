//! A copy of a data folder, also while an aggregator serves it.
//!
//! The database first, in one state of it; then the files. A statement is stored after the file that
//! it names, and a file under its final name never changes: so the copy has every file of its
//! database, and maybe some that are newer. What is on its way is left out, its site sends it again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ringfence_durable::{Readers, Unfinished};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

/// The database's name in a data folder.
pub(crate) const DATABASE: &str = "statements.sqlite";

/// The folder of files in it.
const STUDIES: &str = "studies";

/// A copy that was not made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("{0} has no {DATABASE}: give the folder that `serve` stores in (--data)")]
    NoData(PathBuf),
    /// It would copy into itself.
    #[error("{to} is in {data}: give a folder on another disk")]
    Inside {
        /// Where the copy was to be.
        to: PathBuf,
        /// What was to be copied.
        data: PathBuf,
    },
    /// The database could not be copied.
    #[error("cannot copy the database {path}: {source}")]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// A file or a folder.
    #[error("cannot copy to {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a copy has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// Files beside the database.
    pub files: u64,
    /// Those among them that an earlier copy did not have.
    pub new: u64,
}

/// Copies the data folder `data` into the folder `to`, which may have an earlier copy: what that has
/// already is not copied again. Durable when it returns; what a try left that was cut is made good
/// by the next one.
///
/// # Errors
/// [`BackupError`] says what is wrong; an earlier copy's database is then as it was.
pub async fn back_up(data: &Path, to: &Path) -> Result<Backup, BackupError> {
    let database = data.join(DATABASE);
    if !database.is_file() {
        return Err(BackupError::NoData(data.to_owned()));
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::Io { path, source }
    };
    let whole = data.canonicalize().map_err(io(data))?;
    // It need not be there yet: the nearest folder above it is.
    let absolute = std::path::absolute(to).map_err(io(to))?;
    let there = absolute.ancestors().find_map(|path| path.canonicalize().ok());
    if there.is_some_and(|path| path.starts_with(whole)) {
        return Err(BackupError::Inside { to: to.to_owned(), data: data.to_owned() });
    }
    ringfence_durable::create_folder(to).map_err(io(to))?;
    ringfence_durable::clear_unfinished(to).map_err(io(to))?;
    // Its final name comes last: a copy of the database is never without its files.
    let copied = to.join(DATABASE);
    let unfinished = Unfinished::new(&copied, Readers::Owner).map_err(io(&copied))?;
    let failed = |source| BackupError::Database { path: database.clone(), source };
    copy_database(&database, unfinished.path()).await.map_err(failed)?;
    let mut backup = Backup::default();
    let studies = data.join(STUDIES);
    if studies.is_dir() {
        copy_folder(&studies, &to.join(STUDIES), &mut backup)?;
    }
    unfinished.replace().map_err(io(&copied))?;
    Ok(backup)
}

/// Writes one state of the database into an empty file.
async fn copy_database(from: &Path, to: &Path) -> Result<(), sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(from).read_only(true);
    let mut connection: SqliteConnection = options.connect().await?;
    let to = to.to_string_lossy().into_owned();
    sqlx::query("VACUUM INTO ?").bind(to).execute(&mut connection).await?;
    connection.close().await
}

/// Copies what is finished in a folder and below it. A file that is removed meanwhile was found to be
/// damaged, and is sent again.
fn copy_folder(from: &Path, to: &Path, backup: &mut Backup) -> Result<(), BackupError> {
    let io = |source| BackupError::Io { path: to.to_owned(), source };
    ringfence_durable::create_folder(to).map_err(io)?;
    ringfence_durable::clear_unfinished(to).map_err(io)?;
    for entry in fs::read_dir(from).map_err(io)? {
        let entry = entry.map_err(io)?;
        // What is on its way has a dot in its name.
        if entry.file_name().to_string_lossy().contains('.') {
            continue;
        }
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(io)?.is_dir() {
            copy_folder(&from, &to, backup)?;
            continue;
        }
        let io = |source| BackupError::Io { path: to.clone(), source };
        let mut file = match File::open(&from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(io)?,
        };
        backup.files += 1;
        let length = file.metadata().map_err(io)?.len();
        if fs::metadata(&to).is_ok_and(|there| there.len() == length) {
            continue;
        }
        let mut copy = Unfinished::new(&to, Readers::Owner).map_err(io)?;
        io::copy(&mut file, &mut copy).map_err(io)?;
        copy.put().map_err(io)?;
        backup.new += 1;
    }
    // Also where nothing is new: a try that was cut may have named files without this.
    ringfence_durable::sync_folder(to).map_err(io)
}
