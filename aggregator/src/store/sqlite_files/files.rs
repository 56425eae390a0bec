//! Bodies, envelopes, openings and the sum of a round, as files.
//!
//! `DATA/studies/STUDY/ROUND/{bodies,envelopes,openings}/NAME` and `.../sum`. A file under its
//! final name is whole and on the disk. What is on its way has a dot in its name, which no site's
//! name and no digest has.

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::statement::Header;
use ringfence_durable::{Readers, Unfinished};
use tokio::fs::OpenOptions;
use tokio::io::{AsyncWriteExt, BufWriter};

use super::round_files::{RoundFiles, lost_bytes, lost_or_failed};
use super::small::SmallBytes;
use crate::store::blobs::{Blob, Blobs, BodyCheck, EnvelopePlace, Extent, Writer};
use crate::store::held::{Counted, count_files};
use crate::store::terms::{Answer, RoundId, StoreError};

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
            let (files, of) = (self.round(round), site.clone());
            match blocking(move || Ok(files.has_envelopes(&of)?)).await? {
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

    fn held(&self, study: StudyId) -> Answer<'_, Counted> {
        let root = self.data.join("studies").join(study.to_string());
        blocking(move || count_files(&root)).boxed()
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
        let halves = [&files.root, &files.root.join("envelopes")].map(|f| f.join(".unfinished-7"));
        for half in &halves {
            fs::write(half, b"half").unwrap();
        }
        fs::write(files.partial_body(&site), b"prefix").unwrap();
        blobs.begin(id).await.unwrap();
        assert!(halves.iter().all(|half| !half.exists()));
        assert_eq!(blobs.body_bytes(id, &site).await.unwrap(), 6);
    }
}
