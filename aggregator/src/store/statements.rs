//! The contract's first half: statements in the order in which they were accepted.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Manifest, RoundKeys};

use tokio::sync::mpsc;

use crate::store::held::Counted;
use crate::store::restores::Restores;
use crate::store::terms::{Answer, RoundId};
use crate::store::witnesses::Witnesses;

/// A round's next event, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextEvent<'a> {
    /// Its place among the round's events: 0, 1, 2, ... without a gap.
    pub(crate) sequence: u64,
    /// The event.
    pub(crate) event: &'a Event,
    /// Its place in the study's log, if it is a statement.
    pub(crate) leaf: Option<u64>,
}

/// Envelopes and body of a small contribution, which its site's header promises.
#[derive(Clone, Debug)]
pub(crate) struct Small {
    /// Whose.
    pub(crate) site: SiteId,
    /// Lengths and bytes, as [`pieces`](crate::store::pieces) has them.
    pub(crate) envelopes: Bytes,
    /// The whole body.
    pub(crate) body: Bytes,
}

/// Most bytes of a [`Small`] contribution. A database writes what it keeps twice and is copied whole by
/// every backup; below some hundred kilobytes it is cheaper all the same than a file, which has
/// three syncs of its own.
pub(crate) const MAX_SMALL: usize = 256 << 10;

/// A study's next epoch, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextEpoch<'a> {
    /// Its number: 1, 2, 3, ... without a gap.
    pub(crate) number: u32,
    /// The epoch's digest.
    pub(crate) digest: Digest,
    /// The signed epoch, with the study after it.
    pub(crate) file: &'a [u8],
    /// Its place in the study's log.
    pub(crate) leaf: u64,
}

/// The manifest that a round has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredManifest {
    /// The manifest.
    pub(crate) manifest: Signed<Manifest>,
    /// The leaf of the log that it has; rounds from before the log have none.
    pub(crate) leaf: Option<u64>,
}

/// Round keys that a site has published.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredRoundKeys {
    /// The keys.
    pub(crate) keys: Signed<RoundKeys>,
    /// The leaf of the log that they have.
    pub(crate) leaf: u64,
}

/// What has been stored of a study since a change.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct News {
    /// The number of the last change.
    pub(crate) change: u64,
    /// Whether there are new epochs, or new ones are proposed.
    pub(crate) epochs: bool,
    /// Manifests, in the order of their rounds.
    pub(crate) manifests: Vec<Signed<Manifest>>,
    /// Rounds that have new events.
    pub(crate) rounds: Vec<RoundNumber>,
}

/// Every leaf that a log has.
pub(crate) const ALL_LEAVES: Range<u64> = 0..u64::MAX;

/// What was said. Nothing here is ever altered or removed, but for restore requests and the cosignatures
/// of witnesses: a round is the
/// replay of its events, and a study's log the order of its statements.
pub(crate) trait Statements: Restores + Witnesses + fmt::Debug + Send + Sync {
    /// Whether the backend takes what is written: it writes something that nobody reads.
    fn ping(&self) -> Answer<'_, ()>;

    /// Stores a signed study as it was posted; one that is there already stays as it is.
    fn insert_study<'a>(&'a self, study: StudyId, file: &'a [u8]) -> Answer<'a, ()>;

    /// A signed study, byte for byte as it was posted.
    fn study(&self, study: StudyId) -> Answer<'_, Option<Vec<u8>>>;

    /// All studies, in the order in which they came.
    fn studies(&self) -> Answer<'_, Vec<StudyId>>;

    /// Stores the next epoch of a study at a leaf of the study's log. A number that is there, and a
    /// leaf that is used, are errors, as for [`Statements::append`].
    fn insert_epoch<'a>(&'a self, study: StudyId, next: NextEpoch<'a>) -> Answer<'a, ()>;

    /// All epochs of a study, byte for byte as they were stored, in the order of their numbers; a gap is
    /// an error.
    fn epochs(&self, study: StudyId) -> Answer<'_, Vec<Vec<u8>>>;

    /// Stores a manifest at a leaf of the study's log, unless its round has one; answers with the one
    /// that the round has. Two manifests at one leaf are an error. The manifest names the study that is
    /// in force in its round; it is stored under the study as it was first signed, as everything is.
    fn insert_round<'a>(
        &'a self,
        study: StudyId,
        manifest: &'a Signed<Manifest>,
        leaf: u64,
    ) -> Answer<'a, StoredManifest>;

    /// All manifests of a study, in the order of their rounds.
    fn rounds(&self, study: StudyId) -> Answer<'_, Vec<Signed<Manifest>>>;

    /// Stores a round's next events, all or none. Two events of a round with one sequence number, or of
    /// a study at one leaf, are an error; where others write, too, it is
    /// [`StoreError::Taken`](crate::store::terms::StoreError::Taken). Where
    /// [`Statements::keeps_small`], these contributions' bytes are stored with them, in the place of
    /// any that are stored so.
    fn append<'a>(
        &'a self,
        round: RoundId,
        next: &'a [NextEvent<'a>],
        small: &'a [Small],
    ) -> Answer<'a, ()>;

    /// Whether [`Statements::append`] takes bytes of contributions, which the
    /// [`Blobs`](crate::store::blobs::Blobs) of the same store have then. Elsewhere none are given.
    fn keeps_small(&self) -> bool {
        false
    }

    /// A round's events, in order; a gap is an error.
    fn events(&self, round: RoundId) -> Answer<'_, Vec<Event>>;

    /// The entries of a study's log at these leaves, as far as there are any, in order, from its
    /// statements; a gap is an error, and so are two statements at one leaf. It reads no others.
    fn log(&self, study: StudyId, leaves: Range<u64>) -> Answer<'_, Vec<LogEntry>>;

    /// Stores a site's round keys at a leaf of the study's log, unless it has published others for
    /// one of their rounds under the same roster; answers with what is stored for the first of them, or nothing when a
    /// later one is taken. Two requests at the same time cannot both find the rounds free. Two
    /// statements of round keys at one leaf are an error.
    fn insert_round_keys<'a>(
        &'a self,
        study: StudyId,
        keys: &'a Signed<RoundKeys>,
        leaf: u64,
    ) -> Answer<'a, Option<StoredRoundKeys>>;

    /// The round keys of a site that cover a round, published under the study `of`: the one that is in
    /// force in that round.
    fn round_keys<'a>(
        &'a self,
        study: StudyId,
        of: StudyId,
        site: &'a SiteId,
        round: RoundNumber,
    ) -> Answer<'a, Option<StoredRoundKeys>>;

    /// A round's events from a sequence number on; a gap is an error.
    fn events_from(&self, round: RoundId, from: u64) -> Answer<'_, Vec<Event>> {
        async move { Ok(self.events(round).await?.into_iter().skip(index(from)).collect()) }.boxed()
    }

    /// What has been stored of a study since this change; nothing where nothing has, or where nobody
    /// else writes here.
    fn news(&self, _study: StudyId, _since: u64) -> Answer<'_, Option<News>> {
        async { Ok(None) }.boxed()
    }

    /// Says of which studies something is stored, as it is stored, also by others; nothing of one
    /// stands for all, as after a connection that broke. Nothing at all where nobody else writes here.
    fn follow(&self) -> Option<mpsc::Receiver<Option<StudyId>>> {
        None
    }

    /// All that is stored of a study in the database, table by table, as the schema names them.
    fn held(&self, study: StudyId) -> Answer<'_, Counted>;

    /// Ends after the last write.
    fn close(&self) -> BoxFuture<'_, ()>;
}

fn index(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
