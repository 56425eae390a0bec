//! MedMNIST 2-D files (Yang et al., "MedMNIST v2", 2023): NumPy archives `*.npz` with
//! `train_images`, `train_labels` and the same for `val` and `test`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use npyz::NpyFile;
use npyz::npz::{NpzArchive, file_name_from_array_name};
use ringfence_imaging::Channels;

use super::classes::{numbered_classes, of_number};
use super::dataset::{Dataset, Sample, SiteData, Split};
use super::division::{Division, SitePart};
use super::error::DataError;
use super::group::Item;
use super::memory;
use super::options::DataOptions;
use super::raster;

/// No MedMNIST file comes near this; a damaged header may claim more.
const MAX_VALUES: u64 = 1 << 32;

/// Reads a file and spreads its samples over sites by label skew (see `skew`), since it names none.
///
/// Labels are read and divided first, and only the images that a site keeps are made samples of.
/// 28 px images are padded by black to 32 px before they are brought to the side asked for, so
/// that they halve evenly. Every image counts as a patient of its own, as the file names none.
pub(super) fn load(path: &Path, options: &DataOptions) -> Result<Dataset, DataError> {
    let mut archive = Archive::open(path)?;
    let mut labels = Vec::new();
    for split in Split::ALL {
        labels.push((split, archive.labels(split)?));
    }
    let classes = classes(path, &mut labels, &options.classes)?;
    let remarks = numbered_classes(&options.classes).into_iter().collect();
    let mut items = Vec::new();
    // Where a split's items begin.
    let mut starts = Vec::new();
    for (split, labels) in &labels {
        starts.push((*split, items.len()));
        items.extend(labels.iter().enumerate().map(|(index, label)| Item {
            site: None,
            group: name(*split, index),
            split: Some(*split),
            label: Some(*label),
        }));
    }
    let Division { sites: mut parts, mut left_out } = Division::of(path, &items, options)?;
    left_out.extend(parts.iter_mut().filter_map(|part| part.cap(options, &items)));
    let kept: BTreeSet<usize> =
        parts.iter().flat_map(|part| part.samples.values().flatten().copied()).collect();
    memory::check(path, kept.len(), options)?;
    let mut samples = BTreeMap::new();
    for (split, start) in starts {
        let count = items.iter().filter(|item| item.split == Some(split)).count();
        let keep = |index: usize| kept.contains(&(start + index));
        for (index, image) in archive.images(split, count, options, keep)? {
            let Some(item) = items.get(start + index) else { continue };
            let (name, group) = (item.group.clone(), item.group.clone());
            let label = item.label;
            let sample = Sample { name, group, image, label, mask: None, own_mask: None };
            samples.insert(start + index, sample);
        }
    }
    let site = |(position, mut part): (usize, SitePart)| {
        let mut take = |split| {
            let chosen = part.samples.remove(&split).unwrap_or_default();
            chosen.into_iter().filter_map(|index| samples.remove(&index)).collect()
        };
        let mut site = SiteData {
            train: take(Split::Train),
            validation: take(Split::Validation),
            test: take(Split::Test),
            site: part.site,
        };
        options.scanner(position).apply(&mut site, options.seed)?;
        Ok(site)
    };
    let sites = parts.into_iter().enumerate().map(site).collect::<Result<_, DataError>>()?;
    let (side, unused_columns, names_patients) = (options.side, Vec::new(), false);
    Ok(Dataset { side, classes, sites, left_out, unused_columns, remarks, names_patients })
}

/// Digests of the images that these samples were made from, as they stand in the file.
pub(super) fn digests(path: &Path, samples: &[Sample]) -> Result<Vec<String>, DataError> {
    let mut archive = Archive::open(path)?;
    let mut found = BTreeMap::new();
    for split in Split::ALL {
        let of_split = |sample: &&Sample| sample.name.starts_with(split.name());
        if samples.iter().any(|sample| of_split(&sample)) {
            for (index, digest) in archive.digests(split)?.into_iter().enumerate() {
                found.insert(name(split, index), digest);
            }
        }
    }
    let digest = |sample: &Sample| {
        found.get(&sample.name).cloned().ok_or_else(|| {
            let (expected, lacks) = ("the images that were trained on", sample.name.clone());
            array_error(path, "images", expected, format!("no {lacks}"))
        })
    };
    samples.iter().map(digest).collect()
}

