//! Images to predict on, of which a table says what they show.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::folder::table_of;
use super::heeded::Use;
use super::mask_labels::MaskLabels;
use super::options::DataOptions;
use super::stack::{Picture, read_labelled};
use super::table::{self, Place, Row, Table};
use crate::task::TaskName;

/// The images that the table `labels.csv` of a folder names.
#[derive(Clone, Debug)]
pub struct LabelledFolder {
    /// Each file once, in the order of their names.
    pub images: Vec<LabelledImage>,
    /// Columns of the table that mean nothing anywhere.
    pub unused_columns: Vec<String>,
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
    /// Reads the table of a folder as it is read for training; `None` where there is none. Sites and
    /// splits mean nothing here. Labels are kept for classification and masks for segmentation: what
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
        let Table { rows, mut unused_columns, .. } = table::read(&table, &options)?;
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
        let places = images.iter().map(|image| Place::of(&image.path)).collect();
        Ok(Some(Self { images, unused_columns, places, masks }))
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

    /// Reads what the table names of the file, with labels or masks: the slices that have a line, or
    /// all that are asked for. Where only a mask is at fault the images are read without it, and the
    /// fault comes with them.
    ///
    /// # Errors
    /// [`DataError`] naming the file.
    pub fn read(
        &self,
        options: &DataOptions,
    ) -> Result<(Vec<Picture>, Option<DataError>), DataError> {
        let fault = match read_labelled(&self.table, self.rows.clone(), options, &self.labels) {
            Ok(pictures) => return Ok((pictures, None)),
            Err(fault) if self.rows.iter().all(|row| row.mask.is_none()) => return Err(fault),
            Err(fault) => fault,
        };
        let rows = self.rows.iter().map(|row| Row { mask: None, ..row.clone() }).collect();
        let pictures = read_labelled(&self.table, rows, options, &MaskLabels::default())?;
        Ok((pictures, Some(fault)))
    }
}
