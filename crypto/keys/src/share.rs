//! Keys in shares: dealt to the key holders, sealed in envelopes, summed, reconstructed.

pub mod challenge;
pub(crate) mod deal;
pub mod dealt;
pub mod envelope;
pub mod functional;
pub mod reconstruct;
pub mod seal;
#[expect(clippy::module_inception, reason = "a share is what sharing makes")]
pub mod share;
