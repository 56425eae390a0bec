//! Where the chance of private training comes from.
//!
//! A site that is killed trains on, and one whose disk was restored trains again. Noise that is used
//! twice hides nothing: the difference of two results with the same noise is the difference of what
//! it was to hide. So chance is derived from a secret and from *everything it is used with*, as
//! deterministic signatures derive their nonces (RFC 6979):
//!
//! - a run's key from the secret, the run's name, all options and all of the data,
//! - a step's key from that, the step's number and the weights before it: who is sampled, which
//!   images of a patient, how they are augmented,
//! - the noise's key from that and the sum of clipped gradients itself.
//!
//! A step that is repeated with all of that the same gives the same bits, and tells nothing new. If
//! a single bit of it differs, its chance is independent, as far as BLAKE3 keyed with a secret is a
//! pseudo-random function. What remains for the ledger is to count a *second release* of a round on
//! changed data as a second one.

use rand::SeedableRng;
use rand::rngs::{ChaCha20Rng, SysRng};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::LearnError;
use crate::train::derivation::Key;

/// The secret from which a site's sampling and noise follow, drawn by the operating system. Who
/// knows it can take the noise away: it never leaves the site, and another study has another one.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct NoiseSeed([u8; 32]);

impl std::fmt::Debug for NoiseSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NoiseSeed(secret)")
    }
}

impl NoiseSeed {
    /// A new secret from the operating system.
    ///
    /// # Errors
    /// [`LearnError::Randomness`] when the operating system gives none.
    pub fn draw() -> Result<Self, LearnError> {
        use rand::TryRng;
        let mut seed = Self([0; 32]);
        let drawn = SysRng.try_fill_bytes(&mut seed.0);
        drawn.map_err(|error| LearnError::Randomness(error.to_string()))?;
        Ok(seed)
    }

    /// The secret that a site has kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret, to be kept where nobody else reads it.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The generator of this key. It is cleared when it is dropped.
pub(super) fn generator(key: &Key) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(**key)
}
