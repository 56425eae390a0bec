//! Ringfence's secret half: what only sites do.
//!
//! Identities ([`identity`]), one-time keys ([`one_time_key`]) and the encryption under them,
//! sharing and sealing of keys ([`share`], [`seal`]), the key holder's duties ([`holder`]) and
//! what it checks of the log ([`logged`]), and opening the sum ([`open`]). The aggregator does not depend on this crate.
//!
//! Time and randomness are arguments. Secrets are newtypes without `Clone`, `Serialize` or a
//! derived `Debug`, zeroized when dropped; sampling and key arithmetic have no secret-dependent
//! branch or index.
#![forbid(unsafe_code)]

pub mod check;
pub mod contribution;
pub mod draft;
#[cfg(any(test, feature = "tfhe"))]
pub mod glwe;
pub mod holder;
pub mod identity;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
pub mod logged;
mod noise;
pub mod one_time_key;
pub mod open;
pub mod plan;
pub mod quantize;
mod randomness;
pub mod reconstruct;
pub mod round_secret;
pub mod seal;
mod secret;
pub mod share;
mod transform;

pub use rand::CryptoRng;

/// A generator seeded by the operating system, for keys, errors and everything else here.
///
/// # Errors
/// When the operating system gives no randomness; nothing may go on without it.
pub fn system_rng() -> Result<rand::rngs::ChaCha20Rng, rand::rngs::SysError> {
    use rand::SeedableRng;
    rand::rngs::ChaCha20Rng::try_from_rng(&mut rand::rngs::SysRng)
}

// `tests/common` names this library as every other test program does.
#[cfg(test)]
extern crate self as ringfence_keys;

#[cfg(test)]
mod testing {
    use rand::SeedableRng;
    use rand::rngs::ChaCha20Rng;

    /// Reproducible randomness, for tests only.
    pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(seed)
    }
}

#[cfg(test)]
mod tests;
