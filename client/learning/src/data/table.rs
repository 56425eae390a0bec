//! The table `labels.csv` of an image folder.

mod check;
mod classes;
mod columns;
mod line;
mod named;
mod place;
mod sheet;

use std::collections::BTreeMap;
use std::path::Path;

use super::error::DataError;
use super::group::Item;
use super::options::DataOptions;
use classes::Classes;
use columns::Columns;
use line::Line;
use sheet::Sheet;

pub(super) use check::images as check_images;
pub use named::{ClassNameError, check_class_names};
pub(super) use place::Place;

/// Whether a column of this name means something.
pub(super) fn is_known(name: &str) -> bool {
    columns::known(name).is_some()
}

/// One line: an image with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The image's path within the folder, in the spelling of the first line that names it.
    pub(super) file: String,
    /// Which slice of a volume.
    pub(super) slice: Option<usize>,
    pub(super) mask: Option<String>,
    pub(super) item: Item,
    /// Number of the line.
    pub(super) line: u64,
    /// The image's path as this line spells it.
    pub(super) written: String,
    /// What stands in the column `split`, whatever it is and also where splits are ignored.
    pub(super) said_split: Option<String>,
}

impl Row {
    /// The name that the sample will have: the file, with `#` and the slice of a volume.
    pub(super) fn name(&self) -> String {
        let slice = self.slice.map(|slice| format!("#{slice}")).unwrap_or_default();
        format!("{}{slice}", self.file)
    }
}

/// A line whose slice is no number.
pub(super) struct BadSlice {
    pub(super) file: String,
    pub(super) mask: Option<String>,
    pub(super) error: DataError,
}

/// A table as it is read.
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    /// The lines that are no rows: the only fault that is left to the caller.
    pub(super) bad_slices: Vec<BadSlice>,
    /// Names of the classes, in the order of their labels.
    pub(super) classes: Vec<String>,
    /// Names of the columns that mean nothing here.
    pub(super) unused_columns: Vec<String>,
    /// Whether a column names patients.
    pub(super) names_patients: bool,
    /// Whether there is a column for splits.
    pub(super) names_splits: bool,
}

/// Reads the table at `path`.
///
/// Columns: `file`; at least one of `label` and `mask`; and optionally `site`, `split`, a group
/// (`patient` or `volume`), `slice`, a slice of a volume counted from 0, and `label_name`, which
/// names the class where `label` is a number. Others are named in [`Table::unused_columns`]. Without
/// a group column each file is a group of its own, with all its slices.
///
/// # Errors
/// [`DataError`], naming the file and the lines at fault. That no image stands in two lines is
/// checked by [`check_images`], once volumes are taken apart.
pub(super) fn read(path: &Path, options: &DataOptions) -> Result<Table, DataError> {
    let sheet = Sheet::read(path, |name| columns::known(name).is_some())?;
    let columns = Columns::find(path, &sheet, options)?;
    if sheet.records.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf() });
    }
    let (mut lines, mut bad_slices) = (Vec::new(), Vec::new());
    for record in &sheet.records {
        match Line::parse(&columns, record)? {
            Line { slice: Err(error), file, mask, .. } => {
                bad_slices.push(BadSlice { file, mask, error });
            }
            line => lines.push(line),
        }
    }
    check::spellings(&columns, &lines)?;
    let written = one_spelling(&columns, &mut lines)?;
    check::groups(&columns, &lines)?;
    let classes = Classes::of(&columns, &lines, &options.classes)?;
    let rows = lines.into_iter().zip(written).map(|(line, written)| {
        let label = classes.number(&columns, &line)?;
        let Line { number, file, slice, mask, said_split, item, .. } = line;
        let (slice, item) = (slice?, Item { label, ..item });
        Ok(Row { file, slice, mask, item, line: number, written, said_split })
    });
    let rows = rows.collect::<Result<Vec<Row>, DataError>>()?;
    check::series(path, &rows)?;
    let names_patients = columns.group.is_some_and(|(name, _)| name == "patient");
    let names_splits = columns.said_split.is_some();
    let (classes, unused_columns) = (classes.names, columns.unused);
    Ok(Table { rows, bad_slices, classes, unused_columns, names_patients, names_splits })
}

/// Gives every file one spelling, the first, and answers with those that were written: a volume in
/// two spellings is one volume, and where no patient is named one group.
///
/// # Errors
/// [`DataError::OwnMask`] for an image that is its own mask.
fn one_spelling(columns: &Columns, lines: &mut [Line]) -> Result<Vec<String>, DataError> {
    let folder = columns.path.parent().unwrap_or(&columns.path);
    let mut spellings = BTreeMap::<Place, String>::new();
    let spell = |line: &mut Line| {
        let place = Place::of(&folder.join(&line.file));
        if line.mask.as_ref().is_some_and(|mask| Place::of(&folder.join(mask)) == place) {
            let (path, file) = (columns.path.clone(), line.file.clone());
            return Err(DataError::OwnMask { path, line: line.number, file });
        }
        let first = spellings.entry(place).or_insert_with(|| line.file.clone()).clone();
        if columns.group.is_none() {
            line.item.group.clone_from(&first);
        }
        Ok(std::mem::replace(&mut line.file, first))
    };
    lines.iter_mut().map(spell).collect()
}
