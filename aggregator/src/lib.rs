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
//! | `auth`, `identity` | tokens and their roles; the key that signs receipts and closings |
//! | `config`, `config_file` | what the operator says, and the file that says it |
//! | `extract` | everything that root can take from here, for an auditor |
//! | `metrics`, `traces` | what Prometheus reads, and what a collector is told |
//!
//! Order of every change: the round machine decides, the store has it, memory follows, and then the
//! answer leaves. A receipt therefore survives a kill at any instruction.
//!
//! # Who is let in
//! Statements are signed and checked, and envelopes and bodies must match the digests in signed
//! headers. Requests are signed, too (RFC 9421), or carry a token: `http::access` has the one table of
//! who may ask what, and holds each request to it before anything of it is stored or looked up (but
//! whether there is such a study, where several aggregators have one store). A browser signs in with a
//! token, and its cookie counts on the pages of the dashboard alone (`http::sessions`).
#![forbid(unsafe_code)]

mod auth;
mod config;
mod config_file;
mod core;
mod extract;
mod http;
mod identity;
mod metrics;
mod store;
mod tls;
mod traces;

pub use crate::auth::{TokensError, new_token};
pub use crate::config::{Config, LogFormat};
pub use crate::config_file::{ConfigFileError, named, with_file};
pub use crate::core::studies::LoadError;
pub use crate::extract::{ExtractError, ExtractOptions, extract};
pub use crate::http::openapi::text as openapi;
pub use crate::http::server::{Server, StartError};
pub use crate::http::service::Service;
pub use crate::identity::{Identity, IdentityError};
pub use crate::store::marks::MarkError;
pub use crate::store::sqlite_files::backup::{Backup, BackupError, back_up};
pub use crate::store::terms::{StoreError, StoreOpenError};
pub use crate::tls::TlsError;
pub use crate::traces::Collector;

/// The roster that the service's tests play with, for the tests beside the code, too.
#[cfg(test)]
#[path = "../tests/service/roster.rs"]
#[allow(dead_code, reason = "the tests of the binary use all of it")]
mod roster;

/// PostgreSQL and an S3-compatible server, for the tests beside the code, too.
#[cfg(test)]
#[path = "../tests/service/engines.rs"]
#[allow(dead_code, reason = "the tests of the binary use all of it")]
mod engines;
