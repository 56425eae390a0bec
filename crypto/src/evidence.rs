//! Evidence of a round: one file with every signed statement that the round stands on, and its
//! verification from the study file alone, without a network and without a key.
//!
//! ```text
//! proof    the file
//! gather   how whoever has the log and the round makes it
//! finding  what a check found, in plain words
//! verify   the checks: the round's own machine, driven by the file
//! log      what the log proves of the statements
//! words    what the statements of each kind amount to
//! summary  the round at a glance
//! ```
//!
//! ```text
//! let verifier = Verifier::new(SignedStudy::parse(&study_file)?)?;
//! let verified = verifier.verify(&RoundProof::parse(&file)?, None);
//! verified.findings    one for each check: proven, false, or not there yet, and why
//! ```
#![warn(clippy::indexing_slicing, reason = "evidence comes from strangers")]

mod finding;
mod gather;
mod log;
mod proof;
mod summary;
mod verify;
mod words;

pub use finding::{Check, Finding, Found};
pub use gather::RoundParts;
pub use proof::{Before, LogEvidence, Logged, MAX_ROUND_PROOF, RoundProof, RoundProofError};
pub use summary::{LeftOut, Named, RoundSummary, SpentBy};
pub use verify::{Verified, Verifier};
