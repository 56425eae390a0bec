//! Which format a file is in, by its content. File names and extensions are not looked at.

use std::io::Read as _;

use crate::dicom::looks_bare;
use crate::error::Fault;
use crate::format::Format;
use crate::nifti::{Members, is_gzip};

/// The format of a file with this content.
pub(crate) fn detect(bytes: &[u8]) -> Result<Format, Fault> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if bytes.is_empty() {
        Err(Fault::Empty)
    } else if bytes.get(128..132) == Some(b"DICM") {
        // First: the preamble before it may be a TIFF header (PS3.10, 7.1).
        Ok(Format::Dicom)
    } else if starts(b"\x89PNG\r\n\x1a\n") {
        Ok(Format::Png)
    } else if starts(b"\xff\xd8\xff") {
        Ok(Format::Jpeg)
    } else if starts(b"II\x2a\0") || starts(b"MM\0\x2a") {
        Ok(Format::Tiff)
    } else if starts(b"GIF87a") || starts(b"GIF89a") {
        Ok(Format::Gif)
    } else if is_nifti(bytes) {
        Ok(Format::Nifti)
    } else if is_gzip(bytes) {
        gzipped(bytes)
    } else if looks_bare(bytes) {
        Ok(Format::Dicom)
    } else {
        Err(Fault::Unknown { found: describe(bytes) })
    }
}

/// The first field is the header's length: 348 in NIfTI-1 (and in ANALYZE, which the magic tells
/// apart), 540 in NIfTI-2, in either byte order.
fn is_nifti(bytes: &[u8]) -> bool {
    let Some(Ok(first)) = bytes.get(..4).map(<[u8; 4]>::try_from) else { return false };
    [u32::from_le_bytes(first), u32::from_be_bytes(first)].iter().any(|size| match size {
        348 => bytes.len() < 348 || matches!(bytes.get(344..348), Some(b"n+1\0" | b"ni1\0")),
        540 => matches!(bytes.get(4..7), Some(b"n+2" | b"ni2")),
        _ => false,
    })
}

fn gzipped(bytes: &[u8]) -> Result<Format, Fault> {
    let mut start = Vec::new();
    // As much as the longer header; what cannot be inflated shows when the volume is read.
    let inflated = Members::new(bytes).take(540).read_to_end(&mut start).map(drop);
    match inflated {
        _ if is_nifti(&start) => Ok(Format::Nifti),
        Ok(()) => {
            Err(Fault::Unknown { found: format!("a gzipped file that holds {}", describe(&start)) })
        }
        Err(error) => {
            Err(Fault::Unknown { found: format!("a gzipped file that breaks off: {error}") })
        }
    }
}

const BIG_TIFF: &str = "a BigTIFF picture (save it as an ordinary TIFF, or as PNG)";

fn describe(bytes: &[u8]) -> String {
    let known: [(&[u8], &str); 10] = [
        (b"II\x2b\0", BIG_TIFF),
        (b"MM\0\x2b", BIG_TIFF),
        (b"PK\x03\x04", "a ZIP or .npz archive (a MedMNIST .npz file is a data set, not an image)"),
        (b"BM", "a BMP picture"),
        (b"RIFF", "a WebP picture or another RIFF file"),
        (b"\x89HDF", "an HDF5 file"),
        (b"%PDF", "a PDF document"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
        (b"NRRD", "an NRRD volume"),
    ];
    if let Some((_, name)) = known.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return (*name).to_string();
    }
    if bytes.iter().take(512).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        return "text".to_string();
    }
    let start: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes that start with {}", bytes.len(), start.join(" "))
}
