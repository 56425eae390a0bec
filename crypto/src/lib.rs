//! Ringfence's public half: everything that the aggregator, an auditor and a site compute alike.
//!
//! Nothing in this crate can decrypt: there is no secret key type and no plaintext type, no clock
//! and no source of randomness. The aggregator depends on this crate and on nothing else of ours.
//!
//! Reading order: [`params`] and [`field`] (the ring), [`noise`] and [`packing`] (how values lie in
//! coefficients and words), [`ciphertext`] (public polynomials, wire words and the one operation on
//! bodies: addition), [`statement`] (what the parties sign), [`log`] (the Merkle log of what was
//! said), [`round`] (the aggregator's state machine).
#![forbid(unsafe_code)]

pub mod ciphertext;
pub mod digest;
pub mod field;
pub mod id;
pub mod layout;
pub mod log;
pub mod noise;
pub mod packing;
pub mod params;
pub mod round;
pub mod statement;
pub mod threshold;
mod vector;
pub mod wire;

pub use digest::Digest;
