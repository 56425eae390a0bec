//! The contract's part that only backends have which several aggregators may use at once: what they
//! share beside statements and bytes. A backend that one aggregator has alone has none of it.
//!
//! A round's bodies are added up in *jobs*: one for each range of the sum, and a last one that joins
//! the ranges. Whoever is free leases a job for some seconds by the backend's clock. Who lets a lease
//! end may be late, and not know it: each lease has a *token*, no two the same, and what is written
//! under an older one than the job's last has no effect.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use ringfence_clock::Ahead;
use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;

use crate::store::terms::{Answer, RoundId};

/// What is added up: the bodies of a round that a digest names, divided in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// The round.
    pub(crate) round: RoundId,
    /// Of the bodies and of how they are divided: aggregators that mean another set share nothing.
    pub(crate) set: Digest,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Adding a range of all bodies, by its place from 0 on.
    Add(u64),
    /// Joining the ranges to the sum, once all are added.
    Join,
}

/// A leased job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// What is to be done.
    pub(crate) task: Task,
    /// Of this lease and of no other.
    pub(crate) token: u64,
}

/// A range that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddedRange {
    /// Of the lease under which it was.
    pub(crate) token: u64,
    /// What its bytes hash to, as it was given.
    pub(crate) hashes: Vec<u8>,
}

/// What aggregators share that serve the same studies.
pub(crate) trait Sharing: fmt::Debug + Send + Sync {
    /// How far the backend's clock is ahead of this machine's: the time of day of all of them.
    fn ahead(&self) -> Ahead;

    /// Lays down the jobs of a work of so many ranges, unless they are there.
    fn divide(&self, work: Work, ranges: u64) -> Answer<'_, ()>;

    /// Leases a job for so long that nobody does now: one whose lease has ended counts as such.
    /// Nothing where all are done or leased, or the work is not laid down.
    fn lease(&self, work: Work, time: Duration) -> Answer<'_, Option<Job>>;

    /// Prolongs a lease; false where another one has the job since, or it is done or gone.
    fn keep(&self, work: Work, job: Job, time: Duration) -> Answer<'_, bool>;

    /// Gives a lease back: the job can be leased at once.
    fn release(&self, work: Work, job: Job) -> Answer<'_, ()>;

    /// Stores a range of the sum and what it hashes to, and ends its job; false, and nothing is
    /// stored, where another one has the job since, or it is done or gone.
    fn put_range(&self, work: Work, job: Job, sum: Bytes, hashes: Vec<u8>) -> Answer<'_, bool>;

    /// What the ranges hash to, in their order; nothing unless all are added.
    fn added(&self, work: Work) -> Answer<'_, Option<Vec<AddedRange>>>;

    /// The bytes of a range that was added under a token; where they are not there, it is
    /// [`StoreError::Lost`](crate::store::terms::StoreError::Lost).
    fn range(&self, work: Work, token: u64) -> Answer<'_, Bytes>;

    /// Removes all jobs of a round and the ranges that were added. What is under way has no effect
    /// any more.
    fn forget(&self, round: RoundId) -> Answer<'_, ()>;

    /// Notes that these sites are heard of now, and says of which of those that are `asked` for any
    /// aggregator has noted so since the round was opened.
    fn heard<'a>(
        &'a self,
        round: RoundId,
        now: &'a [SiteId],
        asked: &'a [SiteId],
    ) -> Answer<'a, BTreeSet<SiteId>>;
}
