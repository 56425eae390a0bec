//! Why a DICOM file is not read.

use crate::error::Fault;
use crate::format::Format;

/// An attribute says what it may not, or contradicts another.
pub(super) fn misstated(what: impl Into<String>) -> Fault {
    Fault::value(Format::Dicom, what)
}

/// The bytes break the standard or off.
pub(super) fn damaged(what: impl Into<String>) -> Fault {
    Fault::damaged(Format::Dicom, what)
}

/// The file is sound, but of a kind that is not read.
pub(super) fn unsupported(what: impl Into<String>, advice: &'static str) -> Fault {
    Fault::Unsupported { format: Format::Dicom, what: what.into(), advice }
}
