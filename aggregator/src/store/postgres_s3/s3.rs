//! Bodies, envelopes, openings and the sum of a round, as objects of a bucket.

mod http;
mod ranges;
mod writers;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, RetryConfig};
use ringfence_crypto::Digest;
use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::statement::Header;
use zeroize::Zeroizing;

use crate::store::blobs::{Blob, Blobs, BodyCheck, EnvelopePlace, Extent, Writer};
use crate::store::held::{Counted, Tally};
use crate::store::pieces;
use crate::store::terms::{Answer, RoundId, StoreError, StoreOpenError};
use http::Http;
use writers::{Object, Parts};

/// A request is tried again for so long: a client waits for its answer.
const RETRY_TIME: Duration = Duration::from_secs(20);

/// What is written to see whether the bucket takes writes; nothing reads it.
const PROBE: &str = "ready";

/// Where the bucket is, and who may use it.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// Its name.
    pub(crate) name: String,
    /// The server's URL; Amazon's unless given.
    pub(crate) endpoint: Option<String>,
    /// Its region.
    pub(crate) region: String,
    /// ID and secret of an access key; from the environment unless given.
    pub(crate) key: Option<[Zeroizing<String>; 2]>,
}

/// The objects of all rounds.
#[derive(Clone, Debug)]
pub(crate) struct S3Blobs {
    store: Arc<dyn ObjectStore>,
}

impl S3Blobs {
    /// Tries the bucket: it must take what is written, and keep what is there.
    ///
    /// # Errors
    /// [`StoreOpenError`] says what to do.
    pub(crate) async fn open(bucket: &Bucket) -> Result<Self, StoreOpenError> {
        let at = bucket.endpoint.as_deref().unwrap_or("Amazon S3");
        let place = format!("the bucket {} at {at}", bucket.name);
        let unusable = |source| StoreOpenError::Engine {
            place: place.clone(),
            advice: "look at --s3-endpoint and --s3-region",
            source,
        };
        let retry = RetryConfig { retry_timeout: RETRY_TIME, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&bucket.name)
            .with_region(&bucket.region)
            .with_retry(RetryConfig { max_retries: 1, ..retry.clone() })
            .with_http_connector(Http::new().map_err(unusable)?);
        if let Some(endpoint) = &bucket.endpoint {
            let is_plain = endpoint.starts_with("http://");
            builder = builder.with_endpoint(endpoint).with_allow_http(is_plain);
        }
        if let Some([id, secret]) = &bucket.key {
            builder =
                builder.with_access_key_id(id.as_str()).with_secret_access_key(secret.as_str());
        }
        let build = |builder: AmazonS3Builder| builder.build().map_err(|e| unusable(e.into()));
        let probed = Self { store: Arc::new(build(builder.clone())?) };
        probed.try_out().await.map_err(|error| StoreOpenError::Engine {
            advice: advice(&error),
            place: place.clone(),
            source: error.into(),
        })?;
        Ok(Self { store: Arc::new(build(builder.with_retry(retry))?) })
    }

    /// Writes an object, which a second write that wants it new must not replace, and removes it.
    async fn try_out(&self) -> Result<(), Error> {
        let probe = Path::from(PROBE);
        self.store.put(&probe, "ready\n".into()).await?;
        match self.store.put_opts(&probe, "again\n".into(), PutMode::Create.into()).await {
            Err(Error::AlreadyExists { .. }) => self.store.delete(&probe).await,
            Err(error) => Err(error),
            Ok(_) => Err(Error::NotSupported {
                source: "it replaced an object in spite of If-None-Match".into(),
            }),
        }
    }

    /// How far a body on its way has come: its parts, in order, without a gap.
    async fn parts(&self, parts: &Path) -> Result<Vec<ObjectMeta>, StoreError> {
        let mut found: Vec<ObjectMeta> =
            self.store.list(Some(parts)).try_collect().await.map_err(read_failed)?;
        found.sort_by(|one, other| one.location.cmp(&other.location));
        let mut end = 0;
        let gap = found.iter().position(|part| {
            let follows = part.location == writers::part(parts, end);
            end += part.size;
            !follows
        });
        found.truncate(gap.unwrap_or(found.len()));
        Ok(found)
    }

