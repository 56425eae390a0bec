//! The files of an extract, each with what it is.
//!
//! ```text
//! held.json                      what is not in it: an `ExtractList`
//! tables/NAME.jsonl              a table's rows, an object a line; bytes as text or {"hex": "..."}
//! data/                          the data folder as it lies
//! marks/                         the marks as they lie
//! memory/START-END, memory/maps  the process's memory
//! beside/                        log, traces, and what else the operator gave
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use ringfence_crypto::held::{self, ExtractList, LIST, Place, TakenFolder};
use ringfence_crypto::wire::json;

use super::OperatorError;

/// Most bytes of the list.
const MAX_LIST: usize = 1 << 20;

/// A file of an extract.
#[derive(Clone, Debug)]
pub(super) struct ExtractFile {
    /// Its path in the folder.
    pub(super) name: String,
    /// What it is, as in [`held::HELD`]; none where the list does not know it.
    pub(super) kind: Option<&'static str>,
    pub(super) bytes: u64,
}

/// An extract.
#[derive(Debug)]
pub(super) struct Extract {
    pub(super) root: PathBuf,
    pub(super) list: ExtractList,
    pub(super) files: Vec<ExtractFile>,
    /// Paths that the list of what is held does not know.
    pub(super) unknown: Vec<String>,
    /// Folders in which less lies, or more, than was taken.
    pub(super) altered: Vec<String>,
}

impl Extract {
    pub(super) fn read(root: &Path) -> Result<Self, OperatorError> {
        let path = root.join(LIST);
        let list = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OperatorError::NoList(root.to_owned()));
            }
            list => list.map_err(OperatorError::read(&path))?,
        };
        let list = json::parse(&list, MAX_LIST, "list of an extract")?;
        let mut files = Vec::new();
        walk(root, "", &mut files)?;
        files.sort_by(|one, other| one.name.cmp(&other.name));
        let unknown = files.iter().filter(|file| file.kind.is_none() && file.name != LIST);
        let unknown = unknown.map(|file| file.name.clone()).collect();
        let altered = altered(&list, &files);
        Ok(Self { root: root.to_owned(), list, files, unknown, altered })
    }

    pub(super) fn path(&self, file: &ExtractFile) -> PathBuf {
        self.root.join(&file.name)
    }

    /// The files of a kind.
    pub(super) fn of(&self, kind: &str) -> impl Iterator<Item = &ExtractFile> {
        self.files.iter().filter(move |file| file.kind == Some(kind))
    }

    /// How many files of a kind there are, and their bytes; none where there is none.
    pub(super) fn counted(&self, kind: &str) -> Option<(u64, u64)> {
        let of_files = self.of(kind).map(|file| file.bytes);
        let named = self.list.named.iter().filter(|named| named.kind == kind);
        let sizes: Vec<u64> = of_files.chain(named.map(|named| named.bytes)).collect();
        (!sizes.is_empty()).then(|| (sizes.len() as u64, sizes.iter().sum()))
    }
}

/// What is not as the list says that it was taken.
fn altered(list: &ExtractList, files: &[ExtractFile]) -> Vec<String> {
    let differs = |taken: &TakenFolder| {
        let within =
            files.iter().filter(|file| file.name.split('/').next() == Some(taken.name.as_str()));
        let here = within.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.bytes));
        (here != (taken.files, taken.bytes)).then_some(here)
    };
    let said = list.taken.iter().filter_map(|taken| {
        let (files, bytes) = differs(taken)?;
        Some(format!(
            "{}: {} files of {} bytes were taken, {files} files of {bytes} bytes are here",
            taken.name, taken.files, taken.bytes
        ))
    });
    said.collect()
}

/// All files; a link is one of its own and not followed.
fn walk(root: &Path, within: &str, files: &mut Vec<ExtractFile>) -> Result<(), OperatorError> {
    let folder = root.join(within);
    for entry in fs::read_dir(&folder).map_err(OperatorError::read(&folder))? {
        let entry = entry.map_err(OperatorError::read(&folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let name = if within.is_empty() { name } else { format!("{within}/{name}") };
        let of = entry.metadata().map_err(OperatorError::read(&entry.path()))?;
        if of.is_dir() {
            walk(root, &name, files)?;
        } else {
            let kind = of.is_file().then(|| kind_of(&name)).flatten();
            files.push(ExtractFile { name, kind, bytes: of.len() });
        }
    }
    Ok(())
}

/// What a file is, by where it lies.
fn kind_of(name: &str) -> Option<&'static str> {
    let parts: Vec<&str> = name.split('/').collect();
    let table = |kind: &str| held::of(kind).filter(|held| held.place == Place::Table);
    let kind = match parts.as_slice() {
        ["tables", table_file] => table(table_file.strip_suffix(".jsonl")?)?.kind,
        ["marks", ..] => "marks",
        ["memory", _] => "memory",
        ["beside", ..] => "beside",
        ["data", "lock"] => "lock",
        ["data", file] if file.strip_prefix("statements.sqlite").is_some_and(is_database) => {
            "database"
        }
        ["data", "studies", _study, rest @ ..] => match rest {
            [.., last] if last.starts_with(".unfinished-") => "unfinished",
            [_round, "bodies", site] if site.ends_with(".part") => "parts",
            [_round, "bodies", _site] => "bodies",
            [_round, "envelopes", _site] => "envelopes",
            [_round, "openings", _digest] => "openings",
            [_round, "sum"] => "sum",
            _ => return None,
        },
        _ => return None,
    };
    held::of(kind).map(|held| held.kind)
}

/// What SQLite lays beside a database.
fn is_database(ending: &str) -> bool {
    matches!(ending, "" | "-wal" | "-shm" | "-journal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said_to_be_so() {
        for (name, kind) in [
            ("tables/events.jsonl", Some("events")),
            ("tables/plaintexts.jsonl", None),
            ("tables/bodies.jsonl", None),
            ("data/studies/ab/0/bodies/a", Some("bodies")),
            ("data/studies/ab/0/bodies/a.part", Some("parts")),
            ("data/studies/ab/0/updates/a", None),
            ("data/studies/ab/0/sum", Some("sum")),
            ("data/statements.sqlite-wal", Some("database")),
            ("data/statements.sqlite.copy", None),
            ("data/debug", None),
            ("memory/maps", Some("memory")),
            ("marks/ab", Some("marks")),
            ("beside/aggregator.log", Some("beside")),
            ("other", None),
        ] {
            assert_eq!(kind_of(name), kind, "{name}");
        }
    }
}
