//! Which column of a table is which.

use std::path::{Path, PathBuf};

use super::super::error::DataError;
use super::super::options::DataOptions;
use super::sheet::Sheet;

/// The columns that are read, as they are written in the docs.
const KNOWN: [&str; 9] =
    ["file", "label", "mask", "site", "patient", "volume", "split", "slice", "label_name"];
/// Ends of names that say nothing else: `site_name` is the site, `patient nr` the patient.
const ENDS: [&str; 12] =
    ["s", "id", "ids", "name", "names", "nr", "no", "num", "number", "code", "file", "path"];
/// Other words for the columns whose absence would silently divide the data otherwise.
const OTHER_WORDS: [(&str, &str); 14] = [
    ("set", "split"),
    ("subset", "split"),
    ("partition", "split"),
    ("fold", "split"),
    ("facility", "site"),
    ("mrn", "patient"),
    ("patienten", "patient"),
    ("hospital", "site"),
    ("institution", "site"),
    ("clinic", "site"),
    ("centre", "site"),
    ("center", "site"),
    ("subject", "patient"),
    ("pid", "patient"),
];

/// Where the columns stand.
pub(super) struct Columns {
    pub(super) path: PathBuf,
    pub(super) file: usize,
    pub(super) slice: Option<usize>,
    pub(super) label: Option<usize>,
    pub(super) label_name: Option<usize>,
    pub(super) site: Option<usize>,
    pub(super) mask: Option<usize>,
    pub(super) split: Option<usize>,
    /// The same column, also where splits are ignored.
    pub(super) said_split: Option<usize>,
    pub(super) group: Option<(&'static str, usize)>,
    /// Names of the columns that are not used, as written.
    pub(super) unused: Vec<String>,
    /// Whether a comma in a number can only be a decimal one.
    pub(super) decimal_comma: bool,
}

impl Columns {
    /// Finds the columns by their names, whatever their case, spaces and underscores.
    ///
    /// # Errors
    /// [`DataError::Column`] where one is missing, [`DataError::TwoColumns`] where two are one, and
    /// [`DataError::Resembling`] where a name is like one that is missing.
    pub(super) fn find(
        path: &Path,
        sheet: &Sheet,
        options: &DataOptions,
    ) -> Result<Self, DataError> {
        let header = &sheet.header;
        let at = |name: &str| header.iter().position(|column| known(column) == Some(name));
        for (index, column) in header.iter().enumerate() {
            let first = known(column).and_then(at).filter(|first| *first < index);
            if let (Some(first), Some(name)) = (first, known(column)) {
                return Err(DataError::TwoColumns {
                    path: path.to_path_buf(),
                    column: name,
                    first: header.get(first).cloned().unwrap_or_default(),
                    second: column.clone(),
                });
            }
        }
        let lacks = |name: &&'static str| at(name).is_none();
        for column in header.iter().filter(|column| known(column).is_none()) {
            if let Some(missing) = resembled(column).filter(lacks) {
                return Err(DataError::Resembling {
                    path: path.to_path_buf(),
                    column: missing,
                    found: column.clone(),
                });
            }
        }
        let missing = |column| DataError::Column {
            path: path.to_path_buf(),
            column,
            found: header.clone(),
            delimiter: super::sheet::named(sheet.delimiter),
        };
        let group = |name: &'static str| at(name).map(|column| (name, column));
        let file = at("file").ok_or_else(|| missing("`file`"))?;
        let (label, mask) = (at("label"), at("mask"));
        if label.is_none() && mask.is_none() {
            return Err(missing("`label` or `mask`"));
        }
        let group = group("patient").or_else(|| group("volume"));
        let used = |column: &String| match known(column) {
            Some("volume") => group.is_some_and(|(name, _)| name == "volume"),
            Some("split") => !options.ignore_split,
            name => name.is_some(),
        };
        let unused = header.iter().filter(|column| !used(column));
        Ok(Self {
            path: path.to_path_buf(),
            file,
            slice: at("slice"),
            label,
            label_name: at("label_name"),
            site: at("site"),
            mask,
            split: at("split").filter(|_| !options.ignore_split),
            said_split: at("split"),
            group,
            unused: unused.cloned().collect(),
            decimal_comma: sheet.delimiter != b',',
        })
    }

