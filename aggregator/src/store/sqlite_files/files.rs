//! Bodies, envelopes, openings and the sum of a round, as files.
//!
//! `DATA/studies/STUDY/ROUND/{bodies,envelopes,openings}/NAME` and `.../sum`. A file under its
//! final name is whole and on the disk. What is on its way has a dot in its name, which no site's
//! name and no digest has.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::Header;
use ringfence_durable::{Readers, Unfinished};
use tokio::fs::OpenOptions;
use tokio::io::{AsyncWriteExt, BufWriter};

use super::small::SmallBytes;
use crate::store::blobs::{Blob, Blobs, BodyCheck, EnvelopePlace, Extent, Writer};
use crate::store::pieces;
use crate::store::terms::{Answer, RoundId, StoreError};

const BODIES: &str = "bodies";
const ENVELOPES: &str = "envelopes";
const OPENINGS: &str = "openings";

/// Bytes of a body that are gathered before they go to the file.
const WRITE_BUFFER: usize = 1 << 20;

/// The files of all rounds.
#[derive(Debug)]
pub(crate) struct FileBlobs {
    data: PathBuf,
    /// What is in no file.
    small: SmallBytes,
    // Held while the files are used.
    _lock: File,
}

impl FileBlobs {
    /// The files of a data folder that is locked, and the small contributions in its database. A file
    /// is looked for first: it is there where a contribution is large, or was damaged in the database.
    pub(crate) fn new(data: &Path, lock: File, small: SmallBytes) -> Self {
        Self { data: data.to_owned(), small, _lock: lock }
    }

    fn round(&self, id: RoundId) -> RoundFiles {
        let (study, round) = (id.study.to_string(), id.round.to_string());
        RoundFiles { root: self.data.join("studies").join(study).join(round) }
    }
}

/// The files of one round.
#[derive(Debug, Clone)]
struct RoundFiles {
    root: PathBuf,
}