    async fn extent_of(&self, path: &Path) -> Result<Option<Extent>, StoreError> {
        match self.store.head(path).await {
            Ok(found) => {
                Ok(Some(Extent { bytes: found.size, modified: found.last_modified.into() }))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(read_failed(error)),
        }
    }

    /// Exactly this range of an object.
    async fn range(&self, path: &Path, range: Range<u64>) -> Result<Bytes, StoreError> {
        let lost = || StoreError::Lost(format!("bytes {} to {} of {path}", range.start, range.end));
        let reaches = async || {
            let stored = self.extent_of(path).await?;
            Ok::<bool, StoreError>(stored.is_some_and(|stored| stored.bytes >= range.end))
        };
        if range.is_empty() {
            return if reaches().await? { Ok(Bytes::new()) } else { Err(lost()) };
        }
        match self.store.get_range(path, range.clone()).await {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => Ok(bytes),
            Ok(_) | Err(Error::NotFound { .. }) => Err(lost()),
            // A range behind the object's end is an error without a kind of its own.
            Err(error) => match reaches().await? {
                true => Err(read_failed(error)),
                false => Err(lost()),
            },
        }
    }

    /// Hashes an object, and passes its bytes on.
    async fn hash(
        &self,
        path: &Path,
        hasher: &mut blake3::Hasher,
        mut copy: Option<&mut Object>,
    ) -> Result<(), StoreError> {
        let mut bytes = self.store.get(path).await.map_err(read_failed)?.into_stream();
        while let Some(bytes) = bytes.try_next().await.map_err(read_failed)? {
            hasher.update(&bytes);
            if let Some(copy) = &mut copy {
                copy.add(bytes).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match self.store.delete(path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(write_failed(error)),
        }
    }

    /// Removes all parts of a body, also such as are behind a gap, or all ranges of a sum.
    async fn remove_parts(&self, parts: &Path) -> Result<(), StoreError> {
        let found = self.store.list(Some(parts)).map_ok(|part| part.location).boxed();
        let removed = self.store.delete_stream(found);
        removed.map_ok(drop).try_collect::<()>().await.map_err(write_failed)
    }

    async fn check_body(&self, at: &RoundPaths, header: &Header) -> Result<BodyCheck, StoreError> {
        if let Some(check) = self.check_whole(at, header).await? {
            return Ok(check);
        }
        let parts = at.parts(&header.site);
        let mut whole = Object::new(self.store.clone(), at.body(&header.site));
        let joined = async {
            let mut hasher = blake3::Hasher::new();
            for part in self.parts(&parts).await? {
                self.hash(&part.location, &mut hasher, Some(&mut whole)).await?;
            }
            Ok(Digest::finish(&hasher))
        };
        let joined: Result<Digest, StoreError> = joined.await;
        if joined.as_ref().ok() == Some(&header.body) {
            whole.complete().await?;
            self.remove_parts(&parts).await?;
            return Ok(BodyCheck::Right);
        }
        // Another aggregator may have been at it, and have removed the parts: then it is whole now.
        if let Some(check) = self.check_whole(at, header).await? {
            return Ok(check);
        }
        let got = joined?;
        self.remove_parts(&parts).await?;
        Ok(BodyCheck::Discarded { got })
    }

    /// Compares a body that is whole, and removes what is left of its parts; nothing where it is not.
    async fn check_whole(
        &self,
        at: &RoundPaths,
        header: &Header,
    ) -> Result<Option<BodyCheck>, StoreError> {
        let body = at.body(&header.site);
        if self.extent_of(&body).await?.is_none() {
            return Ok(None);
        }
        let mut hasher = blake3::Hasher::new();
        self.hash(&body, &mut hasher, None).await?;
        let got = Digest::finish(&hasher);
        if got != header.body {
            self.remove(&body).await?;
            return Ok(Some(BodyCheck::Discarded { got }));
        }
        // A crash may have come between the body and this.
        self.remove_parts(&at.parts(&header.site)).await?;
        Ok(Some(BodyCheck::Right))
    }
}

/// Where the objects of a round lie.
struct RoundPaths(Path);

impl RoundPaths {
    fn of(id: RoundId) -> Self {
        Self(Path::from(format!("studies/{}/{}", id.study, id.round)))
    }

    fn at(&self, kind: &str, name: &str) -> Path {
        self.0.clone().join(kind).join(name)
    }

    /// The body of a site, whole.
    fn body(&self, site: &SiteId) -> Path {
        self.at("bodies", site.as_str())
    }

    /// The parts of a body on its way.
    fn parts(&self, site: &SiteId) -> Path {
        self.at("parts", site.as_str())
    }

    fn envelopes(&self, site: &SiteId) -> Path {
        self.at("envelopes", site.as_str())
    }

    fn opening(&self, digest: Digest) -> Path {
        self.at("openings", &digest.to_string())
    }

    fn sum(&self) -> Path {
        self.0.clone().join("sum")
    }

    /// What was added of the sum so far.
    fn ranges(&self) -> Path {
        self.0.clone().join("adding")
    }

    fn range(&self, token: u64) -> Path {
        self.ranges().join(token.to_string())
    }

    fn blob(&self, blob: &Blob) -> Path {
        match blob {
            Blob::Body(site) => self.body(site),
            Blob::Sum => self.sum(),
        }
    }
}

/// An object of several pieces.
fn joined(head: Vec<u8>, pieces: Vec<Vec<u8>>) -> object_store::PutPayload {
    std::iter::once(head).chain(pieces).map(Bytes::from).collect()
}

impl Blobs for S3Blobs {
    fn ping(&self) -> Answer<'_, ()> {
        async move {
            let probe = Path::from(PROBE);
            self.store.put(&probe, "ready\n".into()).await.map_err(write_failed)?;
            self.remove(&probe).await
        }
        .boxed()
    }

    fn begin(&self, _: RoundId) -> Answer<'_, ()> {
        // Nothing is half-written in a bucket.
        async { Ok(()) }.boxed()
    }

    fn body_bytes<'a>(&'a self, round: RoundId, site: &'a SiteId) -> Answer<'a, u64> {
        async move {
            let at = RoundPaths::of(round);
            if let Some(whole) = self.extent_of(&at.body(site)).await? {
                return Ok(whole.bytes);
            }
            Ok(self.parts(&at.parts(site)).await?.iter().map(|part| part.size).sum())
        }
        .boxed()
    }

    fn append_body<'a>(&'a self, round: RoundId, site: &'a SiteId) -> Answer<'a, Box<dyn Writer>> {
        async move {
            let parts = RoundPaths::of(round).parts(site);
            let offset = self.parts(&parts).await?.iter().map(|part| part.size).sum();
            Ok(Box::new(Parts::new(self.store.clone(), parts, offset)) as Box<dyn Writer>)
        }
        .boxed()
    }

    // What another server stores is compared as it comes back.
    fn finish_body<'a>(
        &'a self,
        round: RoundId,
        header: &'a Header,
        _: Option<Digest>,
    ) -> Answer<'a, BodyCheck> {
        async move { self.check_body(&RoundPaths::of(round), header).await }.boxed()
    }

    fn discard_body<'a>(&'a self, round: RoundId, site: &'a SiteId) -> Answer<'a, ()> {
        async move {
            let at = RoundPaths::of(round);
            self.remove(&at.body(site)).await?;
            self.remove_parts(&at.parts(site)).await
        }
        .boxed()
    }

    fn write_envelopes<'a>(
        &'a self,
        round: RoundId,
        site: &'a SiteId,
        envelopes: Vec<Vec<u8>>,
    ) -> Answer<'a, ()> {
        async move {
            let path = RoundPaths::of(round).envelopes(site);
            let object = joined(pieces::lengths(&envelopes), envelopes);
            self.store.put(&path, object).await.map(drop).map_err(write_failed)
        }
        .boxed()
    }

    fn has_envelopes<'a>(&'a self, round: RoundId, site: &'a SiteId) -> Answer<'a, bool> {
        async move {
            let path = RoundPaths::of(round).envelopes(site);
            Ok(self.extent_of(&path).await?.is_some())
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
            let path = RoundPaths::of(round).envelopes(site);
            if self.extent_of(&path).await?.is_none() {
                return Ok(None);
            }
            let lengths = self.range(&path, 0..(place.count * pieces::NUMBER) as u64).await?;
            let lost = || StoreError::Lost(format!("the envelopes of {site}"));
            let range = pieces::envelope(&lengths, place.index).ok_or_else(lost)?;
            Ok(Some(self.range(&path, range).await?.into()))
        }
        .boxed()
    }

    fn write_opening(
        &self,
        round: RoundId,
        digest: Digest,
        pieces: Vec<Vec<u8>>,
    ) -> Answer<'_, ()> {
        async move {
            let path = RoundPaths::of(round).opening(digest);
            let object = joined(pieces::ends(&pieces), pieces);
            self.store.put(&path, object).await.map(drop).map_err(write_failed)
        }
        .boxed()
    }

    fn opening(
        &self,
        round: RoundId,
        digest: Digest,
        pieces: [usize; 2],
    ) -> Answer<'_, [Vec<u8>; 2]> {
        async move {
            let path = RoundPaths::of(round).opening(digest);
            let lost = || StoreError::Lost(format!("the opening {digest}"));
            let count = self.range(&path, 0..pieces::NUMBER as u64).await?;
            let piece = async |index| {
                let numbers = pieces::numbers_of(index).ok_or_else(lost)?;
                let numbers = self.range(&path, numbers).await?;
                let range = pieces::piece(&count, &numbers, index).ok_or_else(lost)?;
                Ok::<Vec<u8>, StoreError>(self.range(&path, range).await?.into())
            };
            let [first, second] = pieces;
            Ok([piece(first).await?, piece(second).await?])
        }
        .boxed()
    }

    fn write_sum(&self, round: RoundId) -> Answer<'_, Box<dyn Writer>> {
        async move {
            let path = RoundPaths::of(round).sum();
            Ok(Box::new(Object::new(self.store.clone(), path)) as Box<dyn Writer>)
        }
        .boxed()
    }

    fn extent<'a>(&'a self, round: RoundId, blob: &'a Blob) -> Answer<'a, Option<Extent>> {
        async move { self.extent_of(&RoundPaths::of(round).blob(blob)).await }.boxed()
    }

    fn held(&self, study: StudyId) -> Answer<'_, Counted> {
        async move {
            let root = Path::from(format!("studies/{study}"));
            let (mut tally, mut listed) = (Tally::default(), self.store.list(Some(&root)));
            while let Some(object) = listed.try_next().await.map_err(read_failed)? {
                let path = object.location.as_ref();
                let path = path.strip_prefix(root.as_ref()).unwrap_or(path);
                if !tally.add(path.trim_start_matches('/'), object.size) {
                    return Ok(tally.counted(true));
                }
            }
            Ok(tally.counted(false))
        }
        .boxed()
    }

    fn read<'a>(&'a self, round: RoundId, blob: &'a Blob, range: Range<u64>) -> Answer<'a, Bytes> {
        async move { self.range(&RoundPaths::of(round).blob(blob), range).await }.boxed()
    }
}

