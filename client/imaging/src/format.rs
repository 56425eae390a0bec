//! The formats.

use std::fmt;

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline or progressive, 8 bit.
    Jpeg,
    /// TIFF of one page.
    Tiff,
    /// GIF of one frame.
    Gif,
    /// NIfTI-1 or NIfTI-2 in one file, plain or gzipped.
    Nifti,
    /// DICOM, with or without preamble and file meta information.
    Dicom,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Tiff => "TIFF",
            Self::Gif => "GIF",
            Self::Nifti => "NIfTI",
            Self::Dicom => "DICOM",
        })
    }
}