impl RoundFiles {
    /// Makes the folders of a round, durably, and clears what a crash left half-written.
    fn begin(&self) -> io::Result<()> {
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
    fn partial_body(&self, site: &SiteId) -> PathBuf {
        self.root.join(BODIES).join(format!("{site}.part"))
    }

    fn envelopes(&self, site: &SiteId) -> PathBuf {
        self.root.join(ENVELOPES).join(site.as_str())
    }

    fn opening(&self, digest: Digest) -> PathBuf {
        self.root.join(OPENINGS).join(digest.to_string())
    }

    fn sum(&self) -> PathBuf {
        self.root.join("sum")
    }

    fn blob(&self, blob: &Blob) -> PathBuf {
        match blob {
            Blob::Body(site) => self.body(site),
            Blob::Sum => self.sum(),
        }
    }

    /// Bytes of a site's body that are stored, and whether they are under its final name.
    fn body_bytes(&self, site: &SiteId) -> io::Result<(u64, bool)> {
        match size(&self.body(site))? {
            Some(bytes) => Ok((bytes, true)),
            None => Ok((size(&self.partial_body(site))?.unwrap_or(0), false)),
        }
    }

    /// With `hashed`, the digest of what was written under the partial name, that is not read again.
    fn finish_body(&self, header: &Header, hashed: Option<Digest>) -> io::Result<BodyCheck> {
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

    fn discard_body(&self, site: &SiteId) -> io::Result<()> {
        for path in [self.body(site), self.partial_body(site)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        ringfence_durable::sync_folder(&self.root.join(BODIES))
    }

    /// Writes the envelopes' lengths, then their bytes, so that one can be read alone.
    fn write_envelopes(&self, site: &SiteId, envelopes: &[Vec<u8>]) -> io::Result<()> {
        write_pieces(&self.envelopes(site), &pieces::lengths(envelopes), envelopes)
    }

    fn envelope(&self, site: &SiteId, place: EnvelopePlace) -> io::Result<Option<Vec<u8>>> {
        let mut file = match File::open(self.envelopes(site)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let lengths = read_range(&mut file, 0..(place.count * pieces::NUMBER) as u64)?;
        let range = pieces::envelope(&lengths, place.index).ok_or(io::ErrorKind::UnexpectedEof)?;
        read_range(&mut file, range).map(Some)
    }

    /// Writes where each piece ends, counted from the first one's start, then the pieces' bytes.
    fn write_opening(&self, digest: Digest, pieces: &[Vec<u8>]) -> io::Result<()> {
        write_pieces(&self.opening(digest), &pieces::ends(pieces), pieces)
    }

    fn read_opening(&self, digest: Digest, pieces: [usize; 2]) -> io::Result<[Vec<u8>; 2]> {
        let mut file = File::open(self.opening(digest))?;
        let [first, second] = pieces;
        Ok([read_piece(&mut file, first)?, read_piece(&mut file, second)?])
    }

    fn extent(&self, blob: &Blob) -> io::Result<Option<Extent>> {
        match fs::metadata(self.blob(blob)) {
            Ok(metadata) => {
                Ok(Some(Extent { bytes: metadata.len(), modified: metadata.modified()? }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Exactly this range of a blob, if there is a file of it.
    fn read(&self, blob: &Blob, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
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

impl Blobs for FileBlobs {
    fn ping(&self) -> Answer<'_, ()> {
        let path = self.data.join("ready");
        blocking(move || {
            ringfence_durable::write(&path, b"ready\n", Readers::Owner)?;
            Ok(fs::remove_file(&path)?)
        })
        .boxed()
    }

    fn begin(&self, round: RoundId) -> Answer<'_, ()> {
        let files = self.round(round);
        blocking(move || Ok(files.begin()?)).boxed()
    }

    fn body_bytes<'a>(&'a self, round: RoundId, site: &'a SiteId) -> Answer<'a, u64> {
        async move {
            let (files, of) = (self.round(round), site.clone());
            match blocking(move || Ok(files.body_bytes(&of)?)).await? {
                (bytes, true) => Ok(bytes),
                (bytes, false) => {
                    let small = self.small.extent(round, site).await?;
                    Ok(small.map_or(bytes, |small| small.bytes))
                }
            }
        }
        .boxed()
    }

    fn append_body<'a>(&'a self, round: RoundId, site: &'a SiteId) -> Answer<'a, Box<dyn Writer>> {
        async move {
            let path = self.round(round).partial_body(site);
            let file = OpenOptions::new().create(true).append(true).open(path).await?;
            let file = BufWriter::with_capacity(WRITE_BUFFER, file);
            Ok(Box::new(PartialBody { file }) as Box<dyn Writer>)
        }
        .boxed()
    }

    fn finish_body<'a>(
        &'a self,
        round: RoundId,
        header: &'a Header,
        hashed: Option<Digest>,
    ) -> Answer<'a, BodyCheck> {
        async move {
            let (files, of) = (self.round(round), header.clone());
            if hashed.is_none() {
                let (_, is_file) = blocking({
                    let (files, site) = (files.clone(), of.site.clone());
                    move || Ok(files.body_bytes(&site)?)
                })
                .await?;
                if !is_file && let Some(check) = self.small.check(round, header).await? {
                    return Ok(check);
                }
            }
            blocking(move || Ok(files.finish_body(&of, hashed)?)).await
        }
        .boxed()
    }

    fn discard_body<'a>(&'a self, round: RoundId, site: &'a SiteId) -> Answer<'a, ()> {
        async move {
            self.small.discard(round, site).await?;
            let (files, site) = (self.round(round), site.clone());
            blocking(move || Ok(files.discard_body(&site)?)).await
        }
        .boxed()
    }

    fn write_envelopes<'a>(
        &'a self,
        round: RoundId,
        site: &'a SiteId,
        envelopes: Vec<Vec<u8>>,
    ) -> Answer<'a, ()> {
        let (files, site) = (self.round(round), site.clone());
        blocking(move || Ok(files.write_envelopes(&site, &envelopes)?)).boxed()
    }

    fn has_envelopes<'a>(&'a self, round: RoundId, site: &'a SiteId) -> Answer<'a, bool> {
        async move {
            let path = self.round(round).envelopes(site);
            match blocking(move || Ok(size(&path)?.is_some())).await? {
                true => Ok(true),
                false => self.small.has_envelopes(round, site).await,
            }
        }
        .boxed()
    }

    fn envelope<'a>(
        &'a self,
        round: RoundId,
        site: &'a SiteId,
        place: EnvelopePlace,
    ) -> Answer<'a, Option<Vec<u8>>> {
        async move {
            let (files, of) = (self.round(round), site.clone());
            let read = move || {
                let lost = |error| lost_or_failed(error, || format!("the envelopes of {of}"));
                files.envelope(&of, place).map_err(lost)
            };
            match blocking(read).await? {
                Some(envelope) => Ok(Some(envelope)),
                None => self.small.envelope(round, site, place).await,
            }
        }
        .boxed()
    }

    fn envelopes(
        &self,
        round: RoundId,
        sites: Vec<SiteId>,
        place: EnvelopePlace,
    ) -> Answer<'_, Vec<Option<Vec<u8>>>> {
        async move {
            let files = self.round(round);
            let read = move || {
                let of = |site: &SiteId| match files.envelope(site, place) {
                    Ok(Some(envelope)) => Ok(Found::Whole(envelope)),
                    Ok(None) => Ok(Found::NoFile),
                    Err(error) => match lost_or_failed(error, String::new) {
                        StoreError::Lost(_) => Ok(Found::Lost),
                        failed => Err(failed),
                    },
                };
                let found: Vec<Found> = sites.iter().map(of).collect::<Result<_, _>>()?;
                Ok((sites, found))
            };
            let (sites, found) = blocking(read).await?;
            let small = sites.iter().zip(&found);
            let small = small.filter(|(_, found)| matches!(found, Found::NoFile));
            let small: Vec<&SiteId> = small.map(|(site, _)| site).collect();
            let mut small = self.small.envelopes(round, &small, place).await?;
            let envelopes = sites.iter().zip(found).map(|(site, found)| match found {
                Found::Whole(envelope) => Some(envelope),
                Found::NoFile => small.remove(site),
                Found::Lost => None,
            });
            Ok(envelopes.collect())
        }
        .boxed()
    }

    fn write_opening(
        &self,
        round: RoundId,
        digest: Digest,
        pieces: Vec<Vec<u8>>,
    ) -> Answer<'_, ()> {
        let files = self.round(round);
        blocking(move || Ok(files.write_opening(digest, &pieces)?)).boxed()
    }

    fn opening(
        &self,
        round: RoundId,
        digest: Digest,
        pieces: [usize; 2],
    ) -> Answer<'_, [Vec<u8>; 2]> {
        let files = self.round(round);
        let lost = move |error| lost_or_failed(error, || format!("the opening {digest}"));
        blocking(move || files.read_opening(digest, pieces).map_err(lost)).boxed()
    }

