//! Ringfence's public half: everything that the aggregator, an auditor and a site compute alike.
//!
//! Nothing in this crate can decrypt: there is no secret key type and no plaintext type, no clock
//! and no source of randomness. The aggregator depends on this crate and on none that can.
//!
//! Reading order: [`ring`] (the ring's arithmetic, how values lie in coefficients and words, public
//! polynomials and the one operation on bodies: addition), [`id`] and [`signature`] (what things
//! are called, and who said them), [`time`] (how far clocks may be apart), [`statement`] (what the
//! parties sign), [`log`] (the Merkle log of what was said), [`round`] (the aggregator's state
//! machine), [`evidence`] (a round's statements in one file, checked offline), [`api`] (the REST
//! service's messages), [`request`] (who sends them), [`chunk_group`] (a part of a body, checked
//! alone), [`hash_ranges`] (a body hashed in ranges), [`dealing`] (whose shares are sound),
//! [`cohorts`] (what the sums of several rounds could tell of few sites), [`held`] (all that an
//! aggregator holds, and what of it speaks of an update), [`letters`] (of names that others chose).
#![forbid(unsafe_code)]

pub mod api;
pub mod chunk_group;
pub mod cohorts;
pub mod dealing;
pub mod digest;
pub mod evidence;
pub mod hash_ranges;
pub mod held;
mod hexadecimal;
pub mod id;
pub mod layout;
pub mod letters;
pub mod log;
pub mod protocol;
pub mod request;
pub mod ring;
pub mod round;
#[cfg(feature = "openapi")]
mod schema;
pub mod signature;
pub mod statement;
pub mod threshold;
pub mod time;
pub mod wire;

pub use digest::Digest;
