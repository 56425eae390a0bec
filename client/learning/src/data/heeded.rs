//! Options that say how volumes are read, where nothing that is read would heed them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ringfence_imaging::{Fault, Intensity, ReadOptions, Slices, heeded};
use ringfence_words::counted;

use super::error::DataError;
use super::table::Row;

/// A file that is to be read, and for what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    path: PathBuf,
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// An image, with all slices that are asked for.
    Image,
    /// One slice of an image.
    Slice,
    Mask,
}

impl Use {
    /// An image of which no table says anything.
    #[must_use]
    pub fn image(path: PathBuf) -> Self {
        Self { path, role: Role::Image }
    }

    /// What a row of a table in this folder names.
    pub(super) fn of_row<'a>(folder: &'a Path, row: &'a Row) -> impl Iterator<Item = Self> + 'a {
        let role = if row.slice.is_some() { Role::Slice } else { Role::Image };
        let mask = row.mask.as_ref().map(|mask| Self { path: folder.join(mask), role: Role::Mask });
        std::iter::once(Self { path: folder.join(&row.file), role }).chain(mask)
    }
}

/// An option, what heeds it, and whether nothing has yet, although it was given.
struct Given {
    name: &'static str,
    expected: &'static str,
    pending: bool,
}

/// The axis, the step and the window, where they are given, also as they usually are.
fn given(options: &ReadOptions) -> [Given; 3] {
    let ReadOptions { slices, intensity, .. } = options;
    [
        Given {
            name: "axis",
            expected: "a NIfTI file, which is cut across it",
            pending: slices.axis.is_some(),
        },
        Given {
            name: "every",
            expected: "a volume (NIfTI, DICOM) of which no slice is named",
            pending: matches!(slices.which, Slices::Every(_)),
        },
        Given {
            name: "window",
            expected: "a NIfTI or monochrome DICOM image, whose values it applies to",
            pending: matches!(intensity, Intensity::Window { .. }),
        },
    ]
}

/// Refuses the axis, every how many slices and the window where they would change nothing in any of
/// these files. Only so many are opened as it takes.
///
/// A damaged file might heed them, and files that are missing say nothing: reading them says what is
/// wrong.
///
/// # Errors
/// [`DataError::Option`] naming the option.
pub fn check_heeded(
    uses: impl IntoIterator<Item = Use>,
    options: &ReadOptions,
) -> Result<(), DataError> {
    let mut given = given(options);
    if given.iter().all(|option| !option.pending) {
        return Ok(());
    }
    let uses: BTreeSet<Use> = uses.into_iter().collect();
    let mut files = BTreeSet::new();
    for Use { path, role } in &uses {
        let found = match heeded(path, options) {
            Ok(found) => found,
            Err(error) => match error.fault {
                Fault::File(_)
                | Fault::NotAFile { .. }
                | Fault::Unknown { .. }
                | Fault::Empty
                | Fault::NoImage { .. } => continue,
                _ => return Ok(()),
            },
        };
        files.insert(path);
        let heeds = [
            found.axis,
            found.slices && *role == Role::Image,
            found.intensity && *role != Role::Mask,
        ];
        for (option, heeds) in given.iter_mut().zip(heeds) {
            option.pending &= !heeds;
        }
        if given.iter().all(|option| !option.pending) {
            return Ok(());
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    refuse(&given, &format!("none in {}", counted(files.len() as u64, "file")))
}

/// Refuses the same options for a MedMNIST archive.
pub(super) fn check_archive(options: &ReadOptions) -> Result<(), DataError> {
    refuse(&given(options), "an archive of pictures")
}

fn refuse(given: &[Given], found: &str) -> Result<(), DataError> {
    match given.iter().find(|option| option.pending) {
        Some(option) => Err(DataError::Option {
            option: option.name,
            expected: option.expected,
            found: format!("{found}; leave out --{}, which would change nothing", option.name),
        }),
        None => Ok(()),
    }
}
