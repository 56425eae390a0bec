//! The orientation in a picture's XMP packet (ISO 16684-1), which programs write beside EXIF or
//! instead of it.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::ZlibDecoder;

use super::directory::Tiff;
use super::{marks, tags};
use crate::format::Format;

/// How the segment of a JPEG starts that holds a packet (XMP, part 3, 1.1.3).
const SEGMENT: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// The text chunk of a PNG (1.1.5), the entry of a TIFF (1.1.6), and the block of a GIF (1.1.2).
const CHUNK: &[u8] = b"XML:com.adobe.xmp\0";
const ENTRY: u16 = 700;
const BLOCK: &[u8] = b"XMP DataXMP";
/// The namespace of TIFF's properties, whatever a packet calls it.
const NAMESPACE: &str = "http://ns.adobe.com/tiff/1.0/";

/// Whether the data of a segment are a packet.
pub(super) fn is_packet(data: &[u8]) -> bool {
    data.starts_with(SEGMENT) || data.trim_ascii_start().starts_with(b"<")
}

/// The packets of a picture.
///
/// # Errors
/// What was expected and what came, where one cannot be reached or inflated.
pub(super) fn packets(bytes: &[u8], format: Format) -> Result<Vec<Cow<'_, [u8]>>, String> {
    match format {
        Format::Jpeg => {
            let segments = tags::jpeg_segments(bytes);
            Ok(segments.filter_map(|data| data.strip_prefix(SEGMENT)).map(Cow::Borrowed).collect())
        }
        Format::Png => {
            let chunks = marks::png_chunks(bytes, *b"iTXt");
            let texts = chunks.filter_map(|data| data.strip_prefix(CHUNK)).map(text);
            let profiles = tags::profiles(bytes).into_iter().filter(|data| is_packet(data));
            texts.chain(profiles.map(|data| Ok(Cow::Owned(data)))).collect()
        }
        Format::Tiff => {
            let Some(tiff) = Tiff::new(bytes) else { return Ok(Vec::new()) };
            Ok(tiff.data(ENTRY)?.map(Cow::Borrowed).into_iter().collect())
        }
        // The packet is not divided into the blocks of the format, and ends with them.
        Format::Gif => {
            let start = bytes.windows(BLOCK.len()).position(|window| window == BLOCK);
            let packet = start.and_then(|start| bytes.get(start + BLOCK.len()..));
            Ok(packet.map(Cow::Borrowed).into_iter().collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// The text of a PNG's chunk after its keyword: a flag and a method of compression, a language and
/// another keyword, each ended by 0 (PNG, third edition, 11.3.3.4).
fn text(data: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let cut_off = || "expected a text after the chunk's keyword, found none".to_string();
    let (flags, rest) = data.split_first_chunk::<2>().ok_or_else(cut_off)?;
    let text = rest.splitn(3, |byte| *byte == 0).nth(2).ok_or_else(cut_off)?;
    if flags[0] == 0 {
        return Ok(Cow::Borrowed(text));
    }
    let mut inflated = Vec::new();
    let read = ZlibDecoder::new(text).take(tags::MAX_PROFILE).read_to_end(&mut inflated);
    read.map_err(|error| format!("expected a deflated packet, found none ({error})"))?;
    Ok(Cow::Owned(inflated))
}

/// The orientation that a packet states, as an attribute or as an element; `None` where it states
/// none.
///
/// # Errors
/// What was expected and what came, where it is no number or stands there twice and differently.
pub(super) fn orientation(packet: &[u8]) -> Result<Option<usize>, String> {
    // Where a character has two bytes or four, the others of these letters are 0.
    let letters: Vec<u8> = packet.iter().copied().filter(|byte| *byte != 0).collect();
    let packet = String::from_utf8_lossy(&letters);
    let mut found = None;
    for prefix in prefixes(&packet) {
        let name = format!("{prefix}:Orientation");
        for (at, _) in packet.match_indices(&name) {
            let before = packet.get(..at).and_then(|before| before.chars().next_back());
            // Within another word, or the end of an element.
            if before.is_none_or(|before| before != '<' && !before.is_whitespace()) {
                continue;
            }
            let after = packet.get(at + name.len()..).unwrap_or_default().trim_start();
            let Some(number) = stated(after) else {
                continue;
            };
            let refuse = || format!("expected 1 to 8, found `{}`", number.escape_debug());
            let number: usize = number.trim().parse().map_err(|_| refuse())?;
            let first = *found.get_or_insert(number);
            if first != number {
                return Err(format!(
                    "expected one value, found {first} and {number} in one packet"
                ));
            }
        }
    }
    Ok(found)
}

/// What stands after an attribute's name or within an element; `None` where the name ends otherwise.
fn stated(after: &str) -> Option<&str> {
    if let Some(value) = after.strip_prefix('=') {
        let value = value.trim_start();
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        return value.get(1..)?.split(quote).next();
    }
    after.strip_prefix('>')?.split('<').next()
}

/// What the packet calls the namespace; `tiff` where it does not say.
fn prefixes(packet: &str) -> Vec<&str> {
    let mut prefixes = vec!["tiff"];
    for (at, _) in packet.match_indices(NAMESPACE) {
        let before = packet.get(..at).unwrap_or_default().trim_end_matches(['"', '\'']);
        let before = before.trim_end().trim_end_matches('=').trim_end();
        let Some((_, prefix)) = before.rsplit_once("xmlns:") else { continue };
        if !prefix.is_empty() && prefix != "tiff" && !prefix.contains(char::is_whitespace) {
            prefixes.push(prefix);
        }
    }
    prefixes
}
