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
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::data::dataset::Sample;
use crate::error::LearnError;

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

/// A derived key.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// A derivation of a key from keys and all that it depends on, each part with its length.
pub(super) struct Derivation(blake3::Hasher);

impl Drop for Derivation {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Derivation {
    pub(super) fn new(context: &str, key: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(key);
        Self(hasher)
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    pub(super) fn values(mut self, values: &[f32]) -> Self {
        self.0.update(&(values.len() as u64).to_le_bytes());
        let mut buffer = [0; 4096];
        for values in values.chunks(buffer.len() / 4) {
            for (bytes, value) in buffer.chunks_exact_mut(4).zip(values) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
            self.0.update(buffer.get(..4 * values.len()).unwrap_or_default());
        }
        self
    }

    /// Whatever a sample is made of: what is trained on, and whose it is.
    pub(super) fn sample(mut self, sample: &Sample) -> Self {
        let Sample { name, group, image, label, mask, own_mask: _ } = sample;
        self = self.bytes(name.as_bytes()).bytes(group.as_bytes()).values(image);
        self = match label {
            Some(label) => self.number(1).number(u64::from(*label)),
            None => self.number(0),
        };
        match mask {
            Some(mask) => self.number(1).values(mask),
            None => self.number(0),
        }
    }

    pub(super) fn key(self) -> Key {
        Zeroizing::new(*self.0.finalize().as_bytes())
    }
}

/// The generator of this key. It is cleared when it is dropped.
pub(super) fn generator(key: &Key) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(**key)
}
