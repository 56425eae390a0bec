//! What is stored, and what a backend promises: the contract.
//!
//! Three traits. [`Statements`] holds what was said: studies, manifests, events, round keys, what restored
//! sites ask, and the cosignatures of the log's witnesses. [`Blobs`] holds the bytes that statements name by digest: bodies, envelopes,
//! openings, sums. Those of a small contribution may be stored with its statements. [`Drafts`] holds
//! what waits for signatures. A backend implements all three and lies in a folder of its own, with a
//! README that tells the life of one
//! statement: `sqlite_files` (the default) and `postgres_s3`. Every backend passes the tests in
//! `conformance.rs`. One that several aggregators may have at once implements [`Sharing`], too:
//! what they share beside that, so that they do a round's work together.
//!
//! What holds for all: when a write returns, it survives the loss of power, unless its method says
//! otherwise. A write that fails may have happened all the same: whoever gets an error reads again
//! before going on. One aggregator at a time has a folder's data; over a database and a bucket there may
//! be any number, and a place that one of them has used is taken for the others.
#![warn(clippy::indexing_slicing, reason = "what is stored must not be able to stop the service")]

pub(crate) mod blobs;
#[cfg(test)]
pub(crate) mod conformance;
pub(crate) mod drafts;
pub(crate) mod held;
pub(crate) mod marks;
pub(crate) mod pieces;
mod place;
mod postgres_s3;
pub(crate) mod restores;
pub(crate) mod sharing;
mod sql;
pub(crate) mod sqlite_files;
pub(crate) mod statements;
pub(crate) mod terms;
pub(crate) mod witnesses;

use std::fmt;
use std::sync::Arc;

use blobs::Blobs;
use drafts::Drafts;
pub(crate) use place::open;
#[cfg(test)]
pub(crate) use postgres_s3::tests::Engines;
use ringfence_clock::Clock;
use sharing::Sharing;
use statements::Statements;

/// Everything that is stored.
#[derive(Clone)]
pub(crate) struct Store {
    /// What was said.
    pub(crate) statements: Arc<dyn Statements>,
    /// The bytes that statements name.
    pub(crate) blobs: Arc<dyn Blobs>,
    /// What waits for signatures.
    pub(crate) drafts: Arc<dyn Drafts>,
    /// What is shared with other aggregators, where others may be.
    pub(crate) sharing: Option<Arc<dyn Sharing>>,
}

impl Store {
    /// The clock to go by: all who share a backend go by its time of day.
    pub(crate) fn clock(&self, own: &Clock) -> Clock {
        self.sharing.as_ref().map_or_else(|| own.clone(), |sharing| own.by(sharing.ahead()))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store(..)")
    }
}
