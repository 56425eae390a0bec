//! A site whose machine has no network, and whoever carries files between it and the aggregator.
//!
//! ```text
//! bundle    one file: items, what they are, and digests of all of it
//! contents  what the two kinds of bundles say about themselves
//! mailbox   at the site: the last bundle that came, and what is to leave
//! answers   the mailbox in the aggregator's place: what a site asks, answered from the last bundle
//! carry     at the carrier: what the site says is passed on, once
//! fetch     at the carrier: what the site will ask next
//! error     what can be wrong with a bundle
//! ```
//!
//! The site runs the same steps as on a network, and checks what it reads in the same way: who carried
//! a bundle, or altered it, can keep it back and nothing else. What the site says enters its mailbox
//! where it would have left over the network, after its journal; a bundle that was written is a message
//! that left.

mod answers;
mod bundle;
mod carry;
mod contents;
mod error;
mod fetch;
mod mailbox;

pub use carry::{Carried, Carrier, Refused};
pub use error::ByHandError;
pub(crate) use fetch::Recorder;
pub use mailbox::{Exported, Imported, Mailbox};

/// What is given as `--server` where there is no network.
pub const BY_HAND: &str = "by-hand";
