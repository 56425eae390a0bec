//! Images to predict on, of which a table says what they show.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::folder::table_of;
use super::heeded::Use;
use super::mask_labels::MaskLabels;
use super::options::DataOptions;
use super::stack::{Picture, Stated, expand, read_rows};
use super::table::{self, BadSlice, Place, Row, Table};
use crate::task::TaskName;

/// The images that the table `labels.csv` of a folder names.
#[derive(Debug)]
pub struct LabelledFolder {
    /// Each file once, in the order of their names.
    pub images: Vec<LabelledImage>,
    /// Columns of the table that mean nothing anywhere.
    pub unused_columns: Vec<String>,
    /// The files of lines whose slice is no number, each with what is wrong: no slice is read for
    /// these.
    pub bad_lines: Vec<(String, DataError)>,
    /// Whether the table has a column `split`.
    pub names_splits: bool,
    places: BTreeSet<Place>,
    masks: BTreeSet<Place>,
}

/// An image file, or a folder of slices, with the lines of the table that name it.
#[derive(Clone, Debug)]
pub struct LabelledImage {
    table: PathBuf,
    /// Where it lies.
    pub path: PathBuf,
    rows: Vec<Row>,
    /// Those of all images of the folder that have been read.
    labels: MaskLabels,
}

impl LabelledFolder {
    /// Reads the table of a folder as it is read for training; `None` where there is none. Sites mean
    /// nothing here, and splits are taken down as they are written. Labels are kept for classification and masks for segmentation: what
    /// the task does not learn is not read.
    ///
    /// # Errors
    /// [`DataError`] naming the table and the lines at fault.
    pub fn read(
        folder: &Path,
        task: TaskName,
        options: &DataOptions,
    ) -> Result<Option<Self>, DataError> {
        let Some(table) = table_of(folder)? else { return Ok(None) };
        let options = DataOptions { ignore_split: true, ..options.clone() };
        let Table { rows, bad_slices, mut unused_columns, names_splits, .. } =
            table::read(&table, &options)?;
        // Others divide data, which nobody asks of a model in use.
        unused_columns.retain(|column| !table::is_known(column));
        table::check_images(&table, &rows)?;
        let (mut images, mut masks) = (BTreeMap::<String, Vec<Row>>::new(), BTreeSet::new());
        for mut row in rows {
            if let Some(mask) = &row.mask {
                masks.insert(Place::of(&folder.join(mask)));
            }
            match task {
                TaskName::Segmentation => row.item.label = None,
                TaskName::Classification => row.mask = None,
            }
            // A file has one spelling in all rows.
            images.entry(row.file.clone()).or_default().push(row);
        }
        let labels = MaskLabels::default();
        let image = |(file, rows): (String, Vec<Row>)| LabelledImage {
            table: table.clone(),
            path: folder.join(file),
            rows,
            labels: labels.clone(),
        };
        let images: Vec<LabelledImage> = images.into_iter().map(image).collect();
        let mut places: BTreeSet<Place> =
            images.iter().map(|image| Place::of(&image.path)).collect();
        let mut bad_lines = Vec::new();
        for BadSlice { file, mask, error } in bad_slices {
            places.insert(Place::of(&folder.join(&file)));
            masks.extend(mask.map(|mask| Place::of(&folder.join(mask))));
            bad_lines.push((file, error));
        }
        Ok(Some(Self { images, unused_columns, bad_lines, names_splits, places, masks }))
    }

    /// Whether the table names this file or folder as an image.
    #[must_use]
    pub fn names(&self, path: &Path) -> bool {
        self.places.contains(&Place::of(path))
    }

    /// Whether the table names this file or folder as a mask.
    #[must_use]
    pub fn is_mask(&self, path: &Path) -> bool {
        self.masks.contains(&Place::of(path))
    }

    /// Whether the table names any mask.
    #[must_use]
    pub fn has_masks(&self) -> bool {
        !self.masks.is_empty()
    }
}

impl LabelledImage {
    /// The files that are read with it, for [`check_heeded`](super::check_heeded).
    pub fn uses(&self) -> impl Iterator<Item = Use> {
        let folder = self.table.parent().unwrap_or(&self.table);
        self.rows.iter().flat_map(move |row| Use::of_row(folder, row))
    }

    /// Refuses a choice of labels of which none stands in any mask of its folder that was read.
    ///
    /// # Errors
    /// [`DataError::NoMaskLabel`] with a mask and its values.
    pub fn check_chosen(&self) -> Result<(), DataError> {
        self.labels.check_chosen()
    }

    /// Why the mask of one of its pictures means something else than most masks of its folder, if it
    /// does. To be asked when all images of the folder are read: the first alone says nothing of it.
    #[must_use]
    pub fn deviating(&self, stated: &Stated) -> Option<DataError> {
        let (mask, label) = (stated.mask.as_ref()?, stated.only_label?);
        self.labels.deviating(mask, label)
    }

    /// Reads what the table names of the file, with labels or masks: the slices that have a line, or
    /// all that are asked for. Lines and masks at fault are told beside what could be read: an image
    /// whose mask is at fault comes without one.
    ///
    /// # Errors
    /// [`DataError`] naming the file.
    pub fn read(&self, options: &DataOptions) -> Result<Labelled, DataError> {
        let folder = self.table.parent().unwrap_or(&self.table);
        let rows = expand(folder, self.rows.clone(), options)?;
        table::check_images(&self.table, &rows)?;
        let mut rows: Vec<&Row> = rows.iter().collect();
        let mut labelled = Labelled::default();
        while !rows.is_empty() {
            let masks = &mut labelled.masks;
            let mut mask_fault = |fault| {
                masks.push(fault);
                Ok(())
            };
            match read_rows(folder, &rows, options, &self.labels, &mut mask_fault) {
                Err(DataError::Slice { path, count, .. }) => {
                    let (good, bad): (Vec<&Row>, Vec<&Row>) =
                        rows.iter().partition(|row| row.slice.unwrap_or(0) < count);
                    labelled.lines.extend(bad.into_iter().map(|row| DataError::Slice {
                        path: path.clone(),
                        line: row.line,
                        file: row.file.clone(),
                        count,
                        found: row.slice.unwrap_or_default(),
                    }));
                    rows = good;
                }
                pictures => {
                    labelled.pictures = pictures?;
                    break;
                }
            }
        }
        Ok(labelled)
    }
}

/// What a table names of one file, as far as it could be read.
#[derive(Debug, Default)]
pub struct Labelled {
    /// In the order of the lines.
    pub pictures: Vec<Picture>,
    /// What is wrong with its masks: images that have these come without.
    pub masks: Vec<DataError>,
    /// Lines that name slices which it does not have.
    pub lines: Vec<DataError>,
}