/// Why something could not be read.
fn read_failed(error: Error) -> StoreError {
    match &error {
        Error::NotFound { path, .. } => StoreError::Lost(path.clone()),
        Error::Generic { .. } if is_unreachable(&error) => StoreError::Gone(error.into()),
        _ => StoreError::Failed(error.into()),
    }
}

/// Why something could not be written.
fn write_failed(error: Error) -> StoreError {
    let is_full = |error: &Error| {
        let text = error.to_string();
        ["QuotaExceeded", "StorageFull", "InsufficientStorage", " 507 "]
            .iter()
            .any(|code| text.contains(code))
    };
    match &error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            StoreError::ReadOnly(error.into())
        }
        Error::AlreadyExists { .. } | Error::Precondition { .. } => StoreError::Taken(error.into()),
        _ if is_full(&error) => StoreError::Full(error.into()),
        Error::Generic { .. } if is_unreachable(&error) => StoreError::Gone(error.into()),
        _ => StoreError::Failed(error.into()),
    }
}

/// Whether the server could not be asked, or says that it has troubles of its own.
fn is_unreachable(error: &Error) -> bool {
    let causes =
        || std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes().any(|cause| cause.is::<object_store::client::HttpError>())
        || error.to_string().contains("status code: 5")
}

/// What to do about a bucket that cannot be opened.
fn advice(error: &Error) -> &'static str {
    let text = error.to_string();
    let has = |codes: &[&str]| codes.iter().any(|code| text.contains(code));
    if has(&["NoSuchBucket"]) {
        "make the bucket first, and name its region by --s3-region"
    } else if has(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"])
    {
        "look at the file of --s3-credentials-file, or at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, at --s3-region, and at this machine's clock"
    } else if has(&["AccessDenied"]) || matches!(error, Error::PermissionDenied { .. }) {
        "the access key must have the right to list, read, write and remove objects of the bucket"
    } else if is_unreachable(error) {
        "is the server running, and is --s3-endpoint right?"
    } else if matches!(error, Error::NotSupported { .. }) {
        "the server must know conditional writes (If-None-Match), as Amazon S3, MinIO and SeaweedFS do"
    } else {
        "look at --s3-endpoint, --s3-region and the access key"
    }
}
