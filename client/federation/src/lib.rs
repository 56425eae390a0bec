//! A whole study on one machine: many sites in one process, the aggregator as a child process, and
//! real HTTP between them.
//!
//! [`Federation`] drives whole rounds: demo, laboratory and tests do so through it. It knows nothing
//! of training: it is given the sites' updates and gives back the next model.
//!
//! ```text
//! federation   the sites, their study, their model
//! round        one round, from the manifest to the last acknowledgement
//! report       what a round showed          fault   what befalls sites on purpose
//! part         one site's part in it        plain   what the opened sum must be
//! liar         a site that breaks the protocol, for faults and tests
//! playable     which faults can be played      course  whether rounds can end under them
//! aggregator   the child process
//! ```
#![forbid(unsafe_code)]

mod aggregator;
mod course;
mod fault;
mod federation;
pub mod liar;
mod part;
mod plain;
mod playable;
mod report;
mod round;

pub use aggregator::{Aggregator, Flipped, Serving};
pub use fault::{Fate, Fault, FaultError, Faults};
pub use federation::{Federation, FederationOptions, FederationSetup, site_id};
pub use playable::FaultsError;
pub use report::RoundReport;
