//! How a file says that its pixels lie: turned, by EXIF or TIFF's own tag, or with the bits of its
//! bytes in another order. What is said and cannot be used is an error that names the tag.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;
use image::metadata::Orientation;

use super::directory::Tiff;
use super::marks::{self, END, SCAN, START};
use super::xmp;
use crate::error::Fault;
use crate::format::Format;

/// Bits of a byte from the last to the first, and from the first to the last (TIFF 6.0, section 8).
const FILL_ORDER: u16 = 266;
const ORIENTATION: u16 = 274;
/// Which of a grey TIFF's values is white: 0 where this is 0 (TIFF 6.0, section 8).
const PHOTOMETRIC: u16 = 262;
/// The segment of a JPEG that may hold EXIF data, and how these start there.
const APP1: u8 = 0xe1;
const EXIF: &[u8] = b"Exif\0\0";
/// Where XMP says the same.
const XMP: &str = "XMP tiff:Orientation";
/// Names of a PNG's text chunks that hold EXIF data or XMP, and the most bytes of their text.
const PROFILES: [&[u8]; 3] =
    [b"Raw profile type exif\0", b"Raw profile type APP1\0", b"Raw profile type xmp\0"];
pub(super) const MAX_PROFILE: u64 = 1 << 20;

/// How a picture is turned to be shown. A PNG may say so before its pixels or after them, a JPEG
/// before its first scan; by EXIF, or by XMP. An orientation of 0, which is no value of either, is
/// what programs write that do not know it: it says nothing.
///
/// # Errors
/// [`Fault::Value`] where it says so by anything but one number from 0 to 8, or twice and
/// differently.
pub(super) fn orientation(bytes: &[u8], format: Format) -> Result<Orientation, Fault> {
    let (blocks, what) = match format {
        Format::Tiff => (vec![Cow::Borrowed(bytes)], "Orientation (274)"),
        Format::Jpeg => (jpeg_exif(bytes), "EXIF Orientation (274)"),
        Format::Png => {
            let chunks = marks::png_chunks(bytes, *b"eXIf").map(without_prefix);
            let mut blocks: Vec<_> = chunks.map(Cow::Borrowed).collect();
            let exif = |profile: &Vec<u8>| !xmp::is_packet(profile);
            blocks.extend(profiles(bytes).into_iter().filter(exif).map(Cow::Owned));
            (blocks, "EXIF Orientation (274)")
        }
        _ => (Vec::new(), ""),
    };
    // A block of zeros says nothing.
    let blocks = blocks.iter().filter(|block| block.iter().any(|byte| *byte != 0));
    let of_block = |block: &Cow<'_, [u8]>| {
        let header = || "expected EXIF data with the header of a TIFF, found none".to_string();
        let tiff = Tiff::new(block).ok_or_else(header)?;
        tiff.number(ORIENTATION)
    };
    let tags = blocks.map(|block| (what, of_block(block)));
    let packets = xmp::packets(bytes, format).map_err(|text| value(format, XMP, &text))?;
    let packets = packets.iter().map(|packet| (XMP, xmp::orientation(packet)));
    let mut said: Option<(Orientation, &str)> = None;
    for (what, found) in tags.chain(packets) {
        let found = found.map_err(|text| value(format, what, &text))?;
        let Some(found) = found.filter(|found| *found != 0) else { continue };
        let known = u8::try_from(found).ok().and_then(Orientation::from_exif);
        let known =
            known.ok_or_else(|| value(format, what, &format!("expected 1 to 8, found {found}")))?;
        let (first, by) = *said.get_or_insert((known, what));
        if first != known {
            let first = first.to_exif();
            return Err(Fault::value(
                format,
                format!("expected one orientation, found {first} by {by} and {found} by {what}"),
            ));
        }
    }
    Ok(said.map_or(Orientation::NoTransforms, |(orientation, _)| orientation))
}

fn value(format: Format, what: &str, text: &str) -> Fault {
    Fault::value(format, format!("{what}: {text}"))
}

