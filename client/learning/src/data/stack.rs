//! Rows of the table to samples: the file of each is read once, however many slices it gives.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use ringfence_imaging::{
    Fault, ImagingError, Mask, Plane, ReadOptions, Slices, Stack, read_mask, slices,
};

use super::dataset::Sample;
use super::error::DataError;
use super::folder::TABLE;
use super::mask_labels::MaskLabels;
use super::memory::Left;
use super::options::DataOptions;
use super::own_mask::OwnMask;
use super::raster;
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

/// Reads the samples of these rows, in their order. Masks at the images' own size are kept where
/// something is left for them.
pub(super) fn read(
    folder: &Path,
    rows: &[&Row],
    options: &DataOptions,
    own_masks: Option<&Left>,
    labels: &MaskLabels,
) -> Result<Vec<Sample>, DataError> {
    let mut files = BTreeMap::<_, Vec<Placed<'_>>>::new();
    for (place, row) in rows.iter().enumerate() {
        files.entry((&row.file, &row.mask)).or_default().push((place, row));
    }
    let files: Vec<_> = files.into_values().collect();
    let read = files
        .into_par_iter()
        .map(|rows| read_file(folder, &rows, options, own_masks, labels))
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
    own_masks: Option<&Left>,
    labels: &MaskLabels,
) -> Result<Vec<(usize, Sample)>, DataError> {
    let places = rows.iter().map(|(place, _)| *place);
    let rows: Vec<&Row> = rows.iter().map(|(_, row)| *row).collect();
    let samples = read_rows(folder, &rows, options, labels, &mut Err)?;
    let samples = samples.into_iter().map(|picture| picture.sample);
    let mut samples: Vec<(usize, Sample)> = places.zip(samples).collect();
    for (_, sample) in &mut samples {
        match (&sample.own_mask, own_masks) {
            (Some(mask), Some(left)) => left.take(&folder.join(&sample.name), mask.bytes())?,
            _ => sample.own_mask = None,
        }
    }
    Ok(samples)
}

/// What is done about a mask at fault: its rows have none, or nothing is read.
pub(super) type MaskFault<'a> = dyn FnMut(DataError) -> Result<(), DataError> + 'a;

/// The images that the rows of one file name, in their order. The file is read once, however many
/// masks its slices have.
///
/// # Errors
/// [`DataError`] naming the file, and [`DataError::Slice`] with the first line whose slice it does not
/// have.
pub(super) fn read_rows(
    folder: &Path,
    rows: &[&Row],
    options: &DataOptions,
    labels: &MaskLabels,
    mask_fault: &mut MaskFault<'_>,
) -> Result<Vec<Picture>, DataError> {
    let image = read_slices(folder, rows, &options.imaging)?;
    let mut by_mask = BTreeMap::<&String, Vec<usize>>::new();
    for (place, row) in rows.iter().enumerate() {
        row.mask.iter().for_each(|mask| by_mask.entry(mask).or_default().push(place));
    }
    let mut masks: Vec<Option<Vec<f32>>> = vec![None; rows.len()];
    let mut only_labels: Vec<Option<u32>> = vec![None; rows.len()];
    for (mask, places) in by_mask {
        let path = folder.join(mask);
        match read_mask_of(&path, &with_planes(&image, &places), options) {
            Ok(mask) => {
                labels.note(&path, &mask);
                for (place, plane) in places.into_iter().zip(mask.planes) {
                    if let (Some(of), Some(label)) =
                        (masks.get_mut(place), only_labels.get_mut(place))
                    {
                        (*of, *label) = (Some(plane), mask.only_label);
                    }
                }
            }
            Err(fault) => mask_fault(fault)?,
        }
    }
    let size = (image.width, image.height);
    let is_volume = image.info.slices > 1;
    let picture = |((row, plane), (mask, only_label)): ((&&Row, Plane), (_, Option<u32>))| {
        let mask: Option<Vec<f32>> = mask;
        let slice = if is_volume { format!("#{}", plane.index) } else { String::new() };
        let sample = Sample {
            name: format!("{}{slice}", row.file),
            group: row.item.group.clone(),
            image: raster::square(&plane.values, size, options.side),
            label: row.item.label,
            own_mask: mask.as_ref().map(|mask| OwnMask::new(size, mask)),
            mask: mask.map(|mask| raster::square_mask(&mask, size, options.side)),
        };
        let stated = Stated {
            split: row.said_split.clone(),
            mask: row.mask.as_ref().map(|mask| folder.join(mask)),
            only_label,
        };
        Picture { stated, ..Picture::of(plane, size, is_volume, sample) }
    };
    let masks = masks.into_iter().zip(only_labels);
    Ok(rows.iter().zip(image.planes).zip(masks).map(picture).collect())
}