    fn openings(
        &self,
        round: RoundId,
        digests: Vec<Digest>,
        pieces: [usize; 2],
    ) -> BoxFuture<'_, Vec<Result<[Vec<u8>; 2], StoreError>>> {
        let files = self.round(round);
        async move {
            let (count, read) = (digests.len(), move |digest: Digest| {
                let lost = move |error| lost_or_failed(error, || format!("the opening {digest}"));
                files.read_opening(digest, pieces).map_err(lost)
            });
            let read = blocking(move || Ok(digests.into_iter().map(read).collect::<Vec<_>>()));
            match read.await {
                Ok(read) => read,
                Err(error) => {
                    let failed = |_| Err(StoreError::Failed(error.to_string().into()));
                    (0..count).map(failed).collect()
                }
            }
        }
        .boxed()
    }

    fn write_sum(&self, round: RoundId) -> Answer<'_, Box<dyn Writer>> {
        let path = self.round(round).sum();
        blocking(move || {
            let file = Unfinished::new(&path, Readers::Usual)?;
            Ok(Box::new(UnfinishedSum { file: Some(file) }) as Box<dyn Writer>)
        })
        .boxed()
    }

    fn extent<'a>(&'a self, round: RoundId, blob: &'a Blob) -> Answer<'a, Option<Extent>> {
        async move {
            let (files, of) = (self.round(round), blob.clone());
            match (blocking(move || Ok(files.extent(&of)?)).await?, blob) {
                (None, Blob::Body(site)) => self.small.extent(round, site).await,
                (extent, _) => Ok(extent),
            }
        }
        .boxed()
    }

    fn read<'a>(&'a self, round: RoundId, blob: &'a Blob, range: Range<u64>) -> Answer<'a, Bytes> {
        async move {
            let (files, of, bytes) = (self.round(round), blob.clone(), range.clone());
            match (blocking(move || files.read(&of, bytes)).await?, blob) {
                (Some(bytes), _) => Ok(bytes),
                (None, Blob::Body(site)) => {
                    let length = range.end.saturating_sub(range.start);
                    let small = self.small.read(round, site, &range).await?;
                    let whole = small.filter(|bytes| bytes.len() as u64 == length);
                    whole.ok_or_else(|| lost_bytes(blob, &range))
                }
                (None, Blob::Sum) => Err(lost_bytes(blob, &range)),
            }
        }
        .boxed()
    }
}

