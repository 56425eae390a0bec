//! What lines of a table may not say of one another.

use std::collections::BTreeMap;
use std::path::Path;

use unicode_normalization::UnicodeNormalization as _;

use super::super::error::DataError;
use super::columns::Columns;
use super::line::{Line, number, whole_number};
use super::{Place, Row};

/// Refuses names that differ in spelling only ([`folded`]): one site, patient or class would be taken
/// for two.
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
            let key = (column, folded(column, name));
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

/// Letters of other alphabets that nobody tells from Latin ones, small or as capitals, and these.
const ALIKE: [&str; 2] = ["авеѕіјкмнорстухαβεζηικμνορτυχ", "abesijkmhopctyxabezhikmnoptyx"];

/// A letter as it looks; `None` for what is not seen, and for apostrophes, which have many shapes.
fn seen(letter: char) -> Option<char> {
    let [others, latin] = ALIKE;
    let pair = others.chars().zip(latin.chars()).find(|(other, _)| *other == letter);
    let unseen = matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{fe0f}' | '\u{feff}');
    let apostrophe = matches!(letter, '\'' | '`' | '\u{b4}' | '\u{2018}' | '\u{2019}');
    (!unseen && !apostrophe).then(|| pair.map_or(letter, |(_, latin)| latin))
}

/// A name without what people and programs change in it: case, spaces, dashes, a number's spelling,
/// how letters are encoded, what is not seen, and the alphabet of letters that look alike. Of labels
/// also what says yes and no.
pub(super) fn folded(column: &str, name: &str) -> String {
    // Upper case first, for letters whose lower case has two spellings.
    let name: String = name.nfkc().collect::<String>().to_uppercase().to_lowercase();
    let name: String = name.nfkc().filter_map(seen).collect();
    if let Some(number) = whole_number(&name) {
        return number;
    }
    if let Some(number) = number(&name) {
        return number.to_string();
    }
    if column.starts_with("label") {
        match name.as_str() {
            "true" | "yes" => return "1".to_string(),
            "false" | "no" => return "0".to_string(),
            _ => {}
        }
    }
    let is_space = |letter: char| {
        letter.is_whitespace()
            || "-_\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2212}".contains(letter)
    };
    let words = name.split(is_space).filter(|word| !word.is_empty());
    words.fold(String::new(), |mut folded, word| {
        // `1-12` and `11-2` are two.
        let parts_digits = folded.ends_with(|letter: char| letter.is_ascii_digit())
            && word.starts_with(|letter: char| letter.is_ascii_digit());
        folded.extend(parts_digits.then_some('-'));
        folded + word
    })
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
            return Err(twice(path, first, row));
        }
    }
    Ok(())
}

/// Refuses a folder of slices beside one of its files, or beside a folder that shares one: that slice
/// would be two images. A slice is no mask of its own series either.
///
/// # Errors
/// [`DataError::Twice`], [`DataError::OwnMask`].
pub(super) fn series(path: &Path, rows: &[Row]) -> Result<(), DataError> {
    let folder = path.parent().unwrap_or(path);
    let mut files = BTreeMap::<&str, (&Row, Vec<Place>)>::new();
    for row in rows {
        let within = || (row, Place::within(&folder.join(&row.file)));
        files.entry(&row.file).or_insert_with(within);
    }
    let mut owners = BTreeMap::<&Place, &Row>::new();
    for (row, place) in files.values().flat_map(|(row, within)| within.iter().map(|of| (*row, of)))
    {
        if let Some(first) = owners.insert(place, row) {
            return Err(twice_in_order(path, first, row));
        }
    }
    for row in rows {
        if let Some(owner) = owners.get(&Place::of(&folder.join(&row.file))) {
            return Err(twice_in_order(path, owner, row));
        }
        let mask = row.mask.as_ref().map(|mask| Place::of(&folder.join(mask)));
        if mask.is_some_and(|mask| owners.get(&mask).is_some_and(|of| of.file == row.file)) {
            let (path, file) = (path.to_path_buf(), row.file.clone());
            return Err(DataError::OwnMask { path, line: row.line, file });
        }
    }
    Ok(())
}

fn twice_in_order(path: &Path, one: &Row, other: &Row) -> DataError {
    if one.line <= other.line { twice(path, one, other) } else { twice(path, other, one) }
}

fn twice(path: &Path, first: &Row, row: &Row) -> DataError {
    let (one, other) = (&first.item, &row.item);
    let differs = [
        (one.label != other.label, " with two labels"),
        (one.split != other.split, " in two splits"),
        (one.site != other.site, " at two sites"),
        (first.mask != row.mask, " with two masks"),
    ];
    let differs = differs.into_iter().find(|(differs, _)| *differs);
    DataError::Twice {
        path: path.to_path_buf(),
        first: first.written.clone(),
        first_line: first.line,
        second: row.written.clone(),
        second_line: row.line,
        differs: differs.map_or("", |(_, text)| text),
    }
}
