//! Reading a study's data, whatever they are kept in.

use std::path::Path;

use super::dataset::Dataset;
use super::error::DataError;
use super::options::DataOptions;
use super::{folder, heeded, medmnist};

/// Reads a folder with `labels.csv`, or a MedMNIST `.npz` file.
///
/// # Errors
/// [`DataError`], naming the file and, where there is one, the line, site or group at fault.
pub fn load(path: &Path, options: &DataOptions) -> Result<Dataset, DataError> {
    options.check()?;
    if path.is_dir() {
        folder::load(path, options)
    } else if path.extension().is_some_and(|extension| extension == "npz") {
        heeded::check_archive(&options.imaging)?;
        medmnist::load(path, options)
    } else if path.exists() {
        Err(DataError::Unknown { path: path.to_path_buf() })
    } else {
        let source = std::io::ErrorKind::NotFound.into();
        Err(DataError::File { path: path.to_path_buf(), source })
    }
}
