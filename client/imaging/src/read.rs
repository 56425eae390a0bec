//! Reading a file of any of the formats.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::detect::detect;
use crate::error::{Fault, ImagingError};
use crate::format::Format;
use crate::options::{Intensity, Limits, ReadOptions};
use crate::stack::Stack;
use crate::{dicom, nifti, picture};

/// Reads the file at `path`, or the folder of the slices of a DICOM series.
///
/// # Errors
/// [`ImagingError`], which names the file and says why it was not read.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Stack, ImagingError> {
    let read = || {
        if path.is_dir() {
            options.check()?;
            return dicom::Volume::of_series(path, options.limits)?.read(options);
        }
        decode(&load(path, options.limits)?, options)
    };
    read().map_err(|fault| ImagingError { path: path.to_path_buf(), fault })
}

/// How many slices the file at `path` has along the axis, without decoding it. Of a picture nothing
/// but the first bytes is read, and the files of a folder are counted.
///
/// # Errors
/// [`ImagingError`] if the file cannot be read, or its format or header is not understood.
pub fn slices(path: &Path, options: &ReadOptions) -> Result<usize, ImagingError> {
    let count = || {
        if path.is_dir() {
            return Ok(dicom::series_files(path)?.len());
        }
        match format(path)? {
            Format::Nifti => {
                nifti::slices(&load(path, options.limits)?, options.slices.axis.unwrap_or_default())
            }
            Format::Dicom => dicom::frames(&load(path, options.limits)?, options.limits),
            Format::Png | Format::Jpeg | Format::Tiff | Format::Gif => Ok(1),
        }
    };
    count().map_err(|fault| ImagingError { path: path.to_path_buf(), fault })
}

/// Whether the folder at `path` holds slices of a DICOM series, so that it is one image and not a
/// folder of them: at least two of its files are single frames of one series, and say where they lie
/// or come from a scanner of slices (CT, MR, PET). Those that do not say where are refused when the
/// series is read. A folder without files holds none.
///
/// # Errors
/// [`ImagingError`] if the folder cannot be read.
pub fn is_series(path: &Path, limits: Limits) -> Result<bool, ImagingError> {
    match dicom::holds_slices(path, limits) {
        Err(Fault::Empty) => Ok(false),
        found => found.map_err(|fault| ImagingError { path: path.to_path_buf(), fault }),
    }
}

/// What of [`ReadOptions`] changes how a file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heeded {
    /// The axis: NIfTI files are cut across it.
    pub axis: bool,
    /// Which slices: there are several.
    pub slices: bool,
    /// The intensity: NIfTI and monochrome DICOM files have values of their own.
    pub intensity: bool,
}

/// The first two of these files that are slices of one DICOM series and are not scaled alike where
/// each is read by itself: one has no window of its own, or the windows differ. `None` where there
/// are no such, or a window is given. Files that cannot be read are passed over.
pub fn slices_apart<'a>(
    files: impl IntoIterator<Item = &'a Path>,
    options: &ReadOptions,
) -> Option<(&'a Path, &'a Path)> {
    if options.intensity != Intensity::Auto {
        return None;
    }
    let files = files.into_iter().filter(|path| !path.is_dir());
    let files = files.filter(|path| matches!(format(path), Ok(Format::Dicom)));
    dicom::slices_apart(files, options.limits)
}

/// What the file at `path` heeds of the options, by its header.
///
/// # Errors
/// As [`slices`].
pub fn heeded(path: &Path, options: &ReadOptions) -> Result<Heeded, ImagingError> {
    let slices = slices(path, options)? > 1;
    let heeded = || {
        // The slices of a series are alike.
        let first =
            if path.is_dir() { dicom::series_files(path)?.into_iter().next() } else { None };
        let path = first.as_deref().unwrap_or(path);
        Ok(match format(path)? {
            Format::Nifti => Heeded { axis: true, slices, intensity: true },
            Format::Dicom => {
                let file = dicom::Volume::of_file(&load(path, options.limits)?, options.limits)?;
                Heeded { axis: false, slices, intensity: file.is_monochrome() }
            }
            Format::Png | Format::Jpeg | Format::Tiff | Format::Gif => Heeded::default(),
        })
    };
    heeded().map_err(|fault| ImagingError { path: path.to_path_buf(), fault })
}

/// The format of the file at `path`, by its first bytes.
pub(crate) fn format(path: &Path) -> Result<Format, Fault> {
    let mut start = Vec::new();
    open(path)?.take(START).read_to_end(&mut start)?;
    detect(&start)
}

/// Bytes that tell the format: more than a gzipped NIfTI header takes.
const START: u64 = 4096;

/// Reads a file that is already in memory.
///
/// # Errors
/// [`Fault`]: why it was not read.
pub fn decode(bytes: &[u8], options: &ReadOptions) -> Result<Stack, Fault> {
    options.check()?;
    Fault::limit("bytes of the file", options.limits.bytes, bytes.len() as u64)?;
    match detect(bytes)? {
        Format::Nifti => nifti::read(bytes, options),
        Format::Dicom => dicom::Volume::of_file(bytes, options.limits)?.read(options),
        picture => picture::read(bytes, picture, options),
    }
}

/// The files of a folder that is a series, in the order of their names: all but hidden ones.
///
/// # Errors
/// [`ImagingError`] when the folder cannot be read, or holds none.
pub fn series_files(folder: &Path) -> Result<Vec<PathBuf>, ImagingError> {
    let at = |fault| ImagingError { path: folder.to_path_buf(), fault };
    dicom::series_files(folder).map_err(at)
}

/// Opens a file, and nothing else: whoever opens a pipe waits until somebody writes to it.
pub(crate) fn open(path: &Path) -> Result<File, Fault> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() {
        Err(Fault::NotAFile { found: "a folder" })
    } else if !kind.is_file() {
        Err(Fault::NotAFile { found: "a pipe, a socket or a device" })
    } else {
        Ok(File::open(path)?)
    }
}

pub(crate) fn load(path: &Path, limits: Limits) -> Result<Vec<u8>, Fault> {
    let file = open(path)?;
    Fault::limit("bytes of the file", limits.bytes, file.metadata()?.len())?;
    let mut bytes = Vec::new();
    // One more than the limit, so that a file that grows meanwhile is refused by `decode`.
    file.take(limits.bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
