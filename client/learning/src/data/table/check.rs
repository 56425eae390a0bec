//! What lines of a table may not say of one another.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::error::DataError;
use super::Row;
use super::columns::Columns;
use super::line::Line;

/// Refuses names that differ in case, spaces or the spelling of a number only: one site, patient or
/// class would be taken for two.
pub(super) fn spellings(columns: &Columns, lines: &[Line]) -> Result<(), DataError> {
    let mut found = BTreeMap::<(&str, String), (&str, u64)>::new();
    for line in lines {
        let group = columns.group.map(|(column, _)| (column, line.item.group.as_str()));
        let names = [
            line.item.site.as_deref().map(|site| ("site", site)),
            group,
            line.label.as_deref().map(|label| ("label", label)),
            line.label_name.as_deref().map(|name| ("label_name", name)),
        ];
        for (column, name) in names.into_iter().flatten() {
            let key = (column, folded(name));
            let (first, first_line) = *found.entry(key).or_insert((name, line.number));
            if first != name {
                return Err(DataError::Spelling {
                    path: columns.path.clone(),
                    column,
                    first: first.to_string(),
                    first_line,
                    second: name.to_string(),
                    second_line: line.number,
                });
            }
        }
    }
    Ok(())
}

/// A name without what people and spreadsheets change in it.
fn folded(name: &str) -> String {
    if let Some(number) = super::line::whole_number(name) {
        return number;
    }
    let words: Vec<String> = name.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

/// Refuses a patient or volume in two splits, or at two sites: the test would measure memory.
pub(super) fn groups(columns: &Columns, lines: &[Line]) -> Result<(), DataError> {
    // Without such a column a file is its own group, and `images` sees to it.
    let column = columns.group.map_or("file", |(name, _)| name);
    let mut found = BTreeMap::new();
    for line in lines {
        let (item, second_line) = (&line.item, line.number);
        let (first, first_line) = *found.entry(&item.group).or_insert((item, line.number));
        if first.site != item.site {
            let name = |site: &Option<String>| site.clone().unwrap_or_default();
            return Err(DataError::TwoSites {
                path: columns.path.clone(),
                column,
                group: item.group.clone(),
                first: name(&first.site),
                first_line,
                second: name(&item.site),
                second_line,
            });
        }
        if let (Some(one), Some(other)) = (first.split, item.split)
            && one != other
        {
            return Err(DataError::Straddle {
                path: columns.path.clone(),
                column,
                group: item.group.clone(),
                first: one.name(),
                first_line,
                second: other.name(),
                second_line,
            });
        }
    }
    Ok(())
}

/// Refuses an image, or a slice of a volume, in two lines.
///
/// # Errors
/// [`DataError::Twice`].
pub(in super::super) fn images(path: &Path, rows: &[Row]) -> Result<(), DataError> {
    let mut found = BTreeMap::new();
    for row in rows {
        let first: &Row = found.entry((&row.file, row.slice.unwrap_or(0))).or_insert(row);
        if !std::ptr::eq(first, row) {
            let (one, other) = (&first.item, &row.item);
            let differs = [
                (one.label != other.label, " with two labels"),
                (one.split != other.split, " in two splits"),
                (one.site != other.site, " at two sites"),
                (first.mask != row.mask, " with two masks"),
            ];
            let differs = differs.into_iter().find(|(differs, _)| *differs);
            return Err(DataError::Twice {
                path: path.to_path_buf(),
                first: first.written.clone(),
                first_line: first.line,
                second: row.written.clone(),
                second_line: row.line,
                differs: differs.map_or("", |(_, text)| text),
            });
        }
    }
    Ok(())
}
