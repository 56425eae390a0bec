//! Reads PNG, JPEG, TIFF, GIF, NIfTI and DICOM files as planes of grey values.
//!
//! The format is told by the content, never by the name: a JPEG named `.png` is read. What is not
//! read is refused with an error that names the file, what was expected, what came and what to do.
//! Headers are checked against [`Limits`] before anything is allocated, so that neither a damaged
//! size field nor a decompression bomb takes the machine's memory.
//!
//! ```no_run
//! use ringfence_imaging::{Intensity, ReadOptions, read};
//!
//! let lung = Intensity::Window { center: -600.0, width: 1500.0 };
//! let options = ReadOptions { intensity: lung, ..ReadOptions::default() };
//! let stack = read("chest.dcm".as_ref(), &options)?;
//! println!("{} planes of {} x {}", stack.planes.len(), stack.width, stack.height);
//! # Ok::<(), ringfence_imaging::ImagingError>(())
//! ```

mod dicom;
mod error;
mod format;
mod intensity;
mod nifti;
mod options;
mod picture;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

pub use error::{Fault, ImagingError};
pub use format::Format;
pub use options::{Axis, Intensity, Limits, ReadOptions, SliceOptions, Slices};

/// What was read of a file: one plane or several, all of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// What the file is.
    pub info: Info,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The slices asked for, in the order asked for.
    pub planes: Vec<Plane>,
}

/// One slice.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// Its index along the axis; 0 in a picture.
    pub index: usize,
    /// Row-major values, `width * height` of them; see [`Info::scale`].
    pub values: Vec<f32>,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// Its format.
    pub format: Format,
    /// Bits a channel that are used.
    pub bits: u16,
    /// Channels: 1 for grey or a palette, 3 for colour, one more with alpha.
    pub channels: u16,
    /// How many slices it has along the axis.
    pub slices: usize,
    /// DICOM: UID and name of the transfer syntax, `None` where the file does not say.
    pub transfer_syntax: Option<(String, String)>,
    /// What the values mean.
    pub scale: Scale,
}

/// What a plane's values mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Grey values in `[0, 1]`: 0 stands for `low` in the file's own units, and 1 for `high`
    /// (exchanged in MONOCHROME1, where low values are shown bright). Of a multi-frame file whose
    /// frames have windows of their own, the first plane's.
    Unit {
        /// What is black.
        low: f64,
        /// What is white.
        high: f64,
    },
    /// The file's own values.
    Stored,
}

/// Reads the file at `path`.
///
/// # Errors
/// [`ImagingError`], which names the file and says why it was not read.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Stack, ImagingError> {
    load(path, options.limits)
        .and_then(|bytes| decode(&bytes, options))
        .map_err(|fault| ImagingError { path: path.to_path_buf(), fault })
}

/// How many slices the file at `path` has along the axis, without decoding it. Of a picture nothing
/// but the first bytes is read.
///
/// # Errors
/// [`ImagingError`] if the file cannot be read, or its format or header is not understood.
pub fn slices(path: &Path, options: &ReadOptions) -> Result<usize, ImagingError> {
    let count = || {
        let mut start = Vec::new();
        File::open(path)?.take(START).read_to_end(&mut start)?;
        match format::detect(&start)? {
            Format::Nifti => nifti::slices(&load(path, options.limits)?, options.slices.axis),
            Format::Dicom => dicom::slices(&load(path, options.limits)?, options.limits),
            Format::Png | Format::Jpeg | Format::Tiff | Format::Gif => Ok(1),
        }
    };
    count().map_err(|fault| ImagingError { path: path.to_path_buf(), fault })
}

/// Bytes that tell the format: more than a gzipped NIfTI header takes.
const START: u64 = 4096;

/// Reads a file that is already in memory.
///
/// # Errors
/// [`Fault`]: why it was not read.
pub fn decode(bytes: &[u8], options: &ReadOptions) -> Result<Stack, Fault> {
    options.intensity.check()?;
    Fault::limit("bytes of the file", options.limits.bytes, bytes.len() as u64)?;
    match format::detect(bytes)? {
        Format::Nifti => nifti::read(bytes, options),
        Format::Dicom => dicom::read(bytes, options),
        picture => picture::read(bytes, picture, options),
    }
}

fn load(path: &Path, limits: Limits) -> Result<Vec<u8>, Fault> {
    let file = File::open(path)?;
    Fault::limit("bytes of the file", limits.bytes, file.metadata()?.len())?;
    let mut bytes = Vec::new();
    // One more than the limit, so that a file that grows meanwhile is refused by `decode`.
    file.take(limits.bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
