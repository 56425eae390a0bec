//! A site in a study: what it keeps, what it checks, and its part in a round.
//!
//! A round is driven by typestate: [`Site::join`] gives a [`Joined`], contributing moves that into
//! a [`Contributed`], opening the sum into a [`Done`]. The duties of a key holder run beside it
//! ([`Site::hold`]). Every step is durable before it leaves and may be repeated after a crash.
//!
//! ```text
//! site         Site itself and its memberships; everything else adds to it
//!   history    the rounds before: manifests, certificates, the model that was agreed on
//!   round_keys the site's KEM keys for single rounds
//!   restored   after a restore from a backup: how far to abstain
//!   initiate   opening a round
//!   hold       a key holder's duties
//!   contribute Joined, Contributed
//!   finish     Done
//! journal      durable state            transport   HTTP
//! model        identities and layouts of weights
//! ```
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, reason = "a site must not stop on what it is sent or finds")]

mod contribute;
mod error;
mod finish;
mod history;
mod hold;
mod initiate;
mod journal;
pub mod model;
mod restored;
mod round_keys;
mod site;
pub mod transport;

pub use contribute::{Contributed, Joined, Sealing};
pub use error::SiteError;
pub use finish::{Done, RoundEnd};
pub use hold::HoldReport;
pub use journal::{
    ContributionRecord, Journal, JournalError, RestoreRecord, RoundJournal, RoundKeysJournal,
};
pub use restored::RestoreRun;
pub use round_keys::NamedKey;
pub use site::{Membership, Site};
