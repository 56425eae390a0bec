//! Secrets for single rounds: made ahead, published as [`RoundKeys`], destroyed after their round.

use std::fmt;

use rand::CryptoRng;
use ringfence_crypto::id::{RoundNumber, StudyId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{HexBytes, RoundKeys};
use zeroize::Zeroizing;

use crate::identity::Identity;
use crate::share::seal::{KemSecret, SealError};

/// The decapsulation key of one round. Dropping it and deleting its file is what gives forward
/// secrecy: shares that were sealed to it are closed for good then.
pub struct RoundSecret {
    kem: KemSecret,
    seed: Zeroizing<[u8; 32]>,
}

impl RoundSecret {
    /// Draws a secret.
    ///
    /// # Errors
    /// [`SealError`] never, for 32 bytes; kept for the caller's `?`.
    pub fn generate(rng: &mut impl CryptoRng) -> Result<Self, SealError> {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Self::from_bytes(seed.as_slice())
    }

    /// The secret's bytes, for the one file that holds it until its round has ended.
    pub fn expose(&self) -> &[u8; 32] {
        &self.seed
    }

    /// Reads a secret.
    ///
    /// # Errors
    /// [`SealError::Key`] unless there are 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let seed: [u8; 32] = bytes.try_into().map_err(|_| SealError::Key)?;
        Ok(Self { kem: KemSecret::from_seed(&seed)?, seed: Zeroizing::new(seed) })
    }

    /// The public half: what dealers seal to.
    pub fn public(&self) -> HexBytes {
        self.kem.public()
    }

    pub(crate) fn kem(&self) -> &KemSecret {
        &self.kem
    }
}

impl fmt::Debug for RoundSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoundSecret(not shown)")
    }
}

/// The statement that publishes the public halves of secrets for the rounds from `first_round` on.
pub fn publish(
    identity: &Identity,
    study: StudyId,
    first_round: RoundNumber,
    secrets: &[RoundSecret],
) -> Signed<RoundKeys> {
    let keys = secrets.iter().map(RoundSecret::public).collect();
    identity.sign(RoundKeys { study, site: identity.site().clone(), first_round, keys })
}
