//! How several pieces lie in one file or object, so that one can be read alone. Numbers have 8 bytes,
//! little-endian.

use std::ops::Range;

/// Bytes of a number.
pub(crate) const NUMBER: usize = 8;

/// What stands before envelopes: the length of each.
pub(crate) fn lengths(envelopes: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let length = |envelope: &_| (AsRef::<[u8]>::as_ref(envelope).len() as u64).to_le_bytes();
    envelopes.iter().flat_map(length).collect()
}

/// Envelopes behind their lengths.
pub(crate) fn joined(envelopes: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut joined = lengths(envelopes);
    envelopes.iter().for_each(|envelope| joined.extend_from_slice(envelope.as_ref()));
    joined
}

/// Where an envelope lies behind these lengths; nothing where there is none.
pub(crate) fn envelope(lengths: &[u8], index: usize) -> Option<Range<u64>> {
    let (numbers, _) = lengths.as_chunks::<NUMBER>();
    let mut sizes = numbers.iter().map(|number| u64::from_le_bytes(*number));
    let before = sizes.by_ref().take(index).try_fold(lengths.len() as u64, u64::checked_add)?;
    Some(before..before.checked_add(sizes.next()?)?)
}

/// What stands before the pieces of an opening: their number, and where each ends, counted from the
/// first one's start.
pub(crate) fn ends(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut head = (pieces.len() as u64).to_le_bytes().to_vec();
    let mut end = 0u64;
    for piece in pieces {
        end += piece.len() as u64;
        head.extend_from_slice(&end.to_le_bytes());
    }
    head
}

/// The two numbers that say where a piece lies, in the head of [`ends`].
pub(crate) fn numbers_of(index: usize) -> Option<Range<u64>> {
    let first = (index as u64).checked_mul(NUMBER as u64)?;
    Some(first..first.checked_add(2 * NUMBER as u64)?)
}

/// Where a piece lies, by the number of pieces and the numbers at [`numbers_of`]; nothing where there
/// is none.
pub(crate) fn piece(count: &[u8], numbers: &[u8], index: usize) -> Option<Range<u64>> {
    let count = u64::from_le_bytes(*count.first_chunk::<NUMBER>()?);
    let start = u64::from_le_bytes(*numbers.first_chunk::<NUMBER>()?);
    let end = u64::from_le_bytes(*numbers.last_chunk::<NUMBER>()?);
    // Before the first end stands the count.
    let start = if index == 0 { 0 } else { start };
    if index as u64 >= count || end < start {
        return None;
    }
    let head = count.checked_add(1)?.checked_mul(NUMBER as u64)?;
    Some(head.checked_add(start)?..head.checked_add(end)?)
}
