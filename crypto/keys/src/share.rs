//! Keys in shares: dealt to the key holders, sealed in envelopes, summed, reconstructed.

pub mod envelope;
pub mod reconstruct;
pub mod seal;
#[expect(clippy::module_inception, reason = "sharing is what a share is made by")]
pub mod share;
