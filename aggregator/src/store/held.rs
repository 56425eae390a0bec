//! What is stored of a study, counted. Tables are taken from the database's own schema and files from
//! where they lie: what a later version or somebody else puts there is counted under its own name, and
//! not left out because nobody thought of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ringfence_crypto::held::Place;

use crate::store::terms::StoreError;

/// Files of a study that are counted at most: what is beyond is said to be there, and not counted.
pub(crate) const MOST_FILES: u64 = 200_000;

/// Folders below a study's own: round, kind, and parts of a body under its site.
const DEPTH: usize = 5;

/// All that is stored of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Where.
    pub(crate) place: Place,
    /// The table, with the kind of event in it; or the folder.
    pub(crate) kind: String,
    /// Rows or files.
    pub(crate) count: u64,
    /// Bytes of the rows' values, or of the files.
    pub(crate) bytes: u64,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Of each kind of which there is something, by name.
    pub(crate) held: Vec<Held>,
    /// Whether there is more than was counted.
    pub(crate) more: bool,
}

/// Files as they are found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    kinds: BTreeMap<String, (u64, u64)>,
    files: u64,
}

impl Tally {
    /// Counts a file by its path below the study's folder. False: no more are counted.
    pub(crate) fn add(&mut self, path: &str, bytes: u64) -> bool {
        if self.files == MOST_FILES {
            return false;
        }
        self.files += 1;
        let (count, sum) = self.kinds.entry(kind_of(path)).or_default();
        *count += 1;
        *sum = sum.saturating_add(bytes);
        true
    }

    /// What was counted, and whether there was more.
    pub(crate) fn counted(self, more: bool) -> Counted {
        let held = |(kind, (count, bytes))| Held { place: Place::Files, kind, count, bytes };
        Counted { held: self.kinds.into_iter().map(held).collect(), more }
    }
}

/// `ROUND/bodies/SITE` is of the kind `bodies`; what has another form is its own kind.
fn kind_of(path: &str) -> String {
    let pieces: Vec<&str> = path.split('/').collect();
    let kind = match pieces.as_slice() {
        [.., last] if last.starts_with(".unfinished") => "unfinished",
        [_, "bodies", name] if name.ends_with(".part") => "parts",
        [_, kind] | [_, kind, ..] => kind,
        _ => path,
    };
    kind.to_owned()
}

/// Counts the files below a study's folder.
pub(crate) fn count_files(root: &Path) -> Result<Counted, StoreError> {
    let mut tally = Tally::default();
    let mut left = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, path, depth)) = left.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // A file may go while others are counted.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            let Ok(found) = entry.metadata() else { continue };
            if found.is_dir() && depth < DEPTH {
                left.push((entry.path(), path, depth + 1));
            } else if !tally.add(&path, found.len()) {
                return Ok(tally.counted(true));
            }
        }
    }
    Ok(tally.counted(false))
}

/// Which database writes the question.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// A question for each table that has a column `study`, from the schema's rows of table, column and
/// type: kind, rows and bytes. Its one parameter is the study.
pub(crate) fn questions(
    dialect: Dialect,
    schema: Vec<(String, String, String)>,
) -> Vec<(String, String)> {
    let mut tables: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (table, column, kind) in schema {
        tables.entry(table).or_default().push((column, kind));
    }
    tables.retain(|_, columns| columns.iter().any(|(name, _)| name == "study"));
    tables.into_iter().map(|(table, columns)| question(dialect, table, &columns)).collect()
}

fn question(dialect: Dialect, table: String, columns: &[(String, String)]) -> (String, String) {
    let length = |(name, kind): &(String, String)| match (dialect, kind.to_lowercase().as_str()) {
        // Of bytes the length stands in the row: they are not read.
        (Dialect::Sqlite, "blob") => format!("coalesce(length(\"{name}\"), 0)"),
        (Dialect::Sqlite, _) => format!("coalesce(length(CAST(\"{name}\" AS BLOB)), 0)"),
        (Dialect::Postgres, "bytea") => format!("coalesce(octet_length(\"{name}\"), 0)"),
        (Dialect::Postgres, _) => format!("coalesce(octet_length(\"{name}\"::text), 0)"),
    };
    let bytes = columns.iter().map(length).collect::<Vec<_>>().join(" + ");
    // An event's JSON begins with its kind: {"announced":...
    let kind = match (dialect, table.as_str()) {
        (Dialect::Sqlite, "events") => {
            "substr(CAST(substr(event, 3, 24) AS TEXT), 1, \
             instr(CAST(substr(event, 3, 24) AS TEXT), '\"') - 1)"
        }
        (Dialect::Postgres, "events") => {
            "split_part(encode(substring(event from 3 for 24), 'escape'), '\"', 1)"
        }
        _ => "''",
    };
    let (number, parameter) = match dialect {
        Dialect::Sqlite => ("INTEGER", "?"),
        Dialect::Postgres => ("BIGINT", "$1"),
    };
    let text = format!(
        "SELECT {kind} AS kind, CAST(count(*) AS {number}), CAST(coalesce(sum({bytes}), 0) AS {number}) \
         FROM \"{table}\" WHERE study = {parameter} GROUP BY 1 ORDER BY 1"
    );
    (table, text)
}

/// What the answer to a question says of a table.
pub(crate) fn of_rows(table: &str, rows: Vec<(String, i64, i64)>) -> impl Iterator<Item = Held> {
    rows.into_iter().filter(|(_, count, _)| *count > 0).map(move |(kind, count, bytes)| Held {
        place: Place::Table,
        kind: if kind.is_empty() { table.to_owned() } else { format!("{table}: {kind}") },
        count: count.cast_unsigned(),
        bytes: bytes.cast_unsigned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_counted_under_its_folder_and_a_strange_one_under_its_own_name() {
        for (path, kind) in [
            ("0/bodies/site-1", "bodies"),
            ("0/bodies/site-1.part", "parts"),
            ("3/parts/site-1/00000000000000000000", "parts"),
            ("0/openings/.unfinished-x", "unfinished"),
            ("0/sum", "sum"),
            ("0/plaintext/site-1", "plaintext"),
            ("notes.txt", "notes.txt"),
        ] {
            assert_eq!(kind_of(path), kind, "{path}");
        }
    }

    #[test]
    fn files_are_counted_where_they_lie_and_no_more_than_so_many() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("0/bodies")).unwrap();
        fs::write(at("0/bodies/site-1"), [0; 100]).unwrap();
        fs::write(at("0/left-behind"), [0; 7]).unwrap();
        let held =
            |kind: &str, bytes| Held { place: Place::Files, kind: kind.into(), count: 1, bytes };
        let counted = count_files(folder.path()).unwrap();
        assert_eq!(counted.held, [held("bodies", 100), held("left-behind", 7)]);
        assert_eq!(count_files(&at("nowhere")).unwrap(), Counted::default());
        let mut tally = Tally { files: MOST_FILES, ..Tally::default() };
        assert!(!tally.add("0/sum", 1));
    }
}
