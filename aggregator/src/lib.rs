//! Ringfence's aggregator: stores ciphertexts and signed statements, adds words, signs what it did.
//!
//! It depends on `ringfence-crypto` and on nothing that can decrypt: no key of a site, no plaintext
//! type and no number-theoretic transform is in its dependency tree. What it holds is in
//! [`store`] (statements) and in files (bodies, envelopes, openings, sums); all it computes from
//! bodies is their sum, and that only from a closed round of at least `min_sites` contributions.
//!
//! Order of every change: the round machine decides, SQLite has it on the disk, memory follows,
//! and then the answer leaves. A receipt therefore survives a kill at any instruction.
//!
//! # What is not protected here yet
//! Statements are signed and checked, and envelopes and bodies must match the digests in signed
//! headers. The *requests* are not authenticated, though: whoever reaches the service can read
//! everything that a site or an auditor can read (who took part, sizes, ciphertexts), and can
//! send bytes in a site's name, which are discarded when their digest is wrong but cost that site
//! time. RFC 9421 signatures on requests are to close this; until then the network or a
//! proxy must say who may connect.
#![forbid(unsafe_code)]

mod aggregator;
mod closing;
mod config;
mod files;
mod identity;
mod incoming;
mod log;
mod problem;
mod rounds;
mod routes;
mod server;
pub mod store;
mod sum;
mod upload;

pub use aggregator::LoadError;
pub use config::Config;
pub use identity::{Identity, IdentityError};
pub use server::{Server, StartError};

/// Runs what blocks (files, hashing, adding) off the threads that serve requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, problem::Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| problem::Refusal::internal(&error))
}
