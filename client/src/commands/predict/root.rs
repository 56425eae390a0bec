//! An input, and the names of the files below it.

use std::path::Path;

use super::names::{is_mask_file, is_mask_folder, is_other};

/// Whether and where a file or its folder has a name as masks have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CalledMask {
    No,
    /// Whoever named the input means it, unless there are images beside it.
    Named,
    /// Within an input.
    Within,
}

/// One of the inputs.
pub(super) struct Root<'a> {
    /// The file or folder that was given.
    pub(super) input: &'a Path,
    /// That folder, or the one of that file.
    pub(super) folder: &'a Path,
}

impl Root<'_> {
    /// The name of a file below it. A folder of slices may be all that is asked for.
    pub(super) fn name<'a>(&self, path: &'a Path) -> &'a Path {
        let within = path.strip_prefix(self.folder).ok();
        let within = within.filter(|name| !name.as_os_str().is_empty());
        within.or_else(|| path.file_name().map(Path::new)).unwrap_or(path)
    }

    /// Whether a file of which no table says anything is called as masks are.
    pub(super) fn called_mask(&self, path: &Path) -> CalledMask {
        if is_other(path) {
            return CalledMask::No;
        }
        let within = path.strip_prefix(self.folder).unwrap_or(path);
        let is_mask = within.ancestors().skip(1).any(is_mask_folder) || is_mask_file(path);
        if is_mask && path != self.input {
            CalledMask::Within
        } else if is_mask || is_mask_folder(self.folder) {
            CalledMask::Named
        } else {
            CalledMask::No
        }
    }
}
