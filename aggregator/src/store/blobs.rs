//! The contract's second half: the bytes that statements name by digest.

use std::fmt;
use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::statement::Header;

use crate::store::held::Counted;
use crate::store::terms::{Answer, RoundId, StoreError};

/// What became of a body all of whose bytes came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyCheck {
    /// It is the promised one, and durable.
    Right,
    /// It was another one and is gone: the upload starts again.
    Discarded {
        /// Digest of what came.
        got: Digest,
    },
}

/// One envelope of a contribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EnvelopePlace {
    /// Its holder's place in the window.
    pub(crate) index: usize,
    /// How many there are.
    pub(crate) count: usize,
}

/// What is read in pieces because it is large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Blob {
    /// The body of a site, once it is whole.
    Body(SiteId),
    /// The sum of the bodies.
    Sum,
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(site) => write!(f, "the body of {site}"),
            Self::Sum => f.write_str("the sum"),
        }
    }
}

/// How large a blob is, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Its bytes.
    pub(crate) bytes: u64,
    /// When it was written.
    pub(crate) modified: SystemTime,
}

/// Bytes on their way into the store.
pub(crate) trait Writer: Send {
    /// Takes the next bytes.
    fn write(&mut self, bytes: Bytes) -> Answer<'_, ()>;

    /// Takes no more bytes. What that means says the method that gave the writer.
    fn finish(self: Box<Self>) -> Answer<'static, ()>;
}

/// Bodies, envelopes, openings and sums, each in its round. What is stored under a name never
/// changes: whoever writes it again writes the same bytes. A disk may change it all the same: whoever
/// uses it compares it with the digest in its statement.
pub(crate) trait Blobs: fmt::Debug + Send + Sync {
    /// Whether the backend takes what is written: it writes something, and removes it.
    fn ping(&self) -> Answer<'_, ()>;

    /// Makes room for a round. Comes before everything else of it after each start, so that what a
    /// crash left half-written can be cleared; a body that goes on is none of that.
    fn begin(&self, round: RoundId) -> Answer<'_, ()>;

    /// Bytes of a site's body that are stored, whether they are all or not.
    fn body_bytes<'a>(&'a self, round: RoundId, site: &'a SiteId) -> Answer<'a, u64>;

    /// Goes on with a site's body behind the bytes that are stored; nobody else writes to it
    /// meanwhile. Finishing keeps what was written, and what is kept is at any time, also after a
    /// crash or when the writer is dropped, a beginning of it. It need not be durable yet: that
    /// comes with [`Blobs::finish_body`].
    fn append_body<'a>(&'a self, round: RoundId, site: &'a SiteId) -> Answer<'a, Box<dyn Writer>>;

    /// Compares a body all of whose bytes came with the digest in its header, and makes it whole and
    /// durable, or discards it. It may run again after a crash at any point of it. With `hashed`, the
    /// digest of all that one writer was given for a body that was empty, a backend that wrote the
    /// very same bytes need not read them again.
    fn finish_body<'a>(
        &'a self,
        round: RoundId,
        header: &'a Header,
        hashed: Option<Digest>,
    ) -> Answer<'a, BodyCheck>;

    /// Removes what is stored of a site's body, because it was found damaged; nothing is left to go
    /// on with. One that is not there is no error.
    fn discard_body<'a>(&'a self, round: RoundId, site: &'a SiteId) -> Answer<'a, ()>;

    /// Stores a site's envelopes, in the place of some that are there.
    fn write_envelopes<'a>(
        &'a self,
        round: RoundId,
        site: &'a SiteId,
        envelopes: Vec<Vec<u8>>,
    ) -> Answer<'a, ()>;

    /// Whether a site's envelopes are stored.
    fn has_envelopes<'a>(&'a self, round: RoundId, site: &'a SiteId) -> Answer<'a, bool>;

    /// One envelope of a site; nothing when its envelopes are not stored. Envelopes that were cut
    /// short are [`StoreError::Lost`].
    fn envelope<'a>(
        &'a self,
        round: RoundId,
        site: &'a SiteId,
        place: EnvelopePlace,
    ) -> Answer<'a, Option<Vec<u8>>>;

    /// The envelope at one place of each of these sites, in their order; nothing where it is not stored
    /// whole. Of a few sites: all of it is in memory.
    fn envelopes(
        &self,
        round: RoundId,
        sites: Vec<SiteId>,
        place: EnvelopePlace,
    ) -> Answer<'_, Vec<Option<Vec<u8>>>> {
        async move {
            let mut envelopes = Vec::with_capacity(sites.len());
            for site in &sites {
                envelopes.push(match self.envelope(round, site, place).await {
                    Ok(envelope) => envelope,
                    Err(StoreError::Lost(_)) => None,
                    Err(error) => return Err(error),
                });
            }
            Ok(envelopes)
        }
        .boxed()
    }

    /// Stores the pieces of a holder's opening under its statement's digest, in the place of any
    /// that are there: two different openings cannot collide.
    fn write_opening(&self, round: RoundId, digest: Digest, pieces: Vec<Vec<u8>>)
    -> Answer<'_, ()>;

    /// Two pieces of an opening as they are stored, by their places among those written: as much
    /// work as they are long, however many there are. Who serves them compares the digests.
    fn opening(
        &self,
        round: RoundId,
        digest: Digest,
        pieces: [usize; 2],
    ) -> Answer<'_, [Vec<u8>; 2]>;

    /// The same two pieces of each of several openings, as [`Blobs::opening`] reads them of one.
    fn openings(
        &self,
        round: RoundId,
        digests: Vec<Digest>,
        pieces: [usize; 2],
    ) -> BoxFuture<'_, Vec<Result<[Vec<u8>; 2], StoreError>>> {
        async move {
            let mut openings = Vec::with_capacity(digests.len());
            for digest in digests {
                openings.push(self.opening(round, digest, pieces).await);
            }
            openings
        }
        .boxed()
    }

    /// Writes the sum, in the place of one that is there. It is stored, whole and durable, when the
    /// writer has finished; one that is dropped leaves nothing.
    fn write_sum(&self, round: RoundId) -> Answer<'_, Box<dyn Writer>>;

    /// How large a blob is; nothing when it is not stored, or not whole.
    fn extent<'a>(&'a self, round: RoundId, blob: &'a Blob) -> Answer<'a, Option<Extent>>;

    /// All that is stored of a study beside the database, by what lies where it is stored.
    fn held(&self, study: StudyId) -> Answer<'_, Counted>;

    /// Reads exactly this range of a blob, as it is stored; one that is not there, or that the disk
    /// cannot read, is [`StoreError::Lost`].
    fn read<'a>(&'a self, round: RoundId, blob: &'a Blob, range: Range<u64>) -> Answer<'a, Bytes>;
}