/// The image with these of its planes alone.
fn with_planes<'a>(image: &'a Stack, places: &[usize]) -> Cow<'a, Stack> {
    if places.len() == image.planes.len() {
        return Cow::Borrowed(image);
    }
    let planes = places.iter().filter_map(|place| image.planes.get(*place).cloned()).collect();
    let (info, geometry) = (image.info.clone(), image.geometry.clone());
    Cow::Owned(Stack { info, width: image.width, height: image.height, planes, geometry })
}

/// Reads the mask of each plane of an image, at the image's size.
fn read_mask_of(path: &Path, image: &Stack, options: &DataOptions) -> Result<Mask, DataError> {
    let ReadOptions { slices, limits, .. } = &options.imaging;
    read_mask(path, image, slices.axis.unwrap_or_default(), &options.mask, *limits)
        .map_err(of_imaging)
}

/// The slices that the rows of one file name.
fn read_slices(folder: &Path, rows: &[&Row], options: &ReadOptions) -> Result<Stack, DataError> {
    let Some(first) = rows.first() else {
        return Err(DataError::Empty { path: folder.join(TABLE) });
    };
    let mut options = options.clone();
    // Rows without a slice name files that have one.
    options.slices.which = Slices::At(rows.iter().map(|row| row.slice.unwrap_or(0)).collect());
    ringfence_imaging::read(&folder.join(&first.file), &options).map_err(|error| {
        let Fault::Index { what: "slice", asked: found, count } = error.fault else {
            return of_imaging(error);
        };
        let at_fault = rows.iter().find(|row| row.slice == Some(found)).unwrap_or(first);
        let (line, file) = (at_fault.line, at_fault.file.clone());
        DataError::Slice { path: folder.join(TABLE), line, file, count, found }
    })
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
    /// The image as a model sees it, with what a table says of it.
    pub sample: Sample,
    /// Its slice, where the file has several.
    pub slice: Option<usize>,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Values in `[0, 1]`, row-major; in colour all of red, then green, then blue.
    pub values: Vec<f32>,
    /// What its line in a table says beside that.
    pub stated: Stated,
}

/// What a line of a table says of an image, beside label and mask themselves. Nothing where no table
/// names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// The field `split` as it is written, whether it is a split or not; none where it is empty.
    pub split: Option<String>,
    /// The file of its mask, also of one that could not be read.
    pub mask: Option<PathBuf>,
    /// The one label beside 0 that was taken for inside in that mask, where none was chosen.
    pub only_label: Option<u32>,
}

impl Picture {
    fn of(plane: Plane, (width, height): (usize, usize), is_volume: bool, sample: Sample) -> Self {
        let slice = is_volume.then_some(plane.index);
        Self { sample, slice, width, height, values: plane.values, stated: Stated::default() }
    }
}

/// Reads the images of a file of which no table says anything, brought to `options.side` beside
/// their own size.
///
/// # Errors
/// [`DataError`] naming the file.
pub fn read_pictures(path: &Path, options: &DataOptions) -> Result<Vec<Picture>, DataError> {
    let stack = ringfence_imaging::read(path, &options.imaging).map_err(of_imaging)?;
    let size = (stack.width, stack.height);
    let is_volume = stack.info.slices > 1;
    let name = path.display().to_string();
    let picture = |plane: Plane| {
        let sample = Sample {
            name: name.clone(),
            group: name.clone(),
            image: raster::square(&plane.values, size, options.side),
            label: None,
            mask: None,
            own_mask: None,
        };
        Picture::of(plane, size, is_volume, sample)
    };
    Ok(stack.planes.into_iter().map(picture).collect())
}
