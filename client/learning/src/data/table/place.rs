//! Which file a path leads to.

use std::path::{Component, Path, PathBuf};

use ringfence_imaging::series_files;

/// A file, however its path is spelt: through `.` and `..`, links, or other letters' case where the
/// disk does not tell them apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Place {
    /// Device and number on it.
    #[cfg(unix)]
    Disk(u64, u64),
    /// The path that the system calls the file's own.
    #[cfg(not(unix))]
    Own(PathBuf),
    /// The path as written, where no file is.
    Nowhere(PathBuf),
}

impl Place {
    pub(in super::super) fn of(path: &Path) -> Self {
        Self::on_disk(path).unwrap_or_else(|| {
            let named = path.components().filter(|part| *part != Component::CurDir);
            Self::Nowhere(named.collect())
        })
    }

    /// The files of a folder of slices, without hidden ones; none of anything else.
    pub(in super::super) fn within(folder: &Path) -> Vec<Self> {
        let files = series_files(folder).unwrap_or_default();
        files.iter().map(|file| Self::of(file)).collect()
    }

    #[cfg(unix)]
    fn on_disk(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = path.metadata().ok()?;
        Some(Self::Disk(metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    fn on_disk(path: &Path) -> Option<Self> {
        path.canonicalize().ok().map(Self::Own)
    }
}