/// What there is of an envelope among the files.
enum Found {
    Whole(Vec<u8>),
    /// It may be in the database.
    NoFile,
    /// The file is cut short, or cannot be read.
    Lost,
}

/// A body on its way: what is flushed is in the file.
#[derive(Debug)]
struct PartialBody {
    file: BufWriter<tokio::fs::File>,
}

impl Writer for PartialBody {
    fn write(&mut self, bytes: Bytes) -> Answer<'_, ()> {
        async move { Ok(self.file.write_all(&bytes).await?) }.boxed()
    }

    fn finish(mut self: Box<Self>) -> Answer<'static, ()> {
        async move { Ok(self.file.flush().await?) }.boxed()
    }
}

/// A sum on its way, in a file beside its place.
#[derive(Debug)]
struct UnfinishedSum {
    /// Away while it is written to, and after a write that failed.
    file: Option<Unfinished>,
}

impl UnfinishedSum {
    fn take(&mut self) -> Result<Unfinished, StoreError> {
        let broken = || StoreError::Failed("an earlier write of the sum failed".into());
        self.file.take().ok_or_else(broken)
    }
}

impl Writer for UnfinishedSum {
    fn write(&mut self, bytes: Bytes) -> Answer<'_, ()> {
        async move {
            let mut file = self.take()?;
            let written = blocking(move || {
                file.write_all(&bytes)?;
                Ok(file)
            });
            self.file = Some(written.await?);
            Ok(())
        }
        .boxed()
    }

    fn finish(mut self: Box<Self>) -> Answer<'static, ()> {
        async move {
            let file = self.take()?;
            blocking(move || Ok(file.replace()?)).await
        }
        .boxed()
    }
}

/// Runs what waits for the disk off the threads that serve requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(StoreError::Failed(error.into())),
    }
}

fn lost_bytes(blob: &Blob, range: &Range<u64>) -> StoreError {
    StoreError::Lost(format!("bytes {} to {} of {blob}", range.start, range.end))
}

/// A file that is gone, cut short or unreadable, told from a system that is short of something.
fn lost_or_failed(error: io::Error, what: impl FnOnce() -> String) -> StoreError {
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

#[cfg(test)]
mod tests {
    use ringfence_crypto::id::{RoundNumber, StudyId};
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn what_a_crash_left_half_written_is_cleared_and_what_can_be_resumed_is_kept() {
        let folder = TempDir::new().unwrap();
        let lock = File::create(folder.path().join("lock")).unwrap();
        let database = folder.path().join("statements.sqlite");
        let small = super::super::sqlite::SqliteStatements::open(&database).await.unwrap().small();
        let blobs = FileBlobs::new(folder.path(), lock, small);
        let id = RoundId { study: StudyId(Digest::of(b"study")), round: RoundNumber(0) };
        blobs.begin(id).await.unwrap();
        let site: SiteId = "site".parse().unwrap();
        let files = blobs.round(id);
        let halves = [&files.root, &files.root.join(ENVELOPES)].map(|f| f.join(".unfinished-7"));
        for half in &halves {
            fs::write(half, b"half").unwrap();
        }
        fs::write(files.partial_body(&site), b"prefix").unwrap();
        blobs.begin(id).await.unwrap();
        assert!(halves.iter().all(|half| !half.exists()));
        assert_eq!(blobs.body_bytes(id, &site).await.unwrap(), 6);
    }
}
