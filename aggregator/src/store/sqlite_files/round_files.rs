//! The files of one round: what each is called, and how it is written and read.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::Header;
use ringfence_durable::{Readers, Unfinished};

use crate::store::blobs::{Blob, BodyCheck, EnvelopePlace, Extent};
use crate::store::pieces;
use crate::store::terms::StoreError;

const BODIES: &str = "bodies";
const ENVELOPES: &str = "envelopes";
const OPENINGS: &str = "openings";

/// The files of one round.
#[derive(Debug, Clone)]
pub(super) struct RoundFiles {
    pub(super) root: PathBuf,
}

impl RoundFiles {
    /// Makes the folders of a round, durably, and clears what a crash left half-written.
    pub(super) fn begin(&self) -> io::Result<()> {
        for folder in [BODIES, ENVELOPES, OPENINGS] {
            ringfence_durable::create_folder(&self.root.join(folder))?;
            ringfence_durable::clear_unfinished(&self.root.join(folder))?;
        }
        // Folders that an earlier process made: a crash may have come before it synced the one above.
        for folder in self.root.ancestors().take(3) {
            ringfence_durable::sync_folder(folder)?;
        }
        ringfence_durable::clear_unfinished(&self.root)
    }

    /// The body of a site, whole.
    fn body(&self, site: &SiteId) -> PathBuf {
        self.root.join(BODIES).join(site.as_str())
    }

    /// The body of a site as far as it has come: always a beginning of what was sent.
    pub(super) fn partial_body(&self, site: &SiteId) -> PathBuf {
        self.root.join(BODIES).join(format!("{site}.part"))
    }

    fn envelopes(&self, site: &SiteId) -> PathBuf {
        self.root.join(ENVELOPES).join(site.as_str())
    }

    fn opening(&self, digest: Digest) -> PathBuf {
        self.root.join(OPENINGS).join(digest.to_string())
    }

    pub(super) fn sum(&self) -> PathBuf {
        self.root.join("sum")
    }

    fn blob(&self, blob: &Blob) -> PathBuf {
        match blob {
            Blob::Body(site) => self.body(site),
            Blob::Sum => self.sum(),
        }
    }

    /// Bytes of a site's body that are stored, and whether they are under its final name.
    pub(super) fn body_bytes(&self, site: &SiteId) -> io::Result<(u64, bool)> {
        match size(&self.body(site))? {
            Some(bytes) => Ok((bytes, true)),
            None => Ok((size(&self.partial_body(site))?.unwrap_or(0), false)),
        }
    }

    /// With `hashed`, the digest of what was written under the partial name, that is not read again.
    pub(super) fn finish_body(
        &self,
        header: &Header,
        hashed: Option<Digest>,
    ) -> io::Result<BodyCheck> {
        let (partial, body) = (self.partial_body(&header.site), self.body(&header.site));
        let renamed = size(&body)?.is_some();
        let found = if renamed { &body } else { &partial };
        let got = match hashed.filter(|_| !renamed) {
            Some(hashed) => hashed,
            None => {
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(&mut File::open(found)?)?;
                Digest::finish(&hasher)
            }
        };
        if got != header.body {
            fs::remove_file(found)?;
            return Ok(BodyCheck::Discarded { got });
        }
        match renamed {
            // A crash may have come between the new name and the sync of its folder.
            true => ringfence_durable::sync_folder_of(&body)?,
            false => ringfence_durable::rename(&partial, &body)?,
        }
        Ok(BodyCheck::Right)
    }

