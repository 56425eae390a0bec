//! The arrays of a MedMNIST file: its images and labels, in whichever order and kind of whole numbers
//! NumPy wrote them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use npyz::npz::{NpzArchive, file_name_from_array_name};
use npyz::{Deserialize, NpyFile, Order};
use ringfence_imaging::Channels;

use super::super::dataset::Split;
use super::super::error::DataError;
use super::super::options::DataOptions;
use super::super::raster;

/// No MedMNIST file comes near this; a damaged header may claim more.
const MAX_VALUES: u64 = 1 << 32;

/// Most values of an array that has to be in memory as a whole, because it is in column-major order.
const MAX_COLUMN_MAJOR: u64 = 1 << 30;

/// The greatest label: MedMNIST's have 8 bits.
const MAX_LABEL: i64 = 255;

/// An open `.npz` file.
pub(super) struct Archive<'a> {
    path: &'a Path,
    arrays: NpzArchive<BufReader<File>>,
}

impl<'a> Archive<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self, DataError> {
        let file = |source| DataError::File { path: path.to_path_buf(), source };
        let arrays = NpzArchive::open(path).map_err(file)?;
        Ok(Self { path, arrays })
    }

    /// The images of one split that `keep` wants, each `side * side` grey values in `[0, 1]`, or
    /// three times as many in colour, with their numbers. There must be `count` images in all.
    pub(super) fn images(
        &mut self,
        split: Split,
        count: usize,
        options: &DataOptions,
        keep: impl Fn(usize) -> bool,
    ) -> Result<Vec<(usize, Vec<f32>)>, DataError> {
        let name = format!("{}_images", split.name());
        let expected = "8-bit square images [n, h, w] or [n, h, w, 3]";
        let path = self.path;
        let error = |expected, found| array_error(path, &name, expected, found);
        self.read(&name, expected, bytes, |shape, values| {
            let (from, channels) = match shape[..] {
                [_, height, width] if height == width && height > 0 => (height, 1),
                [_, height, width, 3] if height == width && height > 0 => (height, 3),
                _ => return Err(error(expected, format!("shape {shape:?}"))),
            };
            let wanted = options.imaging.channels;
            if wanted == Channels::Colour && channels == 1 {
                let expected = "images in colour [n, h, w, 3], as the training plan says";
                return Err(error(expected, format!("shape {shape:?}")));
            }
            if shape.first() != Some(&count) {
                let found = format!("shape {shape:?} for {count} labels");
                return Err(error("one image for each label", found));
            }
            let mut images = Vec::new();
            let mut pixels = Vec::with_capacity(from * from * channels);
            for index in 0..count {
                pixels.clear();
                for value in (&mut *values).take(from * from * channels) {
                    let value = value.map_err(|source| {
                        error(expected, format!("damaged data in image {index} ({source})"))
                    })?;
                    pixels.push(value);
                }
                if keep(index) {
                    let values = match wanted {
                        Channels::Grey => luma(&pixels, channels),
                        Channels::Colour => planes(&pixels),
                    };
                    images.push((index, raster::fit(&values, from, options.side)));
                }
            }
            Ok(images)
        })
    }

    /// A digest of each image of a split.
    pub(super) fn digests(&mut self, split: Split) -> Result<Vec<String>, DataError> {
        let name = format!("{}_images", split.name());
        let (path, expected) = (self.path, "8-bit images");
        self.read(&name, expected, bytes, |shape, values| {
            let (count, bytes) = match shape.split_first() {
                Some((count, rest)) => (*count, rest.iter().product::<usize>()),
                None => (0, 0),
            };
            let damaged =
                |source| array_error(path, &name, expected, format!("damaged ({source})"));
            let mut digests = Vec::new();
            for _ in 0..count {
                let pixels = (&mut *values).take(bytes).collect::<io::Result<Vec<u8>>>();
                digests.push(blake3::hash(&pixels.map_err(damaged)?).to_string());
            }
            Ok(digests)
        })
    }

    /// The labels of one split: whole numbers of any width, which fit into 8 bits.
    pub(super) fn labels(&mut self, split: Split) -> Result<Vec<u32>, DataError> {
        let name = format!("{}_labels", split.name());
        let expected = "whole numbers from 0 to 255 [n, 1], a label for each image";
        let path = self.path;
        let error = |found| array_error(path, &name, expected, found);
        self.read(&name, expected, whole_numbers, |shape, values| {
            let count = shape.iter().product::<usize>();
            if shape.first() != Some(&count) {
                return Err(error(format!("shape {shape:?}")));
            }
            // Not with the capacity that the header claims.
            let mut labels = Vec::new();
            for value in values {
                let label = value.map_err(|source| error(format!("damaged data ({source})")))?;
                let fits = u32::try_from(label).ok().filter(|_| label <= MAX_LABEL);
                labels.push(fits.ok_or_else(|| error(format!("label {label}")))?);
            }
            Ok(labels)
        })
    }

    /// Hands the shape of an array, and its values in row-major order as `numbers` reads them, to
    /// `take`, which takes all of them. Then the archive's checksum of the array is compared.
    fn read<T, V: Copy + 'static>(
        &mut self,
        name: &str,
        expected: &'static str,
        numbers: Numbers<V>,
        take: impl FnOnce(Vec<usize>, &mut Values<'_, V>) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let path = self.path;
        let error = |found: String| array_error(path, name, expected, found);
        if !self.arrays.array_names().any(|known| known == name) {
            return Err(error("no array of this name".to_string()));
        }
        let file = self.arrays.zip_archive().by_name(&file_name_from_array_name(name));
        let mut file = BufReader::new(file.map_err(|source| error(source.to_string()))?);
        let source: &mut dyn BufRead = &mut file;
        let array = NpyFile::new(source).map_err(|source| error(source.to_string()))?;
        let shape = array.shape().to_vec();
        let count = shape.iter().try_fold(1_u64, |count, dim| count.checked_mul(*dim));
        let count = count.filter(|count| *count <= MAX_VALUES);
        let count = count.ok_or_else(|| error(format!("shape {shape:?}")))?;
        // Of one row or column both orders are one.
        let long = shape.iter().filter(|dim| **dim != 1).count();
        let column_major = array.order() == Order::Fortran && long > 1;
        let shape: Vec<usize> =
            shape.into_iter().map(|dim| usize::try_from(dim).unwrap_or(usize::MAX)).collect();
        let mut values = numbers(array).map_err(error)?;
        let taken = if column_major {
            if count > MAX_COLUMN_MAJOR {
                let found = format!("{count} values in column-major order");
                return Err(error(format!(
                    "{found}, of which at most {MAX_COLUMN_MAJOR} are read"
                )));
            }
            let damaged = |source| error(format!("damaged data ({source})"));
            let stored = values.collect::<io::Result<Vec<V>>>().map_err(damaged)?;
            let mut ordered = row_major(&shape, &stored).into_iter().map(Ok);
            take(shape, &mut ordered)?
        } else {
            let taken = take(shape, &mut *values)?;
            drop(values);
            taken
        };
        // The archive compares at the end of the array, which the values alone do not reach.
        match io::copy(&mut file.take(MAX_VALUES), &mut io::sink()) {
            Ok(0) => Ok(taken),
            Ok(_) => Err(error("more values than its shape says".to_string())),
            Err(source) => Err(error(format!("damaged data ({source})"))),
        }
    }
}

