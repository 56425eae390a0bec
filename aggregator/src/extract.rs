//! Everything that root can take from an aggregator that stores in a folder, as files for
//! `ringfence-audit --operator`: tables row by row, the data folder and the marks as they lie, the
//! process's memory, its log. Keys, tokens and passwords are named, not copied.

mod memory;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ringfence_crypto::held::{ExtractList, LIST, NamedFile, TakenFolder};
use ringfence_crypto::wire::json;
use ringfence_durable::Readers;

use crate::store::sqlite_files::backup::DATABASE;
use crate::store::sqlite_files::tables::Tables;

/// Where everything lies.
#[derive(Clone, Debug, clap::Args)]
pub struct ExtractOptions {
    /// Folder that `serve` stores in
    #[arg(long, value_name = "DIR", env = "RINGFENCE_DATA")]
    pub data: PathBuf,
    /// Folder of the marks; by default beside the key, as for `serve`
    #[arg(long, value_name = "DIR", env = "RINGFENCE_MARKS")]
    pub marks: Option<PathBuf>,
    /// The aggregator's key: named in the list, not copied; so are the next four
    #[arg(long, value_name = "FILE", env = "RINGFENCE_KEY")]
    pub key: Option<PathBuf>,
    /// The administrator's token
    #[arg(long, value_name = "FILE", env = "RINGFENCE_ADMIN_TOKEN_FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Hashes of further tokens
    #[arg(long, value_name = "FILE", env = "RINGFENCE_TOKENS")]
    pub tokens: Option<PathBuf>,
    /// The certificate of its address
    #[arg(long, value_name = "FILE", env = "RINGFENCE_TLS_CERTIFICATE")]
    pub tls_certificate: Option<PathBuf>,
    /// That certificate's key
    #[arg(long, value_name = "FILE", env = "RINGFENCE_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Number of the running process, whose memory is read: as root, or as a system without restrictions
    /// lets its own user. It holds the aggregator's key
    #[arg(long, value_name = "PID")]
    pub process: Option<u32>,
    /// Log, traces, or whatever else the operator keeps: a file or a folder, once for each
    #[arg(long, value_name = "PATH")]
    pub beside: Vec<PathBuf>,
    /// Folder for all of it; it must not exist. Only its owner may read it
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// An extract that was not made.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// There is nothing to take.
    #[error("{0} has no {DATABASE}: give the folder that `serve` stores in (--data)")]
    NoData(PathBuf),
    /// The folder for it is there.
    #[error("{0} is there already: give a folder that does not exist (--out)")]
    There(PathBuf),
    /// It would take itself.
    #[error("{out} is in {within}: give a folder elsewhere (--out)")]
    Inside {
        /// Where it was to be.
        out: PathBuf,
        /// What was to be taken.
        within: PathBuf,
    },
    /// The database could not be read.
    #[error("cannot read the database of {data}: {source}")]
    Database {
        /// The data folder.
        data: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// A file or a folder.
    #[error("cannot copy or write {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The memory of a process.
    #[error(
        "cannot read the memory of process {process}: {source}; run this as root, on the machine that it runs on"
    )]
    Memory {
        /// Which process.
        process: u32,
        /// Why.
        source: io::Error,
    },
}

impl ExtractError {
    fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path: path.clone(), source }
    }
}

/// Takes everything.
///
/// # Errors
/// [`ExtractError`]; what was taken until then is in the folder.
pub async fn extract(options: &ExtractOptions) -> Result<ExtractList, ExtractError> {
    let ExtractOptions { data, out, .. } = options;
    if !data.join(DATABASE).is_file() {
        return Err(ExtractError::NoData(data.clone()));
    }
    make_folder(options)?;
    // Memory first: reading the rest does not come through the process, but takes time.
    let memory = match options.process {
        Some(process) => {
            let failed = |source| ExtractError::Memory { process, source };
            Some(memory::read(process, &out.join("memory")).map_err(failed)?)
        }
        None => None,
    };
    let failed = |source| ExtractError::Database { data: data.clone(), source };
    tables(data, &out.join("tables")).await.map_err(failed)?;
    copy(data, &out.join("data"))?;
    let marks = options.marks.clone().or_else(|| options.key.as_deref().map(beside_the_key));
    if let Some(marks) = marks.filter(|marks| marks.is_dir()) {
        copy(&marks, &out.join("marks"))?;
    }
    if !options.beside.is_empty() {
        let beside = out.join("beside");
        fs::create_dir(&beside).map_err(ExtractError::io(&beside))?;
        for (place, path) in options.beside.iter().enumerate() {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            copy(path, &beside.join(format!("{place}-{name}")))?;
        }
    }
    let program = format!("ringfence-aggregator {}", env!("CARGO_PKG_VERSION"));
    let taken = taken(out)?;
    let list = ExtractList { program, named: named(options)?, memory, taken };
    let path = out.join(LIST);
    ringfence_durable::create(&path, &json::compact(&list), Readers::Owner)
        .map_err(ExtractError::io(&path))?;
    Ok(list)
}