    pub(super) fn discard_body(&self, site: &SiteId) -> io::Result<()> {
        for path in [self.body(site), self.partial_body(site)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        ringfence_durable::sync_folder(&self.root.join(BODIES))
    }

    pub(super) fn has_envelopes(&self, site: &SiteId) -> io::Result<bool> {
        Ok(size(&self.envelopes(site))?.is_some())
    }

    /// Writes the envelopes' lengths, then their bytes, so that one can be read alone.
    pub(super) fn write_envelopes(&self, site: &SiteId, envelopes: &[Vec<u8>]) -> io::Result<()> {
        write_pieces(&self.envelopes(site), &pieces::lengths(envelopes), envelopes)
    }

    pub(super) fn envelope(
        &self,
        site: &SiteId,
        place: EnvelopePlace,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut file = match File::open(self.envelopes(site)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let lengths = read_range(&mut file, 0..(place.count * pieces::NUMBER) as u64)?;
        let range = pieces::envelope(&lengths, place.index).ok_or(io::ErrorKind::UnexpectedEof)?;
        read_range(&mut file, range).map(Some)
    }

    /// Writes where each piece ends, counted from the first one's start, then the pieces' bytes.
    pub(super) fn write_opening(&self, digest: Digest, pieces: &[Vec<u8>]) -> io::Result<()> {
        write_pieces(&self.opening(digest), &pieces::ends(pieces), pieces)
    }

    pub(super) fn read_opening(
        &self,
        digest: Digest,
        pieces: [usize; 2],
    ) -> io::Result<[Vec<u8>; 2]> {
        let mut file = File::open(self.opening(digest))?;
        let [first, second] = pieces;
        Ok([read_piece(&mut file, first)?, read_piece(&mut file, second)?])
    }

    pub(super) fn extent(&self, blob: &Blob) -> io::Result<Option<Extent>> {
        match fs::metadata(self.blob(blob)) {
            Ok(metadata) => {
                Ok(Some(Extent { bytes: metadata.len(), modified: metadata.modified()? }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Exactly this range of a blob, if there is a file of it.
    pub(super) fn read(&self, blob: &Blob, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        let length = range.end.saturating_sub(range.start);
        let lost = |error| match lost_or_failed(error, String::new) {
            StoreError::Lost(_) => lost_bytes(blob, &range),
            failed => failed,
        };
        // Opened anew every time: as many files are open as are being read, however many there are.
        let mut file = match File::open(self.blob(blob)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(lost)?,
        };
        file.seek(SeekFrom::Start(range.start))?;
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.take(length).read_to_end(&mut bytes).map_err(lost)?;
        match bytes.len() as u64 == length {
            true => Ok(Some(bytes.into())),
            false => Err(lost(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

pub(super) fn lost_bytes(blob: &Blob, range: &Range<u64>) -> StoreError {
    StoreError::Lost(format!("bytes {} to {} of {blob}", range.start, range.end))
}

/// A file that is gone, cut short or unreadable, told from a system that is short of something.
pub(super) fn lost_or_failed(error: io::Error, what: impl FnOnce() -> String) -> StoreError {
    /// The disk cannot read it (`EIO`).
    const UNREADABLE: i32 = 5;
    let gone = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof);
    match gone || error.raw_os_error() == Some(UNREADABLE) {
        true => StoreError::Lost(what()),
        false => error.into(),
    }
}

/// Writes a file of several pieces, durably.
fn write_pieces(path: &Path, head: &[u8], pieces: &[Vec<u8>]) -> io::Result<()> {
    let mut file = Unfinished::new(path, Readers::Usual)?;
    file.write_all(head)?;
    for piece in pieces {
        file.write_all(piece)?;
    }
    file.replace()
}

/// One piece of an opening's file.
fn read_piece(file: &mut File, index: usize) -> io::Result<Vec<u8>> {
    let lost = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let count = read_range(file, 0..pieces::NUMBER as u64)?;
    let numbers = read_range(file, pieces::numbers_of(index).ok_or_else(lost)?)?;
    read_range(file, pieces::piece(&count, &numbers, index).ok_or_else(lost)?)
}

/// Exactly this range of a file.
fn read_range(file: &mut File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let length = range.end.saturating_sub(range.start);
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == length {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn size(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