/// The values of an array.
type Values<'a, V> = dyn Iterator<Item = io::Result<V>> + 'a;

/// What reads the values of an array in row-major order, or says what it holds.
type Numbers<V> = for<'a> fn(NpyFile<&'a mut dyn BufRead>) -> Result<Box<Values<'a, V>>, String>;

/// Bytes.
///
/// # Errors
/// What it holds instead.
fn bytes<'a>(array: NpyFile<&'a mut dyn BufRead>) -> Result<Box<Values<'a, u8>>, String> {
    match array.try_data::<u8>() {
        Ok(values) => Ok(Box::new(values)),
        Err(array) => Err(held(&array)),
    }
}

/// Whole numbers of any width.
///
/// # Errors
/// As of [`bytes`].
fn whole_numbers<'a>(array: NpyFile<&'a mut dyn BufRead>) -> Result<Box<Values<'a, i64>>, String> {
    fn widened<'a, N: Deserialize + TryInto<i64> + 'a>(
        array: NpyFile<&'a mut dyn BufRead>,
    ) -> Result<Box<Values<'a, i64>>, NpyFile<&'a mut dyn BufRead>> {
        // Beyond the greatest one is no label either.
        let wide = |number: N| number.try_into().unwrap_or(i64::MAX);
        Ok(Box::new(array.try_data::<N>()?.map(move |number| number.map(wide))))
    }
    widened::<u8>(array)
        .or_else(widened::<i64>)
        .or_else(widened::<i32>)
        .or_else(widened::<u16>)
        .or_else(widened::<i16>)
        .or_else(widened::<u32>)
        .or_else(widened::<u64>)
        .or_else(widened::<i8>)
        .map_err(|array| held(&array))
}

fn held(array: &NpyFile<&mut dyn BufRead>) -> String {
    format!("values of type {}", array.dtype().descr())
}

/// Values in column-major order, in which the first index runs fastest, in row-major order.
fn row_major<V: Copy>(shape: &[usize], stored: &[V]) -> Vec<V> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for dim in shape {
        strides.push(stride);
        stride *= dim;
    }
    let place = |mut index: usize| {
        let mut place = 0;
        for (dim, stride) in shape.iter().zip(&strides).rev() {
            place += index % dim * stride;
            index /= dim;
        }
        place
    };
    (0..stored.len()).filter_map(|index| stored.get(place(index)).copied()).collect()
}

pub(super) fn array_error(
    path: &Path,
    array: &str,
    expected: &'static str,
    found: String,
) -> DataError {
    DataError::Array { path: path.to_path_buf(), array: array.to_string(), expected, found }
}

/// Red, then green, then blue in `[0, 1]` of an image of 3 interleaved channels.
fn planes(image: &[u8]) -> Vec<f32> {
    let plane = |first: usize| image.iter().skip(first).step_by(3);
    (0..3).flat_map(plane).map(|value| f32::from(*value) / 255.0).collect()
}

/// Grey values in `[0, 1]` of an image of 1 or 3 interleaved channels; colour by the weights of
/// ITU-R BT.709, as the image files are read.
fn luma(image: &[u8], channels: usize) -> Vec<f32> {
    let grey = |pixel: &[u8]| match pixel {
        [r, g, b] => 0.2126 * f32::from(*r) + 0.7152 * f32::from(*g) + 0.0722 * f32::from(*b),
        _ => f32::from(pixel[0]),
    };
    image.chunks_exact(channels).map(|pixel| grey(pixel) / 255.0).collect()
}
