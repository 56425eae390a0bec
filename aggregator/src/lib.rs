//! Ringfence's aggregator: stores ciphertexts and signed statements, adds words, signs what it did.
//!
//! It depends on `ringfence-crypto` and on nothing that can decrypt: no key of a site, no plaintext
//! type and no number-theoretic transform is in its dependency tree. (TLS brings ciphers: they open
//! connections, in which all that is secret is sealed for others.) All it computes from bodies is their
//! sum, and that only from a closed round of at least `min_sites` contributions.
//!
//! | module | holds |
//! |---|---|
//! | `core` | the service itself: studies, rounds, uploads, closing, the sum. No HTTP, no database |
//! | `store` | what is stored and what a backend promises; a folder for each backend |
//! | `http` | the server, its routes, and what a refusal looks like on the wire |
//! | `tls` | certificate and key, read again when they change |
//! | `auth`, `identity` | the administrator's token; the key that signs receipts and closings |
//! | `config` | what the operator says |
//!
//! Order of every change: the round machine decides, the store has it, memory follows, and then the
//! answer leaves. A receipt therefore survives a kill at any instruction.
//!
//! # What is not protected here yet
//! Statements are signed and checked, and envelopes and bodies must match the digests in signed
//! headers. The *requests* are not authenticated, though: whoever reaches the service can read
//! everything that a site or an auditor can read (who took part, sizes, ciphertexts), and can
//! send bytes in a site's name, which are discarded when their digest is wrong but cost that site
//! time. RFC 9421 signatures on requests are to close this; until then the network or a
//! proxy must say who may connect.
#![forbid(unsafe_code)]

mod auth;
mod config;
mod core;
mod http;
mod identity;
mod store;
mod tls;

pub use crate::config::Config;
pub use crate::core::studies::LoadError;
pub use crate::http::server::{Server, StartError};
pub use crate::identity::{Identity, IdentityError};
pub use crate::store::marks::MarkError;
pub use crate::store::terms::{StoreError, StoreOpenError};
pub use crate::tls::TlsError;

/// The roster that the service's tests play with, for the tests beside the code, too.
#[cfg(test)]
#[path = "../tests/service/roster.rs"]
#[allow(dead_code, reason = "the tests of the binary use all of it")]
mod roster;
