//! Rows of the table to samples: the file of each is read once, however many slices it gives.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use ringfence_imaging::{Fault, ImagingError, ReadOptions, Slices, Stack, read_mask, slices};

use super::dataset::Sample;
use super::error::DataError;
use super::grey;
use super::options::DataOptions;
use super::table::Row;

/// Puts one row for each slice in the place of a row that names a volume and no slice. A file that
/// cannot be read keeps its row: it is refused when it is used.
pub(super) fn expand(
    folder: &Path,
    rows: Vec<Row>,
    options: &DataOptions,
) -> Result<Vec<Row>, DataError> {
    let expanded: Vec<Vec<Row>> = rows
        .into_par_iter()
        .map(|row| {
            let path = folder.join(&row.file);
            let count = match row.slice {
                None => slices(&path, &options.imaging).unwrap_or(1),
                Some(_) => 1,
            };
            if count <= 1 {
                return Ok(vec![row]);
            }
            let which = options.imaging.slices.which.of(count);
            let which = which.map_err(|fault| ImagingError { path, fault })?;
            let slice = |index| Row { slice: Some(index), ..row.clone() };
            Ok(which.into_iter().map(slice).collect())
        })
        .collect::<Result<_, DataError>>()?;
    Ok(expanded.into_iter().flatten().collect())
}

/// A row and its place in the answer.
type Placed<'a> = (usize, &'a Row);

/// Reads the samples of these rows, in their order.
pub(super) fn read(
    folder: &Path,
    rows: &[&Row],
    options: &DataOptions,
) -> Result<Vec<Sample>, DataError> {
    let mut files = BTreeMap::<_, Vec<Placed<'_>>>::new();
    for (place, row) in rows.iter().enumerate() {
        files.entry((&row.file, &row.mask)).or_default().push((place, row));
    }
    let files: Vec<_> = files.into_values().collect();
    let read = files
        .into_par_iter()
        .map(|rows| read_file(folder, &rows, options))
        .collect::<Result<Vec<_>, DataError>>()?;
    let mut samples: Vec<(usize, Sample)> = read.into_iter().flatten().collect();
    samples.sort_by_key(|(place, _)| *place);
    Ok(samples.into_iter().map(|(_, sample)| sample).collect())
}

/// The samples of one file and its mask.
fn read_file(
    folder: &Path,
    rows: &[Placed<'_>],
    options: &DataOptions,
) -> Result<Vec<(usize, Sample)>, DataError> {
    let Some((_, first)) = rows.first() else { return Ok(Vec::new()) };
    // Rows without a slice name files that have one.
    let wanted: Vec<usize> = rows.iter().map(|(_, row)| row.slice.unwrap_or(0)).collect();
    let image = read_slices(&folder.join(&first.file), wanted, &options.imaging)?;
    let masks = match &first.mask {
        Some(mask) => read_masks(&folder.join(mask), &image, options)?,
        None => vec![None; rows.len()],
    };
    let size = (image.width, image.height);
    let is_volume = image.info.slices > 1;
    let mut samples = Vec::with_capacity(rows.len());
    for (((place, row), plane), mask) in rows.iter().zip(image.planes).zip(masks) {
        let slice = if is_volume { format!("#{}", plane.index) } else { String::new() };
        samples.push((
            *place,
            Sample {
                name: format!("{}{slice}", row.file),
                group: row.item.group.clone(),
                image: grey::square(plane.values, size, options.side),
                label: row.item.label,
                mask,
            },
        ));
    }
    Ok(samples)
}

/// Reads the mask of each plane of an image.
fn read_masks(
    path: &Path,
    image: &Stack,
    options: &DataOptions,
) -> Result<Vec<Option<Vec<f32>>>, DataError> {
    let ReadOptions { slices, limits, .. } = &options.imaging;
    let masks = read_mask(path, image, slices.axis, &options.mask, *limits).map_err(of_imaging)?;
    let size = (image.width, image.height);
    Ok(masks.into_iter().map(|mask| Some(grey::square_mask(mask, size, options.side))).collect())
}

fn read_slices(path: &Path, wanted: Vec<usize>, options: &ReadOptions) -> Result<Stack, DataError> {
    let mut options = options.clone();
    options.slices.which = Slices::At(wanted);
    ringfence_imaging::read(path, &options).map_err(of_imaging)
}

/// What the operating system refuses stays what it was for other files.
fn of_imaging(error: ImagingError) -> DataError {
    match error.fault {
        Fault::File(source) => DataError::File { path: error.path, source },
        fault => DataError::Imaging(ImagingError { path: error.path, fault }),
    }
}

/// An image to predict on, as it is in its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The image as a model sees it, without label or mask.
    pub sample: Sample,
    /// Its slice, where the file has several.
    pub slice: Option<usize>,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Grey values in `[0, 1]`, row-major.
    pub values: Vec<f32>,
}

/// Reads the images of a file, brought to `side * side` beside their own size.
///
/// # Errors
/// [`DataError`] naming the file.
pub fn read_pictures(
    path: &Path,
    side: usize,
    options: &ReadOptions,
) -> Result<Vec<Picture>, DataError> {
    let stack = ringfence_imaging::read(path, options).map_err(of_imaging)?;
    let size = (stack.width, stack.height);
    let name = path.display().to_string();
    let pictures = stack.planes.into_iter().map(|plane| Picture {
        sample: Sample {
            name: name.clone(),
            group: name.clone(),
            image: grey::square(plane.values.clone(), size, side),
            label: None,
            mask: None,
        },
        slice: (stack.info.slices > 1).then_some(plane.index),
        width: size.0,
        height: size.1,
        values: plane.values,
    });
    Ok(pictures.collect())
}
