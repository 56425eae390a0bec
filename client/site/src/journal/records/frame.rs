//! How a record lies in a journal, and what a crash may leave in the place of one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use ringfence_crypto::Digest;

use super::Record;

/// Bytes of a header.
pub(super) const HEADER: usize = 80;

/// What ends a record. No byte of it is zero: a block that was never written ends none.
pub(super) const END: &[u8; 4] = b"RFJ.";

const MAGIC: &[u8; 4] = b"RFJ1";
/// Bytes that say what the record is.
const STATED: usize = 48;
/// Bytes of the name's digest, and of the check.
const CHECK: usize = 16;
/// The file's name was durable before the record was appended.
const NAMED: u8 = 1;
/// The record has no digest.
const BLANKABLE: u8 = 2;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// Names are this program's own.
const LONGEST_NAME: usize = 255;

/// The header of a record at a place.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for a name that is too long.
pub(super) fn header(
    of: &str,
    place: u64,
    record: &Record<'_>,
    named: bool,
) -> io::Result<[u8; HEADER]> {
    let Record { name, bytes, blankable } = *record;
    let name_length = u8::try_from(name.len()).map_err(|_| {
        let words = format!("expected a name of at most {LONGEST_NAME} bytes, got {}", name.len());
        io::Error::new(io::ErrorKind::InvalidInput, words)
    })?;
    let flags = u8::from(named) * NAMED + u8::from(blankable) * BLANKABLE;
    // What is destroyed later leaves no digest behind.
    let digest = if blankable { [0; 32] } else { Digest::of(bytes).0 };
    let mut header = [0; HEADER];
    let (length, name) = ((bytes.len() as u64).to_le_bytes(), check(&[name.as_bytes()]));
    let parts: [&[u8]; 5] = [MAGIC, &[flags, name_length, 0, 0], &length, &digest, &name];
    let (before, last) = header.split_at_mut(HEADER - CHECK);
    before.copy_from_slice(&parts.concat());
    last.copy_from_slice(&check(&[of.as_bytes(), &place.to_le_bytes(), before]));
    Ok(header)
}

fn check(parts: &[&[u8]]) -> [u8; CHECK] {
    let mut hasher = blake3::Hasher::new_derive_key("ringfence 2026 journal record");
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut check = [0; CHECK];
    hasher.finalize_xof().fill(&mut check);
    check
}

/// What lies at a place of a journal.
pub(super) enum Found {
    /// A whole record; its bytes are not looked at, but for the last one's.
    Record { name: String, at: u64, length: u64, digest: Option<Digest>, named: bool },
    /// Nothing, or what a crash left of a record: the journal ends here.
    End,
    /// Something that no crash leaves.
    Damage { at: u64 },
}

/// Reads a journal from its start.
pub(super) struct Scan<'a> {
    file: &'a File,
    of: &'a str,
    place: u64,
    length: u64,
}

impl<'a> Scan<'a> {
    pub(super) fn of(file: &'a File, of: &'a str) -> io::Result<Self> {
        Ok(Self { file, of, place: 0, length: file.metadata()?.len() })
    }

    /// The next record.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn next(&mut self) -> io::Result<Found> {
        let place = self.place;
        let left = self.length.saturating_sub(place);
        if left < HEADER as u64 {
            return Ok(Found::End);
        }
        let Some((found, end)) = self.record(place)? else {
            return Ok(match self.is_torn(place)? {
                true => Found::End,
                false => Found::Damage { at: place },
            });
        };
        // Cut off: the header says how long the record was to be.
        let cut = end > self.length || end == self.length && self.is_torn(place)?;
        if cut {
            return Ok(Found::End);
        }
        self.place = end;
        Ok(found)
    }

    /// The record whose header is at a place, and where it ends; none where there is no header.
    fn record(&mut self, place: u64) -> io::Result<Option<(Found, u64)>> {
        let header = self.read(place, HEADER)?;
        let (before, last) = header.split_at(HEADER - CHECK);
        let (stated, of_name) = before.split_at(STATED);
        let whole = check(&[self.of.as_bytes(), &place.to_le_bytes(), before]) == *last;
        let [b'R', b'F', b'J', b'1', flags, name_length, _, _, rest @ ..] = stated else {
            return Ok(None);
        };
        let (Some(length), Some(digest)) = (rest.first_chunk::<8>(), rest.last_chunk::<32>())
        else {
            return Ok(None);
        };
        if !whole {
            return Ok(None);
        }
        let (flags, name_length) = (*flags, usize::from(*name_length));
        let at = place + (HEADER + name_length) as u64;
        let end = at.saturating_add(u64::from_le_bytes(*length)).saturating_add(END.len() as u64);
        if end > self.length {
            return Ok(Some((Found::End, end)));
        }
        let name = self.read(place + HEADER as u64, name_length)?;
        let is_name = check(&[&name]) == *of_name;
        let Some(name) = String::from_utf8(name).ok().filter(|_| is_name) else {
            return Ok(None);
        };
        let length = u64::from_le_bytes(*length);
        let digest = (flags & BLANKABLE == 0).then_some(Digest(*digest));
        let named = flags & NAMED != 0;
        Ok(Some((Found::Record { name, at, length, digest, named }, end)))
    }

    /// Whether from a place to the file's end there is what a power cut leaves of what was being
    /// written: the whole last sector was never written, and is zero. No record ends so.
    fn is_torn(&mut self, place: u64) -> io::Result<bool> {
        let last = self.length.saturating_sub(1) / SECTOR * SECTOR;
        let from = last.max(place);
        let tail = self.read(from, usize::try_from(self.length - from).unwrap_or_default())?;
        Ok(tail.iter().all(|byte| *byte == 0))
    }

    fn read(&mut self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
