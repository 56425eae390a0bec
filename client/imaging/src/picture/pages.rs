//! Files of several pages or frames, of which one would be read and the others lost.

use std::collections::BTreeSet;

use super::directory::Tiff;
use super::marks;
use crate::error::Fault;
use crate::format::Format;

/// Refuses a TIFF of several pages, and a GIF or PNG of several frames. Smaller copies and
/// transparency masks of a TIFF's first page are none.
///
/// # Errors
/// [`Fault::Unsupported`] with how many there are.
pub(super) fn check(bytes: &[u8], format: Format) -> Result<(), Fault> {
    let (found, thing) = match format {
        Format::Tiff => (tiff_pages(bytes), "pages"),
        Format::Gif => (marks::gif_frames(bytes).unwrap_or(1), "frames"),
        Format::Png => (png_frames(bytes), "frames"),
        _ => return Ok(()),
    };
    if found <= 1 {
        return Ok(());
    }
    Err(Fault::Unsupported {
        format,
        what: format!("{found} {thing}"),
        advice: "save each one that counts as a file of its own",
    })
}

/// The frames of an animated PNG, as its control chunk counts them.
fn png_frames(bytes: &[u8]) -> usize {
    let control = marks::png_chunk(bytes, *b"acTL").and_then(|chunk| chunk.first_chunk::<4>());
    control.map_or(1, |frames| u32::from_be_bytes(*frames) as usize)
}

/// The pages of a TIFF that are pictures of their own, and the first one, which is read, whatever it
/// is. What cannot be followed ends the count: the decoder has its say on the first page.
fn tiff_pages(bytes: &[u8]) -> usize {
    let Some(tiff) = Tiff::new(bytes) else { return 0 };
    let (mut pages, mut seen) = (0, BTreeSet::new());
    let mut next = tiff.long(4);
    while let Some(start) = next.filter(|start| *start > 0 && seen.insert(*start)) {
        let Some(entries) = tiff.short(start) else { break };
        let after = start + 2 + 12 * usize::from(entries);
        let mut entries = (start + 2..after).step_by(12);
        pages += usize::from(seen.len() == 1 || !entries.any(|at| says_lesser(&tiff, at)));
        next = tiff.long(after);
    }
    pages
}

/// Whether the entry at a place says that its page is a smaller copy or a transparency mask:
/// `NewSubfileType` by its bits, the older `SubfileType` by 2 (TIFF 6.0, section 8).
fn says_lesser(tiff: &Tiff<'_>, at: usize) -> bool {
    match tiff.short(at) {
        Some(254) => tiff.long(at + 8).is_some_and(|kind| kind & 5 != 0),
        Some(255) => tiff.short(at + 8) == Some(2),
        _ => false,
    }
}