/// How much lies in each folder of the extract.
fn taken(out: &Path) -> Result<Vec<TakenFolder>, ExtractError> {
    let mut taken = Vec::new();
    for entry in fs::read_dir(out).map_err(ExtractError::io(out))? {
        let entry = entry.map_err(ExtractError::io(out))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut folder = TakenFolder { name, files: 0, bytes: 0 };
        add_up(&entry.path(), &mut folder)?;
        taken.push(folder);
    }
    taken.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(taken)
}

fn add_up(path: &Path, to: &mut TakenFolder) -> Result<(), ExtractError> {
    for entry in fs::read_dir(path).map_err(ExtractError::io(path))? {
        let entry = entry.map_err(ExtractError::io(path))?;
        let of = entry.metadata().map_err(ExtractError::io(&entry.path()))?;
        if of.is_dir() {
            add_up(&entry.path(), to)?;
        } else {
            (to.files, to.bytes) = (to.files + 1, to.bytes + of.len());
        }
    }
    Ok(())
}

/// Makes the folder, in which nobody else may look.
fn make_folder(options: &ExtractOptions) -> Result<(), ExtractError> {
    use std::os::unix::fs::DirBuilderExt;
    let ExtractOptions { data, out, beside, .. } = options;
    if out.exists() {
        return Err(ExtractError::There(out.clone()));
    }
    let absolute = std::path::absolute(out).map_err(ExtractError::io(out))?;
    let above = absolute.ancestors().find_map(|path| path.canonicalize().ok());
    for within in beside.iter().chain([data]) {
        let whole = within.canonicalize().map_err(ExtractError::io(within))?;
        if whole.is_dir() && above.as_ref().is_some_and(|path| path.starts_with(&whole)) {
            return Err(ExtractError::Inside { out: out.clone(), within: within.clone() });
        }
    }
    let made = fs::DirBuilder::new().mode(0o700).create(out);
    made.map_err(ExtractError::io(out))
}

/// All tables, a file each.
async fn tables(data: &Path, out: &Path) -> Result<(), sqlx::Error> {
    fs::create_dir(out)?;
    let mut tables = Tables::open(data).await?;
    for name in tables.names().await? {
        // A table's name is no path.
        let file = name.replace(['/', '\0'], "_");
        let mut file = BufWriter::new(File::create(out.join(format!("{file}.jsonl")))?);
        tables.write(&name, &mut file).await?;
        file.flush()?;
    }
    tables.close().await
}

/// A file, or a folder with all that is in it; what is removed meanwhile is not there.
fn copy(from: &Path, to: &Path) -> Result<(), ExtractError> {
    let of = fs::metadata(from).map_err(ExtractError::io(from))?;
    if !of.is_dir() {
        return match fs::copy(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            copied => copied.map(drop).map_err(ExtractError::io(from)),
        };
    }
    fs::create_dir(to).map_err(ExtractError::io(to))?;
    for entry in fs::read_dir(from).map_err(ExtractError::io(from))? {
        let entry = entry.map_err(ExtractError::io(from))?;
        match copy(&entry.path(), &to.join(entry.file_name())) {
            Err(ExtractError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

/// Files that are named.
fn named(options: &ExtractOptions) -> Result<Vec<NamedFile>, ExtractError> {
    let ExtractOptions { key, admin_token_file, tokens, tls_certificate, tls_key, .. } = options;
    let files = [
        ("key", key),
        ("admin-token-file", admin_token_file),
        ("tokens", tokens),
        ("tls-certificate", tls_certificate),
        ("tls-key", tls_key),
    ];
    let given = files.into_iter().filter_map(|(kind, path)| Some((kind, path.as_deref()?)));
    let named = |(kind, path): (&str, &Path)| {
        let bytes = fs::metadata(path).map_err(ExtractError::io(path))?.len();
        Ok(NamedFile { kind: kind.to_owned(), path: path.display().to_string(), bytes })
    };
    given.map(named).collect()
}

/// Where `serve` puts the marks unless told otherwise.
pub(crate) fn beside_the_key(key: &Path) -> PathBuf {
    let mut path = key.as_os_str().to_owned();
    path.push(".marks");
    path.into()
}
