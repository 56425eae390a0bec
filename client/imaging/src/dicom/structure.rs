//! Checks that every element of a data set lies within the file, before the parser allocates what
//! the elements' lengths claim, and that the tags ascend, so that none stands twice: of two the
//! parser would take the last (PS3.5, chapter 7).

use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use super::fault::{damaged, misstated};
use super::value::name;
use crate::error::Fault;

/// How a data set is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    pub(super) explicit: bool,
    pub(super) big_endian: bool,
}

/// Deepest nesting of sequences. Standard objects stay below 10; the parser recurses, and its
/// stack must not overflow.
const DEEPEST: usize = 32;

/// Most bytes of one text or number element. The parser holds each of its values by itself, so
/// that a megabyte of separators becomes tens of megabytes.
const LONGEST_TEXT: u64 = 1 << 22;

const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_DELIMITER: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_DELIMITER: Tag = Tag(0xfffe, 0xe0dd);
const UNDEFINED: u32 = u32::MAX;

/// An element's header.
pub(super) struct Element {
    pub(super) tag: Tag,
    pub(super) vr: VR,
    /// `None` where a delimiter ends the value.
    pub(super) length: Option<usize>,
}

/// A position in the bytes of a data set.
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

/// Checks a whole data set.
pub(super) fn check(bytes: &[u8], encoding: Encoding) -> Result<(), Fault> {
    let mut cursor = Cursor { bytes, at: 0 };
    cursor.data_set(Some(bytes.len()), encoding, 0)
}

/// The tags of a data set up to some element. They ascend, so none stands twice (PS3.5, 7.1).
#[derive(Default)]
pub(super) struct Order {
    known: Vec<Tag>,
}

