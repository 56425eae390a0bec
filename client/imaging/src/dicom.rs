//! DICOM files: structure and attributes by `dicom-object`, pixel data by one codec crate each.
//!
//! `dicom-pixeldata` is not used: its RLE and JPEG adapters index beyond damaged fragments and
//! panic. Nor is its file reader: it allocates what a length field claims, up to 4 GiB, before it
//! reads on, so that all lengths are checked here first ([`structure`]).

mod attributes;
mod codec;
mod codestream;
mod colour;
mod fault;
mod file;
mod functional;
mod grey;
mod native;
mod placement;
mod rle;
mod samples;
mod segmentation;
mod series;
mod structure;
mod value;
mod volume;

pub(crate) use file::looks_bare;
pub(crate) use series::{files as series_files, holds_slices, slices_apart};
pub(crate) use volume::{Volume, frames};
