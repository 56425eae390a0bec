//! A file's bytes to its attributes: file meta information, transfer syntax, data set.

use std::io::{Cursor as Bytes, Read as _};

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_encoding::TransferSyntaxIndex as _;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use dicom_transfer_syntax_registry::entries::{
    EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN,
};

use super::fault::damaged;
use super::structure::{self, Cursor, Encoding, Order};
use crate::error::Fault;
use crate::options::Limits;

const EXPLICIT: Encoding = Encoding { explicit: true, big_endian: false };
const IMPLICIT: Encoding = Encoding { explicit: false, big_endian: false };

/// A file's transfer syntax.
#[derive(Clone, Debug)]
pub(super) struct Syntax {
    /// Empty where the file has no meta information.
    pub(super) uid: String,
    pub(super) name: String,
}

impl Syntax {
    /// UID and name, where the file says.
    pub(super) fn known(&self) -> Option<(String, String)> {
        (!self.uid.is_empty()).then(|| (self.uid.clone(), self.name.clone()))
    }

    pub(super) fn refuse(&self, reason: &str) -> Fault {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        Fault::TransferSyntax { uid: self.uid.clone(), name: self.name.clone(), reason }
    }

    fn of(uid: &str) -> Self {
        let name = match TransferSyntaxRegistry.get(uid) {
            Some(known) => known.name(),
            None if uid.is_empty() => "not stated",
            None => "unknown",
        };
        Self { uid: uid.to_string(), name: name.to_string() }
    }
}

/// Whether this may be a data set without preamble: its first element is of group 0002 or 0008,
/// which every data set starts with, and has a sensible length or value representation.
pub(crate) fn looks_bare(bytes: &[u8]) -> bool {
    let Some(Ok(start)) = bytes.get(..8).map(<[u8; 8]>::try_from) else { return false };
    let [group, 0, _, 0, rest @ ..] = start else { return false };
    let explicit = rest[..2].iter().all(u8::is_ascii_uppercase);
    // The first elements of both groups are short texts and numbers.
    let implicit = u32::from_le_bytes(rest) <= 64;
    matches!(group, 0x02 | 0x08) && (explicit || implicit)
}

/// Parses a file, with or without preamble and meta information.
pub(super) fn parse(bytes: &[u8], limits: Limits) -> Result<(InMemDicomObject, Syntax), Fault> {
    let start = if bytes.get(128..132) == Some(b"DICM") { 132 } else { 0 };
    let (uid, start) = meta(bytes, start)?;
    let syntax = Syntax::of(&uid);
    let data_set = bytes.get(start..).unwrap_or_default();
    let inflated;
    let (data_set, encoding) = match uid.as_str() {
        uid if uid == EXPLICIT_VR_BIG_ENDIAN.uid() => {
            (data_set, Encoding { explicit: true, big_endian: true })
        }
        uids::IMPLICIT_VR_LITTLE_ENDIAN => (data_set, IMPLICIT),
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => {
            inflated = inflate(data_set, limits)?;
            (inflated.as_slice(), EXPLICIT)
        }
        // Without meta information the first element tells.
        "" if !is_explicit(data_set) => (data_set, IMPLICIT),
        _ if syntax.name == "unknown" => return Err(syntax.refuse("")),
        _ => (data_set, EXPLICIT),
    };
    structure::check(data_set, encoding)?;
    let plain = match encoding {
        Encoding { explicit: false, .. } => IMPLICIT_VR_LITTLE_ENDIAN.erased(),
        Encoding { big_endian: true, .. } => EXPLICIT_VR_BIG_ENDIAN.erased(),
        _ => EXPLICIT_VR_LITTLE_ENDIAN.erased(),
    };
    let object = InMemDicomObject::read_dataset_with_ts(Bytes::new(data_set), &plain)
        .map_err(|error| damaged(chain(&error)))?;
    Ok((object, syntax))
}

/// The transfer syntax of the file meta information, and where the data set starts. The meta
/// information is all of group 0002, always in Explicit VR Little Endian (PS3.10, 7.1).
fn meta(bytes: &[u8], start: usize) -> Result<(String, usize), Fault> {
    let mut cursor = Cursor { bytes, at: start };
    let mut uid = String::new();
    let mut order = Order::default();
    while bytes.get(cursor.at..cursor.at + 2) == Some(&[2, 0]) {
        let at = cursor.at;
        let element = cursor.element(EXPLICIT)?;
        order.add(element.tag, at)?;
        let length = element.length.unwrap_or(usize::MAX);
        let Some(value) = cursor.take(length) else {
            return Err(damaged(format!("element {} reaches beyond the file", element.tag)));
        };
        if element.tag == tags::TRANSFER_SYNTAX_UID && element.vr == VR::UI {
            uid = String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_string();
        }
    }
    Ok((uid, cursor.at))
}

fn is_explicit(data_set: &[u8]) -> bool {
    let vr = data_set.get(4..6).and_then(|vr| <[u8; 2]>::try_from(vr).ok());
    vr.is_some_and(|vr| VR::from_binary(vr).is_some())
}

/// The data set of Deflated Explicit VR Little Endian, which is deflated without a header.
fn inflate(data_set: &[u8], limits: Limits) -> Result<Vec<u8>, Fault> {
    let mut inflated = Vec::new();
    let mut decoder = flate2::bufread::DeflateDecoder::new(data_set);
    (&mut decoder)
        .take(limits.bytes.saturating_add(1))
        .read_to_end(&mut inflated)
        .map_err(|error| damaged(format!("its data set cannot be inflated: {error}")))?;
    Fault::limit("bytes of the inflated data set", limits.bytes, inflated.len() as u64)?;
    // A zero makes the length even (PS3.5, A.5). Some programs leave gzip's checksum and length.
    let mut sum = flate2::Crc::new();
    sum.update(&inflated);
    let trailer = [sum.sum().to_le_bytes(), sum.amount().to_le_bytes()].concat();
    match decoder.into_inner() {
        [] | [0] => Ok(inflated),
        more if more == trailer => Ok(inflated),
        more => {
            let what = "bytes after the end of its data set, which are no checksum of it";
            Err(damaged(format!("{} {what}", more.len())))
        }
    }
}

/// An error with its causes, which `dicom-object`'s own text leaves out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
