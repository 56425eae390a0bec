//! How a file says that its pixels lie: turned, by EXIF or TIFF's own tag, or with the bits of its
//! bytes in another order. What is said and cannot be used is an error that names the tag.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;
use image::metadata::Orientation;

use super::directory::Tiff;
use super::marks::{self, END, SCAN, START};
use crate::error::Fault;
use crate::format::Format;

/// Bits of a byte from the last to the first, and from the first to the last (TIFF 6.0, section 8).
const FILL_ORDER: u16 = 266;
const ORIENTATION: u16 = 274;
/// The segment of a JPEG that may hold EXIF data, and how these start there.
const APP1: u8 = 0xe1;
const EXIF: &[u8] = b"Exif\0\0";
/// Names of a PNG's text chunks that hold EXIF data, and the most bytes of their text.
const PROFILES: [&[u8]; 2] = [b"Raw profile type exif\0", b"Raw profile type APP1\0"];
const MAX_PROFILE: u64 = 1 << 20;

/// How a picture is turned to be shown. A PNG may say so before its pixels or after them, a JPEG
/// before its first scan.
///
/// # Errors
/// [`Fault::Damaged`] where it says so by anything but one number from 1 to 8, or twice and
/// differently.
pub(super) fn orientation(bytes: &[u8], format: Format) -> Result<Orientation, Fault> {
    let (blocks, what) = match format {
        Format::Tiff => (vec![Cow::Borrowed(bytes)], "Orientation (274)"),
        Format::Jpeg => (jpeg_exif(bytes), "EXIF Orientation (274)"),
        Format::Png => {
            let chunks = marks::png_chunks(bytes, *b"eXIf").map(without_prefix);
            let mut blocks: Vec<_> = chunks.map(Cow::Borrowed).collect();
            blocks.extend(profiles(bytes).into_iter().map(Cow::Owned));
            (blocks, "EXIF Orientation (274)")
        }
        _ => return Ok(Orientation::NoTransforms),
    };
    let refuse = |text: String| Fault::damaged(format, format!("{what}: {text}"));
    let mut said = None;
    // A block of zeros says nothing.
    for block in blocks.iter().filter(|block| block.iter().any(|byte| *byte != 0)) {
        let header = || "expected EXIF data with the header of a TIFF, found none".to_string();
        let tiff = Tiff::new(block).ok_or_else(|| refuse(header()))?;
        let Some(found) = tiff.number(ORIENTATION).map_err(refuse)? else { continue };
        let known = u8::try_from(found).ok().and_then(Orientation::from_exif);
        let known = known.ok_or_else(|| refuse(format!("expected 1 to 8, found {found}")))?;
        if *said.get_or_insert(known) != known {
            return Err(refuse("expected one, found two that differ".to_string()));
        }
    }
    Ok(said.unwrap_or(Orientation::NoTransforms))
}

/// Refuses a TIFF whose bits run backwards in each byte.
///
/// # Errors
/// [`Fault::Unsupported`] for these, [`Fault::Damaged`] for a tag that says neither.
pub(super) fn check_fill_order(bytes: &[u8], format: Format) -> Result<(), Fault> {
    let Some(tiff) = Tiff::new(bytes).filter(|_| format == Format::Tiff) else { return Ok(()) };
    let refuse = |text| Fault::damaged(format, format!("FillOrder (266): {text}"));
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

/// The EXIF data of a JPEG. Data that do not fit into one segment are continued in the next.
fn jpeg_exif(bytes: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut blocks: Vec<Cow<'_, [u8]>> = Vec::new();
    let mut at = 0;
    while let Some((marker, after)) = marks::next_marker(bytes, at) {
        at = after;
        match marker {
            START => continue,
            SCAN | END => break,
            _ => {}
        }
        let Some(rest) = bytes.get(after..) else { break };
        let Some(length) = rest.first_chunk::<2>() else { break };
        let length = usize::from(u16::from_be_bytes(*length));
        at = after + length;
        let exif = rest.get(2..length).and_then(|segment| segment.strip_prefix(EXIF));
        let Some(exif) = exif.filter(|_| marker == APP1) else { continue };
        match blocks.last_mut() {
            Some(block) if Tiff::new(exif).is_none() => block.to_mut().extend_from_slice(exif),
            _ => blocks.push(Cow::Borrowed(exif)),
        }
    }
    blocks
}

/// Without the start that belongs to JPEG's segments only, and that some programs write elsewhere.
/// The EXIF data of a PNG's text chunks, where programs wrote them before there was a chunk for them:
/// as hexadecimal digits after the profile's name and length, a line each.
fn profiles(bytes: &[u8]) -> Vec<Vec<u8>> {
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

fn without_prefix(exif: &[u8]) -> &[u8] {
    exif.strip_prefix(EXIF).unwrap_or(exif)
}
