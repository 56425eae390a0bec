//! MedMNIST 2-D files (Yang et al., "MedMNIST v2", 2023): NumPy archives `*.npz` with
//! `train_images`, `train_labels` and the same for `val` and `test`.

mod archive;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::classes::{numbered_classes, of_number};
use super::dataset::{Dataset, Sample, SiteData, Split};
use super::division::{Division, SitePart};
use super::error::DataError;
use super::group::Item;
use super::memory;
use super::options::DataOptions;
use archive::{Archive, array_error};

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
