//! Ringfence's secret half: what only sites do.
//!
//! In the order of a round: [`identity`] and [`round_secret`] (a site's keys), [`study`] (drafting
//! one), [`update`] (what precedes encryption), [`encrypt`] (one-time keys and contributions under
//! them), [`share`] (keys in shares, sealed and reconstructed), [`duties`] (when to contribute, to
//! endorse and to open), [`open`](mod@open) (the sum). The aggregator does not depend on this
//! crate.
//!
//! Time and randomness are arguments. Secrets are newtypes without `Clone`, `Serialize` or a
//! derived `Debug`, zeroized when dropped; sampling and key arithmetic have no secret-dependent
//! branch or index.
#![forbid(unsafe_code)]

mod cumulative_table;
pub mod duties;
pub mod encrypt;
pub mod identity;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
pub mod open;
mod randomness;
pub mod round_secret;
mod secret;
pub mod share;
pub mod snapshot;
pub mod study;
pub mod update;

pub use rand::CryptoRng;

/// A generator seeded by the operating system, for keys, errors and everything else here.
///
/// # Errors
/// When the operating system gives no randomness; nothing may go on without it.
pub fn system_rng() -> Result<rand::rngs::ChaCha20Rng, rand::rngs::SysError> {
    use rand::SeedableRng;
    rand::rngs::ChaCha20Rng::try_from_rng(&mut rand::rngs::SysRng)
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