    pub(super) fn field_error(
        &self,
        line: u64,
        column: &'static str,
        expected: &'static str,
        found: &str,
    ) -> DataError {
        let (path, found) = (self.path.clone(), found.to_string());
        DataError::Field { path, line, column, expected, found }
    }
}

/// The column that a name means: the same letters, or DICOM's `PatientID`.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let letters = letters(name);
    let letters = if letters == "patientid" { "patient" } else { letters.as_str() };
    KNOWN.into_iter().find(|column| self::letters(column) == letters)
}

/// The column that a name may have been meant for.
fn resembled(name: &str) -> Option<&'static str> {
    let name = letters(name);
    let close = |column: &&str| {
        let column = letters(column);
        let end = name.strip_prefix(&column);
        // A volume's slices are numbered in many tables of pictures, where it means nothing here.
        end.is_some_and(|end| ENDS.contains(&end) && (column != "slice" || end == "s"))
            || is_misspelt(&name, &column)
            // In the plural: shorter ones become other words so, as `mass`.
            || name.strip_suffix('s').is_some_and(|one| one.len() > 4 && is_misspelt(one, &column))
    };
    let stem = |(word, _): &&(&str, &str)| {
        name.strip_prefix(word).is_some_and(|end| end.is_empty() || ENDS.contains(&end))
    };
    let other = || OTHER_WORDS.iter().find(stem).map(|(_, column)| *column);
    KNOWN.into_iter().find(close).or_else(other)
}

/// The letters and digits of a name, in lower case.
fn letters(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether one letter is too many, missing, or has changed places with the next; in words of at
/// least six letters also whether one is another. Shorter ones become other words so: `size`,
/// `side`, `mass`, `slide`.
fn is_misspelt(name: &str, column: &str) -> bool {
    let (name, column): (Vec<char>, Vec<char>) = (name.chars().collect(), column.chars().collect());
    let same = name.iter().zip(&column).take_while(|(left, right)| left == right).count();
    let (rest, expected) = (&name[same..], &column[same..]);
    match (rest, expected) {
        ([_, rest @ ..], expected) if rest == expected => true,
        (rest, [_, expected @ ..]) if rest == expected => true,
        ([a, b, rest @ ..], [c, d, expected @ ..]) if (a, b) == (d, c) && rest == expected => true,
        ([_, rest @ ..], [_, expected @ ..]) => column.len() >= 6 && rest == expected,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_their_letters_and_misspelt_ones_are_seen() {
        for (name, column) in [
            ("Site", "site"),
            ("label ", "label"),
            ("\u{feff}FILE", "file"),
            ("Label Name", "label_name"),
            ("Patient_ID", "patient"),
            ("patientid", "patient"),
        ] {
            assert_eq!(known(name), Some(column), "{name}");
        }
        for (name, column) in [
            ("sites", "site"),
            ("site_name", "site"),
            ("Hospital", "site"),
            ("Hospital-ID", "site"),
            ("lable", "label"),
            ("labell", "label"),
            ("lbel", "label"),
            ("lables", "label"),
            ("pateints", "patient"),
            ("Spilts", "split"),
            ("pateint", "patient"),
            ("patiemt", "patient"),
            ("Patient Nr.", "patient"),
            ("subject_id", "patient"),
            ("spilt", "split"),
            ("splits", "split"),
            ("mask_path", "mask"),
            ("filename", "file"),
            ("volumes", "volume"),
            ("Set", "split"),
            ("fold", "split"),
            ("Facility Name", "site"),
            ("MRN", "patient"),
            ("Patienten-ID", "patient"),
        ] {
            assert_eq!((known(name), resembled(name)), (None, Some(column)), "{name}");
        }
        // Columns of real tables that mean something else.
        for name in [
            "age",
            "sex",
            "side",
            "size",
            "mass",
            "slide",
            "slides",
            "fields",
            "models",
            "view",
            "subsite",
            "slice_index",
            "slice_no",
            "lung_mask",
            "mask_frac",
            "mask_source",
            "source_file",
            "orig_w",
            "x",
            "",
            "file size",
            "split_seed",
            "volume_ml",
            "dataset",
            "folder",
            "settings",
        ] {
            assert_eq!((known(name), resembled(name)), (None, None), "{name}");
        }
    }
}
