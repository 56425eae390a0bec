//! Slices of one series that are named one by one: each is scaled by itself.

use std::path::Path;

use ringfence_imaging::{ReadOptions, slices_apart as find};

/// Says that two of these files are slices of one DICOM series that are not scaled alike; `None`
/// where there are no such.
///
/// Named as a folder they would have one window. Files that cannot be read say nothing here.
pub fn slices_apart<'a>(
    files: impl IntoIterator<Item = &'a Path>,
    options: &ReadOptions,
) -> Option<String> {
    let (one, other) = find(files, options)?;
    Some(format!(
        "{} and {} are slices of one series that are named one by one and have no window in common: each becomes grey by its own values, and what is as dense may be brighter in one than in the other; give one window for all (--window), or name their folder, with the column `slice` where a line is one slice",
        one.display(),
        other.display()
    ))
}
