//! Checksums and end marks, which decoders pass over: they fill up what is missing.

use std::io::{self, Read as _};

use flate2::Crc;
use flate2::read::ZlibDecoder;

use super::scans;
use crate::error::Fault;
use crate::format::Format;
use crate::options::Limits;

/// Checks what the format has to show that a file is whole.
pub(crate) fn check(bytes: &[u8], format: Format, limits: Limits) -> Result<(), Fault> {
    let checked = match format {
        Format::Png => png(bytes, limits),
        Format::Jpeg => jpeg(bytes).and_then(|()| scans::check(bytes, limits.values)),
        Format::Gif => {
            let frames = gif_frames(bytes).map(drop);
            frames.ok_or_else(|| "expected a trailer at its end, found none".into())
        }
        _ => Ok(()),
    };
    checked.map_err(|what| Fault::damaged(format, what))
}

/// Bits a sample of a PNG, as its header says (PNG, third edition, 11.2.1).
pub(crate) fn png_bits(bytes: &[u8]) -> Option<u8> {
    png_chunk(bytes, *b"IHDR")?.get(8).copied()
}

/// The data of a PNG's first chunk of this type. The chunks have been checked.
pub(crate) fn png_chunk(bytes: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    png_chunks(bytes, kind).next()
}

/// The data of all of a PNG's chunks of this type.
pub(super) fn png_chunks(bytes: &[u8], kind: [u8; 4]) -> impl Iterator<Item = &[u8]> {
    let chunks = Chunks { bytes, at: 8 }.flatten();
    chunks.filter(move |chunk| chunk.kind == kind).map(|chunk| chunk.data)
}

/// The chunks' checksums to the end chunk, and that of the deflated pixels (PNG, third edition,
/// 5.3 and 10.1).
fn png(bytes: &[u8], limits: Limits) -> Result<(), String> {
    let mut deflated = Vec::new();
    for chunk in (Chunks { bytes, at: 8 }) {
        let chunk = chunk?;
        match &chunk.kind {
            b"IDAT" => deflated.extend_from_slice(chunk.data),
            b"IEND" => {
                // No picture within the limits inflates to more; the decoder refuses others.
                let most = limits.values.saturating_mul(9);
                let pixels = &mut ZlibDecoder::new(deflated.as_slice()).take(most);
                let inflated = io::copy(pixels, &mut io::sink());
                return inflated.map(drop).map_err(|error| format!("its pixels: {error}"));
            }
            _ => {}
        }
    }
    Err("expected an end chunk, found none".to_string())
}

struct Chunks<'a> {
    bytes: &'a [u8],
    at: usize,
}

struct Chunk<'a> {
    kind: [u8; 4],
    data: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let rest = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
        self.at = self.bytes.len();
        let chunk = (|| {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let length = u32::from_be_bytes(*length) as usize;
            let (covered, rest) = rest.split_at_checked(length.checked_add(4)?)?;
            let (kind, data) = covered.split_first_chunk::<4>()?;
            let stored = u32::from_be_bytes(*rest.first_chunk::<4>()?);
            self.at = start + 12 + length;
            Some((Chunk { kind: *kind, data }, covered, stored))
        })();
        let Some((chunk, covered, stored)) = chunk else {
            return Some(Err(format!("it ends within a chunk at byte {start}")));
        };
        let mut sum = Crc::new();
        sum.update(covered);
        if sum.sum() == stored {
            return Some(Ok(chunk));
        }
        let kind = chunk.kind.escape_ascii();
        Some(Err(format!("the checksum of its chunk {kind} at byte {start} does not fit")))
    }
}

/// Walks the segments of a JPEG or JPEG-LS stream to its end marker (ITU T.81, B.1.1). A thumbnail
/// and its end marker stand within a segment.
pub(crate) fn jpeg(bytes: &[u8]) -> Result<(), String> {
    let mut at = 0;
    let mut scans = 0;
    while let Some((marker, after)) = next_marker(bytes, at) {
        at = match marker {
            END if scans > 0 => return Ok(()),
            END => return Err("expected a scan before the end marker, found none".to_string()),
            START => after,
            _ => {
                scans += usize::from(marker == SCAN);
                let length = bytes.get(after..).and_then(|rest| rest.first_chunk::<2>());
                let Some(length) = length else { break };
                after + usize::from(u16::from_be_bytes(*length))
            }
        };
    }
    Err("expected an end marker after the last scan, found none".to_string())
}

/// Width, height and channels of a JPEG-LS stream, by its frame header (ISO 14495-1, C.2.2).
pub(crate) fn jpeg_ls_size(bytes: &[u8]) -> Option<(u16, u16, u8)> {
    let mut at = 0;
    loop {
        let (marker, after) = next_marker(bytes, at)?;
        let segment = bytes.get(after..)?;
        at = match (marker, segment) {
            (START, _) => after,
            (END, _) => return None,
            (0xf7, [_, _, _, height, low, width, lower, channels, ..]) => {
                let [height, width] = [[*height, *low], [*width, *lower]].map(u16::from_be_bytes);
                return Some((width, height, *channels));
            }
            (_, [high, low, ..]) => after + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return None,
        };
    }
}

pub(super) const START: u8 = 0xd8;
pub(super) const END: u8 = 0xd9;
pub(super) const SCAN: u8 = 0xda;

/// The next marker and where its segment starts. Coded data hold none: after 0xff stands a byte
/// below 0x80 there, or the mark of a restart.
pub(super) fn next_marker(bytes: &[u8], start: usize) -> Option<(u8, usize)> {
    let pairs = bytes.get(start..)?.windows(2);
    let is_marker =
        |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0..0x80 | 0xd0..=0xd7 | 0xff);
    let (offset, pair) = pairs.enumerate().find(|(_, pair)| is_marker(pair))?;
    Some((pair[1], start + offset + 2))
}

/// Walks the blocks of a GIF to its trailer (GIF89a, 17 to 27): how many frames it has, `None` without
/// a trailer.
pub(super) fn gif_frames(bytes: &[u8]) -> Option<usize> {
    let mut at = 13 + colours(*bytes.get(10)?);
    let mut frames = 0;
    loop {
        match *bytes.get(at)? {
            0x3b => return Some(frames),
            0x21 => at = sub_blocks(bytes, at + 2)?,
            0x2c => {
                frames += 1;
                at = sub_blocks(bytes, at + 11 + colours(*bytes.get(at + 9)?))?;
            }
            _ => return None,
        }
    }
}

/// Bytes of the colour table that a field of flags announces.
fn colours(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

fn sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}
