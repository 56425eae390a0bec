//! What names a record in a privacy ledger: what the image is, and not where it lies.
//!
//! A ledger knows an image again in another study by this name. So it is a digest of the file's own
//! bytes, before anything is resampled: the same image at another size is the same record. (The same
//! picture saved again in another format is another record: where that happens, name patients.)

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use ringfence_imaging::series_files;

use super::dataset::Sample;
use super::error::DataError;
use super::medmnist;

/// Names of these samples, read from the folder or file that they came from: a digest, with the slice
/// of a volume.
///
/// # Errors
/// [`DataError::File`] when a file cannot be read; [`DataError::SameRecord`] where two samples are
/// one image: each would be sampled by itself, and only one be accounted for.
pub fn record_names(path: &Path, samples: &[Sample]) -> Result<Vec<String>, DataError> {
    let names = match path.is_dir() {
        true => of_folder(path, samples)?,
        false => medmnist::digests(path, samples)?,
    };
    let mut known = BTreeMap::new();
    for (name, sample) in names.iter().zip(samples) {
        if let Some(first) = known.insert(name, &sample.name) {
            let (first, second) = (first.clone(), sample.name.clone());
            return Err(DataError::SameRecord { path: path.to_path_buf(), first, second });
        }
    }
    Ok(names)
}

fn of_folder(folder: &Path, samples: &[Sample]) -> Result<Vec<String>, DataError> {
    let mut digests = BTreeMap::<PathBuf, String>::new();
    let name = |sample: &Sample| {
        let whole = folder.join(&sample.name);
        let (file, slice) = match sample.name.rsplit_once('#') {
            // A file's name may hold a `#`, too.
            Some((file, slice)) if !whole.exists() => (folder.join(file), format!("#{slice}")),
            _ => (whole, String::new()),
        };
        let digest = match digests.get(&file) {
            Some(digest) => digest.clone(),
            None => {
                let digest = digest(&file)?;
                digests.entry(file).or_insert(digest).clone()
            }
        };
        Ok(digest + &slice)
    };
    samples.iter().map(name).collect()
}

/// Of a file its bytes; of a folder, which is a series of slices, its files' in the order of their
/// digests: those that are read as its slices, so that what a file manager leaves there makes no other
/// record of it.
fn digest(path: &Path) -> Result<String, DataError> {
    let error = |source| DataError::File { path: path.to_path_buf(), source };
    let mut hasher = blake3::Hasher::new();
    if path.is_dir() {
        let files = series_files(path)?;
        let mut each = files.iter().map(|file| digest(file)).collect::<Result<Vec<_>, _>>()?;
        each.sort();
        each.iter().for_each(|digest| _ = hasher.update(digest.as_bytes()));
    } else {
        let mut file = File::open(path).map_err(error)?;
        hasher.update_reader(&mut file).map_err(error)?;
    }
    Ok(hasher.finalize().to_string())
}
