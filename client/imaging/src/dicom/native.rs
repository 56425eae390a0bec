//! Uncompressed pixel data.

use std::borrow::Cow;

use dicom_core::PrimitiveValue;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_BIG_ENDIAN;

use super::attributes::Attributes;
use super::fault::{damaged, unsupported};
use super::file::Syntax;
use super::samples::Samples;
use crate::error::Fault;

/// The bytes of all frames, in little-endian order.
pub(super) fn bytes<'a>(
    value: &'a PrimitiveValue,
    attributes: &Attributes,
    syntax: &Syntax,
) -> Result<Cow<'a, [u8]>, Fault> {
    let big_endian = syntax.uid == EXPLICIT_VR_BIG_ENDIAN.uid();
    match value {
        PrimitiveValue::U8(bytes) if big_endian && attributes.bits_allocated > 8 => {
            let size = usize::from(attributes.bits_allocated / 8);
            let samples = bytes.chunks_exact(size);
            Ok(Cow::Owned(samples.flat_map(|sample| sample.iter().rev().copied()).collect()))
        }
        PrimitiveValue::U8(bytes) => Ok(Cow::Borrowed(bytes)),
        PrimitiveValue::U16(_) if big_endian && attributes.bits_allocated == 32 => {
            Err(unsupported("32-bit pixels in big-endian words", "export it little-endian"))
        }
        // The first of two 8-bit pixels is the low byte of a word in either byte order (PS3.5,
        // 8.2).
        PrimitiveValue::U16(words) => {
            Ok(Cow::Owned(words.iter().flat_map(|word| word.to_le_bytes()).collect()))
        }
        PrimitiveValue::Empty => Ok(Cow::Borrowed(&[])),
        _ => Err(damaged("expected pixel data of bytes or words")),
    }
}

/// Bits of a frame: two pixels of `YBR_FULL_422` share their chroma, so that they have four samples
/// instead of six (PS3.3, C.7.6.3.1.2).
fn bits_of_frame(attributes: &Attributes) -> usize {
    let subsampled = attributes.photometric == "YBR_FULL_422";
    let count = if subsampled { attributes.pixels() * 2 } else { attributes.values() };
    count.saturating_mul(usize::from(attributes.bits_allocated))
}

/// Refuses more bytes than what fills up a block behind the last frame: there are frames that the
/// attributes do not count, or samples that they do not know of.
pub(super) fn check_rest(bytes: &[u8], attributes: &Attributes) -> Result<(), Fault> {
    let frame = bits_of_frame(attributes).div_ceil(8);
    let needed = bits_of_frame(attributes).saturating_mul(attributes.frames).div_ceil(8);
    if bytes.len().saturating_sub(needed).saturating_mul(2) < frame.max(4) {
        return Ok(());
    }
    let found = bytes.len();
    let frames = attributes.frames;
    Err(damaged(format!(
        "expected {needed} bytes of pixel data, as its number of frames ({frames}), size and samples say, found {found}"
    )))
}

/// The samples of one frame.
pub(super) fn frame(bytes: &[u8], attributes: &Attributes, frame: usize) -> Result<Samples, Fault> {
    let subsampled = attributes.photometric == "YBR_FULL_422";
    if subsampled && (attributes.bits_allocated != 8 || !attributes.columns.is_multiple_of(2)) {
        let what = "subsampled colour (YBR_FULL_422) of other than 8 bits or an odd width";
        return Err(unsupported(what, "export it as RGB"));
    }
    let bits = usize::from(attributes.bits_allocated);
    let count = bits_of_frame(attributes) / bits.max(1);
    // Frames of single bits follow each other without filling (PS3.5, 8.1.1).
    let (first, last) = (frame.checked_mul(count), (frame + 1).checked_mul(count));
    let needed = last.and_then(|last| last.checked_mul(bits)).map(|bits| bits.div_ceil(8));
    let (Some(first), Some(needed)) = (first, needed) else {
        return Err(damaged("more frames than can be counted"));
    };
    if bytes.len() < needed {
        let found = bytes.len();
        return Err(damaged(format!(
            "expected {needed} bytes of pixel data up to frame {frame}, found {found}"
        )));
    }
    let values: Vec<i64> = if bits == 1 {
        let bit = |index: usize| bytes.get(index / 8).map_or(0, |byte| byte >> (index % 8) & 1);
        (first..first + count).map(|index| i64::from(bit(index))).collect()
    } else {
        let samples = bytes.chunks_exact(bits / 8).skip(first).take(count);
        samples.map(little_endian).collect()
    };
    if subsampled {
        return Ok(Samples { values: whole_chroma(&values), planar: false, is_rgb: false });
    }
    Ok(Samples { values, planar: attributes.planar, is_rgb: false })
}

/// Gives each of two pixels the chroma that they share: Y1 Y2 B R becomes Y1 B R Y2 B R.
fn whole_chroma(values: &[i64]) -> Vec<i64> {
    let pairs = values.as_chunks::<4>().0.iter();
    pairs
        .flat_map(|[first, second, blue, red]| [*first, *blue, *red, *second, *blue, *red])
        .collect()
}

fn little_endian(bytes: &[u8]) -> i64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | i64::from(*byte))
}
