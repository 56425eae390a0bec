//! What a site owes the others: the rules of contributing, a key holder's duties, and what the log
//! must show.
#![warn(clippy::indexing_slicing, reason = "what is shown comes from strangers")]

pub mod abstention;
pub mod contributor;
pub mod disputes;
pub mod holder;
pub mod logged;
pub mod restored;
