//! What is read, what it becomes, and what is refused with which words. All files are made here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lints' exception for tests does not reach the helper functions"
)]

mod cases;
mod colour;
mod counts;
mod dicom;
mod enhanced;
mod geometry;
mod hostile;
mod jpeg_2000;
mod levels;
mod make;
mod masks;
mod nifti;
mod orientation;
mod palettes;
mod pictures;
mod repeats;
mod samples;
mod scans;
mod segmentations;
mod series;
mod whole;
mod xmp;