/// Refuses a TIFF whose bits run backwards in each byte, or whose first directory is cut off.
///
/// # Errors
/// [`Fault::Unsupported`] for these, [`Fault::Value`] for a tag that says neither, or both.
pub(super) fn check_fill_order(bytes: &[u8], format: Format) -> Result<(), Fault> {
    let Some(tiff) = Tiff::new(bytes).filter(|_| format == Format::Tiff) else { return Ok(()) };
    tiff.check().map_err(|text| Fault::damaged(format, text))?;
    let refuse = |text: String| value(format, "FillOrder (266)", &text);
    match tiff.number(FILL_ORDER).map_err(refuse)? {
        None | Some(1) => Ok(()),
        Some(2) => Err(Fault::Unsupported {
            format,
            what: "a FillOrder (266) of 2, in which the bits of each byte run backwards"
                .to_string(),
            advice: "save it with a FillOrder of 1, or as PNG",
        }),
        Some(found) => Err(refuse(format!("expected 1 or 2, found {found}"))),
    }
}

/// Whether a file is a TIFF whose 0 is white, which decoders turn round.
pub(super) fn stores_white_as_0(bytes: &[u8], format: Format) -> bool {
    let tiff = Tiff::new(bytes).filter(|_| format == Format::Tiff);
    tiff.is_some_and(|tiff| tiff.number(PHOTOMETRIC) == Ok(Some(0)))
}

/// The EXIF data of a JPEG. Data that do not fit into one segment are continued in the next.
fn jpeg_exif(bytes: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut blocks: Vec<Cow<'_, [u8]>> = Vec::new();
    for exif in jpeg_segments(bytes).filter_map(|segment| segment.strip_prefix(EXIF)) {
        match blocks.last_mut() {
            Some(block) if Tiff::new(exif).is_none() => block.to_mut().extend_from_slice(exif),
            _ => blocks.push(Cow::Borrowed(exif)),
        }
    }
    blocks
}

/// The segments of a JPEG before its first scan that may hold EXIF data, or XMP.
pub(super) fn jpeg_segments(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    let all = std::iter::from_fn(move || {
        loop {
            let (marker, after) = marks::next_marker(bytes, at)?;
            at = after;
            match marker {
                START => continue,
                SCAN | END => return None,
                _ => {}
            }
            let rest = bytes.get(after..)?;
            let length = usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
            at = after + length;
            return Some((marker, rest.get(2..length)));
        }
    });
    all.filter_map(|(marker, segment)| segment.filter(|_| marker == APP1))
}

/// The EXIF data of a PNG's text chunks, where programs wrote them before there was a chunk for them:
/// as hexadecimal digits after the profile's name and length, a line each. XMP is written so, too.
pub(super) fn profiles(bytes: &[u8]) -> Vec<Vec<u8>> {
    let plain = marks::png_chunks(bytes, *b"tEXt").map(|data| (data, false));
    let deflated = marks::png_chunks(bytes, *b"zTXt").map(|data| (data, true));
    let profile = |(data, deflated): (&[u8], bool)| {
        let name = PROFILES.into_iter().find(|name| data.starts_with(name))?;
        let mut text = Vec::new();
        match deflated {
            false => text.extend_from_slice(data.get(name.len()..)?),
            // A byte for the method, of which there is one.
            true => {
                let inflated = ZlibDecoder::new(data.get(name.len() + 1..)?);
                inflated.take(MAX_PROFILE).read_to_end(&mut text).ok()?;
            }
        }
        let mut lines = text.trim_ascii_start().splitn(3, |byte| *byte == b'\n');
        let digits: Vec<u8> =
            lines.nth(2)?.iter().filter(|byte| !byte.is_ascii_whitespace()).copied().collect();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let pairs = digits.chunks_exact(2).map(|pair| match pair {
            [high, low] => u8::try_from(16 * digit(*high)? + digit(*low)?).ok(),
            _ => None,
        });
        let exif: Vec<u8> = pairs.collect::<Option<_>>()?;
        Some(without_prefix(&exif).to_vec())
    };
    // What cannot be read holds something, and no data of a TIFF: that is refused by its reader.
    let named = |(data, _): &(&[u8], bool)| PROFILES.iter().any(|name| data.starts_with(name));
    let found = plain.chain(deflated).filter(named);
    found.map(|chunk| profile(chunk).unwrap_or_else(|| b"unreadable".to_vec())).collect()
}

/// Without the start that belongs to JPEG's segments only, and that some programs write elsewhere.
fn without_prefix(exif: &[u8]) -> &[u8] {
    exif.strip_prefix(EXIF).unwrap_or(exif)
}
