//! Reads PNG, JPEG, TIFF, GIF, NIfTI and DICOM files, and folders of DICOM slices, as planes of grey
//! values or of colours, and masks as inside and outside ([`read_mask`]).
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

mod detect;
mod dicom;
mod error;
mod format;
mod geometry;
mod intensity;
mod mask;
mod nifti;
mod options;
mod picture;
mod read;
mod stack;

pub use error::{Fault, ImagingError};
pub use format::Format;
pub use geometry::{Geometry, Vector};
pub use mask::{Mask, MaskOptions, read_mask};
pub use options::{Axis, Channels, Intensity, Limits, ReadOptions, SliceOptions, Slices};
pub use read::{Heeded, decode, heeded, is_series, read, series_files, slices, slices_apart};
pub use stack::{Info, Plane, Scale, Stack};
