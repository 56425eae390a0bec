//! Studies with real keys and whole rounds in memory: for the tests of whoever holds keys, and for
//! benchmarks. Never for the aggregator's.
//!
//! [`Parties`] is everybody's keys and the study that they signed up to, and puts statements
//! together, honest ones and others. [`Rehearsal`] runs rounds of such a study through the shipped
//! machines, step by step or as a whole, and leaves a [`FinishedRound`]. [`Record`] is what an aggregator
//! has of a study: log, statements and bodies, with nothing encrypted.
//!
//! ```
//! use ringfence_testkit::Rehearsal;
//!
//! let mut rehearsal = Rehearsal::new(3, None, 2);
//! let updates = vec![vec![0.125, -0.25]; 3];
//! let round = rehearsal.run(&updates);
//! assert_eq!(round.open(&round.key_sum(1)).sums(), round.plain);
//! ```
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests and benchmarks only: what cannot be made stops them"
)]

mod disputes;
mod finished;
mod log;
mod parties;
mod record;
mod rehearsal;
mod shown;

pub use finished::FinishedRound;
pub use log::{log_of, proofs};
pub use parties::{
    CLIP, Parties, Proposal, REVIEW_SECONDS, ROUND_SECONDS, START, Set, Setup, TIMEOUT_SECONDS,
    previous_of,
};
pub use record::{OnRecord, Record};
pub use rehearsal::{Made, Rehearsal, apply, plain_sum};
pub use ringfence_keys::identity::Identity;
pub use shown::Shown;

use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;

/// Reproducible randomness.
pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}