impl Order {
    /// Adds the tag of the element at byte `at`.
    ///
    /// # Errors
    /// [`Fault::Value`] for a tag that is known, or lower than one that is.
    pub(super) fn add(&mut self, tag: Tag, at: usize) -> Result<(), Fault> {
        if let Some(last) = self.known.last().filter(|last| **last >= tag) {
            let (found, last) = (name(tag), name(*last));
            return Err(misstated(if self.known.binary_search(&tag).is_ok() {
                format!("expected each attribute once, found {found} a second time at byte {at}")
            } else {
                format!(
                    "expected attributes by ascending tags, found {found} after {last} at byte {at}"
                )
            }));
        }
        self.known.push(tag);
        Ok(())
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn short(&mut self, encoding: Encoding) -> Option<u16> {
        let bytes: [u8; 2] = self.take(2)?.try_into().ok()?;
        let big = encoding.big_endian;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&mut self, encoding: Encoding) -> Option<u32> {
        let bytes: [u8; 4] = self.take(4)?.try_into().ok()?;
        let big = encoding.big_endian;
        Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    pub(super) fn element(&mut self, encoding: Encoding) -> Result<Element, Fault> {
        let start = self.at;
        let cut_off = || damaged(format!("it ends within an element at byte {start}"));
        self.header(encoding).ok_or_else(cut_off)
    }

    fn header(&mut self, encoding: Encoding) -> Option<Element> {
        let tag = Tag(self.short(encoding)?, self.short(encoding)?);
        let (vr, length) = if tag.group() == 0xfffe {
            (VR::UN, self.long(encoding)?)
        } else if encoding.explicit {
            let vr = VR::from_binary(self.take(2)?.try_into().ok()?).unwrap_or(VR::UN);
            if has_long_length(vr) {
                self.take(2)?;
                (vr, self.long(encoding)?)
            } else {
                (vr, u32::from(self.short(encoding)?))
            }
        } else {
            let entry = StandardDataDictionary.by_tag(tag);
            (entry.map_or(VR::UN, |entry| entry.vr().relaxed()), self.long(encoding)?)
        };
        let length = (length != UNDEFINED).then_some(length as usize);
        Some(Element { tag, vr, length })
    }

    /// A data set up to `end`, or up to its delimiter.
    fn data_set(
        &mut self,
        end: Option<usize>,
        encoding: Encoding,
        depth: usize,
    ) -> Result<(), Fault> {
        let mut order = Order::default();
        while end != Some(self.at) {
            let start = self.at;
            let element = self.element(encoding)?;
            let Element { tag, vr, length } = element;
            if tag == ITEM_DELIMITER && end.is_none() {
                return Ok(());
            }
            if tag.group() == 0xfffe {
                return Err(damaged(format!("a stray delimiter {tag} at byte {}", self.at)));
            }
            order.add(tag, start)?;
            match length {
                Some(length) => {
                    let next = self.within(tag, length, end)?;
                    if vr == VR::SQ {
                        self.sequence(Some(next), encoding, depth)?;
                    } else if !is_bulk(vr) {
                        Fault::limit("bytes of a DICOM text element", LONGEST_TEXT, length as u64)?;
                    }
                    self.at = next;
                }
                None if tag == tags::PIXEL_DATA => self.fragments(encoding)?,
                None if vr == VR::UN => {
                    // PS3.5, 6.2.2, note: a sequence of unknown type is in Implicit VR.
                    self.sequence(None, Encoding { explicit: false, ..encoding }, depth)?;
                }
                None => self.sequence(None, encoding, depth)?,
            }
        }
        Ok(())
    }

    /// The end of a value of this length, which lies within the file and within its item.
    fn within(&self, tag: Tag, length: usize, end: Option<usize>) -> Result<usize, Fault> {
        let room = end.unwrap_or(self.bytes.len()).saturating_sub(self.at);
        if length > room {
            return Err(damaged(format!(
                "element {tag} at byte {} claims {length} bytes, found {room}",
                self.at
            )));
        }
        Ok(self.at + length)
    }

    fn sequence(
        &mut self,
        end: Option<usize>,
        encoding: Encoding,
        depth: usize,
    ) -> Result<(), Fault> {
        if depth == DEEPEST {
            return Err(damaged(format!(
                "expected at most {DEEPEST} nested sequences, found more"
            )));
        }
        while end != Some(self.at) {
            let Element { tag, length, .. } = self.element(encoding)?;
            if tag == SEQUENCE_DELIMITER && end.is_none() {
                return Ok(());
            }
            if tag != ITEM {
                return Err(damaged(format!("expected an item at byte {}, found {tag}", self.at)));
            }
            let item_end = length.map(|length| self.within(tag, length, end)).transpose()?;
            self.data_set(item_end, encoding, depth + 1)?;
        }
        Ok(())
    }

    /// Encapsulated pixel data (PS3.5, A.4).
    fn fragments(&mut self, encoding: Encoding) -> Result<(), Fault> {
        loop {
            let Element { tag, length, .. } = self.element(encoding)?;
            match (tag, length) {
                (SEQUENCE_DELIMITER, _) => return Ok(()),
                (ITEM, Some(length)) => self.at = self.within(tag, length, None)?,
                _ => {
                    let what = "expected a fragment of pixel data";
                    return Err(damaged(format!("{what} at byte {}, found {tag}", self.at)));
                }
            }
        }
    }
}

/// Value representations whose length takes four bytes (PS3.5, table 7.1-1).
fn has_long_length(vr: VR) -> bool {
    is_bulk(vr) || matches!(vr, VR::SQ | VR::SV | VR::UC | VR::UR | VR::UT | VR::UV)
}

/// Value representations that are held as they are stored.
fn is_bulk(vr: VR) -> bool {
    matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMPLICIT: Encoding = Encoding { explicit: false, big_endian: false };
    const EXPLICIT: Encoding = Encoding { explicit: true, big_endian: false };

    /// (0008,1140) Referenced Image Sequence of undefined length, `depth` times, never closed.
    fn nested(depth: usize) -> Vec<u8> {
        let level = [
            0x08, 0x00, 0x40, 0x11, 255, 255, 255, 255, 0xfe, 0xff, 0x00, 0xe0, 255, 255, 255, 255,
        ];
        level.repeat(depth)
    }

    #[test]
    fn lengths_beyond_the_file_and_deep_nesting_are_refused() {
        // (0028,0010) Rows, and (0008,0016) of two bytes.
        let rows = [0x28, 0, 0x10, 0, 2, 0, 0, 0, 64, 0];
        check(&rows, IMPLICIT).unwrap();
        for cut in 1..rows.len() {
            check(&rows[..cut], IMPLICIT).unwrap_err();
        }
        let claims = b"\xe0\x7f\x10\0OW\0\0\xf0\xff\xff\xffabcd";
        let error = check(claims, EXPLICIT).unwrap_err().to_string();
        assert!(error.contains("claims 4294967280 bytes, found 4"), "{error}");
        let error = check(&nested(40), IMPLICIT).unwrap_err().to_string();
        assert!(error.contains("nested"), "{error}");
        let error = check(&nested(20), IMPLICIT).unwrap_err().to_string();
        assert!(error.contains("ends within"), "{error}");
    }
}