/// The name of a sample, which is also its group.
fn name(split: Split, index: usize) -> String {
    format!("{}-{index:05}", split.name())
}

/// The classes' names; labels become indices into them.
fn classes(
    path: &Path,
    labels: &mut [(Split, Vec<u32>)],
    named: &[String],
) -> Result<Vec<String>, DataError> {
    if named.is_empty() {
        let most = labels.iter().flat_map(|(_, labels)| labels).max().copied().unwrap_or(0);
        return Ok((0..=most).map(|label| label.to_string()).collect());
    }
    for (split, labels) in labels {
        for label in labels {
            let number = usize::try_from(*label).ok().and_then(|label| of_number(named, label));
            *label = number.and_then(|number| u32::try_from(number).ok()).ok_or_else(|| {
                DataError::ArrayClass {
                    path: path.to_path_buf(),
                    array: format!("{}_labels", split.name()),
                    label: *label,
                    classes: named.to_vec(),
                }
            })?;
        }
    }
    Ok(named.to_vec())
}

/// An open `.npz` file.
struct Archive<'a> {
    path: &'a Path,
    arrays: NpzArchive<BufReader<File>>,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self, DataError> {
        let file = |source| DataError::File { path: path.to_path_buf(), source };
        let arrays = NpzArchive::open(path).map_err(file)?;
        Ok(Self { path, arrays })
    }

    /// The images of one split that `keep` wants, each `side * side` grey values in `[0, 1]`, or
    /// three times as many in colour, with their numbers. There must be `count` images in all.
    fn images(
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
        self.read(&name, expected, |shape, values| {
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
    fn digests(&mut self, split: Split) -> Result<Vec<String>, DataError> {
        let name = format!("{}_images", split.name());
        let (path, expected) = (self.path, "8-bit images");
        self.read(&name, expected, |shape, values| {
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

    fn labels(&mut self, split: Split) -> Result<Vec<u32>, DataError> {
        let name = format!("{}_labels", split.name());
        let expected = "8-bit labels [n, 1]";
        let path = self.path;
        self.read(&name, expected, |shape, values| {
            let count = shape.iter().product::<usize>();
            if shape.first() != Some(&count) {
                let found = format!("shape {shape:?}");
                return Err(array_error(path, &name, "one label for each image", found));
            }
            // Not with the capacity that the header claims.
            let mut labels = Vec::new();
            for value in values {
                labels.push(u32::from(value.map_err(|source| {
                    array_error(path, &name, expected, format!("damaged data ({source})"))
                })?));
            }
            Ok(labels)
        })
    }

    /// Hands the shape of an array of bytes, and its values in row-major order, to `take`, which
    /// takes all of them. Then the archive's checksum of the array is compared.
    fn read<T>(
        &mut self,
        name: &str,
        expected: &'static str,
        take: impl FnOnce(Vec<usize>, &mut Values<'_>) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let path = self.path;
        let error = |found: String| array_error(path, name, expected, found);
        if !self.arrays.array_names().any(|known| known == name) {
            return Err(error("no array of this name".to_string()));
        }
        let file = self.arrays.zip_archive().by_name(&file_name_from_array_name(name));
        let mut file = BufReader::new(file.map_err(|source| error(source.to_string()))?);
        let array = NpyFile::new(&mut file).map_err(|source| error(source.to_string()))?;
        let shape = array.shape().to_vec();
        let count = shape.iter().try_fold(1_u64, |count, dim| count.checked_mul(*dim));
        if count.is_none_or(|count| count > MAX_VALUES) {
            return Err(error(format!("shape {shape:?}")));
        }
        if array.order() != npyz::Order::C {
            return Err(error("column-major order".to_string()));
        }
        let mut values = array.data::<u8>().map_err(|source| error(source.to_string()))?;
        let shape =
            shape.into_iter().map(|dim| usize::try_from(dim).unwrap_or(usize::MAX)).collect();
        let taken = take(shape, &mut values)?;
        // The archive compares at the end of the array, which the values alone do not reach.
        match io::copy(&mut file.take(MAX_VALUES), &mut io::sink()) {
            Ok(0) => Ok(taken),
            Ok(_) => Err(error("more values than its shape says".to_string())),
            Err(source) => Err(error(format!("damaged data ({source})"))),
        }
    }
}

/// The values of an array.
type Values<'a> = dyn Iterator<Item = io::Result<u8>> + 'a;

fn array_error(path: &Path, array: &str, expected: &'static str, found: String) -> DataError {
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
