//! What can be wrong with an image file.

use std::path::PathBuf;

use crate::format::Format;

/// A file that was not read: which one, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct ImagingError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub fault: Fault,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The operating system refused.
    #[error("{0}; check that the path exists and may be read")]
    File(#[from] std::io::Error),
    /// Something that a program could wait for without end.
    #[error("expected a file, found {found}; take it off the list")]
    NotAFile {
        /// What it is.
        found: &'static str,
    },
    /// A file without content.
    #[error(
        "expected an image, found an empty file or folder; fetch it again or take it off the list"
    )]
    Empty,
    /// None of the formats.
    #[error(
        "expected PNG, JPEG, TIFF, GIF, NIfTI or DICOM, found {found}; convert the file to one of them"
    )]
    Unknown {
        /// What its first bytes look like.
        found: String,
    },
    /// Bytes that break the format.
    #[error("cannot be decoded as {format}: {what}; fetch or export the file again")]
    Damaged {
        /// The format its first bytes promise.
        format: Format,
        /// What was expected and what came.
        what: String,
    },
    /// What the file says of itself and cannot be used: its bytes may be as they were written.
    #[error(
        "cannot be read as {format}: {what}; export the file anew or correct that in a copy, or take it off the list"
    )]
    Value {
        /// The format its first bytes promise.
        format: Format,
        /// What says so, what was expected and what came.
        what: String,
    },
    /// Within the format, but not read here.
    #[error("{format} file with {what}, which is not read; {advice}")]
    Unsupported {
        /// The format.
        format: Format,
        /// What is not read.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// DICOM pixel data in an encoding that is not decoded.
    #[error(
        "DICOM transfer syntax {uid} ({name}) is not decoded{reason}; convert the file to Explicit VR Little Endian, JPEG Lossless or RLE"
    )]
    TransferSyntax {
        /// The transfer syntax's UID.
        uid: String,
        /// Its name in the standard.
        name: String,
        /// What of it is not decoded, where it is not the whole; empty or starting with `: `.
        reason: String,
    },
    /// A file of the right format without a picture in it.
    #[error("{format} file without a picture: {what}; take it off the list")]
    NoImage {
        /// The format.
        format: Format,
        /// What is missing.
        what: String,
    },
    /// A file in grey where colour is asked for.
    #[error(
        "expected an image in colour, as the training plan says, found {format} in grey; export it in colour (a plan of grey images is made without --colour)"
    )]
    Grey {
        /// The format.
        format: Format,
    },
    /// More than may be allocated for one file.
    #[error("{what}: expected at most {most}, found {found}; crop or divide the file")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        most: u64,
        /// What the file holds or claims to hold.
        found: u64,
    },
    /// A folder of slices, one of which was not read.
    #[error("its slice {file}: {fault}")]
    Slice {
        /// The file within the folder.
        file: String,
        /// The reason.
        fault: Box<Fault>,
    },
    /// Slices that make no single volume.
    #[error("expected {expected}, found {found}; {advice}")]
    Volume {
        /// What they should have.
        expected: String,
        /// What they have.
        found: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// A mask that does not say what is inside, or not where.
    #[error("expected a mask of {expected}, found {found}; {advice}")]
    Mask {
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// A slice or time that the file does not have.
    #[error("expected a {what} below {count}, found {asked}; they are counted from 0")]
    Index {
        /// `slice`, `time` or `mask channel`.
        what: &'static str,
        /// Which one was asked for.
        asked: usize,
        /// How many there are.
        count: usize,
    },
    /// An option outside its range.
    #[error("option `{option}`: expected {expected}, found {found}")]
    Option {
        /// The option.
        option: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What came.
        found: String,
    },
}

impl Fault {
    pub(crate) fn damaged(format: Format, what: impl Into<String>) -> Self {
        Self::Damaged { format, what: what.into() }
    }

    pub(crate) fn value(format: Format, what: impl Into<String>) -> Self {
        Self::Value { format, what: what.into() }
    }

    pub(crate) fn volume(
        expected: impl Into<String>,
        found: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self::Volume { expected: expected.into(), found: found.into(), advice }
    }

    pub(crate) fn mask(expected: impl Into<String>, found: String, advice: &'static str) -> Self {
        Self::Mask { expected: expected.into(), found, advice }
    }

    pub(crate) fn limit(what: &'static str, most: u64, found: u64) -> Result<(), Self> {
        if found > most { Err(Self::TooLarge { what, most, found }) } else { Ok(()) }
    }
}
