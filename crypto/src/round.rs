//! The aggregator's round machine: no IO, no clock, no randomness.
//!
//! `Collecting -> Reviewing -> Closed -> Certified -> Opened`, or `Aborted` when the certified
//! closing has an empty set. A message is first *decided* ([`Round::announce`] and its like: a
//! [`Verdict`], or an error that leaves everything as it was), the resulting [`Event`] is made
//! durable by the caller, and only then *applied* ([`Round::apply`]). After a crash the same
//! events, applied in order, give the same round.
#![warn(clippy::indexing_slicing, reason = "messages come from strangers")]

mod collecting;
mod decide;
mod disputes;
mod error;
mod event;
mod machine;
mod replay;
mod site_set;
mod status;

pub use collecting::ABSENT_GRACE;
pub use decide::{ClosedSet, VerifiedHeader};
pub use error::{Fault, RoundError};
pub use event::{Event, Verdict};
pub use machine::{AnnouncedContribution, Damage, Round};
pub use replay::ReplayError;
pub use site_set::SiteSet;
pub use status::{DisputeStatus, RoundState, RoundStatus, Step, Wanted};
