//! Sealing to a site: HPKE (RFC 9180, base mode) with the X-Wing KEM, HKDF-SHA256 and
//! ChaCha20-Poly1305, so that recorded traffic stays closed to a quantum computer.
//!
//! Sealed bytes are the encapsulated key (ML-KEM's ciphertext, then X25519's ephemeral key), then
//! ciphertext and tag of the first message. HPKE's info is `"ringfence/v2/seal/"` and the purpose's
//! name; the associated data are the canonical bytes, under the label `seal`, of what the message
//! is bound to: for an envelope manifest digest, dealer and holder; for an opening's content key
//! manifest digest, closing digest, holder and the recipient as an option that is present; for the
//! check key the site's name.

use std::fmt;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use rand::CryptoRng;
use ringfence_crypto::statement::HexBytes;
use ringfence_crypto::wire::canonical::{self, Canonical};

/// Bytes that sealing adds: an X-Wing ciphertext and a tag.
pub const SEAL_OVERHEAD: usize = ENCAPSULATED + 16;
const ENCAPSULATED: usize = 1120;

/// What a sealed message is for; part of HPKE's info string, so that one kind never opens as
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A dealer's share for a key holder.
    Envelope,
    /// The content key of an opening for one recipient.
    Opening,
    /// The study's check key for a site.
    CheckKey,
    /// The common model for a site that comes later.
    Snapshot,
}

impl Purpose {
    fn info(self) -> &'static [u8] {
        match self {
            Self::Envelope => b"ringfence/v2/seal/envelope",
            Self::Opening => b"ringfence/v2/seal/opening",
            Self::CheckKey => b"ringfence/v2/seal/check-key",
            Self::Snapshot => b"ringfence/v2/seal/snapshot",
        }
    }
}

/// A message that could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The recipient's key is no X-Wing key.
    #[error("the recipient's KEM key is no X-Wing encapsulation key")]
    Key,
    /// Altered, for somebody else, or of another purpose.
    #[error(
        "the sealed {purpose:?} did not open: it was altered, is for another site or round, or is not {expected} bytes or longer (got {got})"
    )]
    Open {
        /// What it should be.
        purpose: Purpose,
        /// Fewest bytes.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
}

/// A site's secret decapsulation key; zeroized on drop by its crate, whose `zeroize`
/// feature `Cargo.toml` turns on.
pub struct KemSecret(<XWing as Kem>::PrivateKey);

impl KemSecret {
    /// The key pair of a 32-byte seed: an X-Wing decapsulation key is its seed.
    ///
    /// # Errors
    /// [`SealError::Key`] unless there are 32 bytes.
    pub(crate) fn from_seed(seed: &[u8]) -> Result<Self, SealError> {
        <XWing as Kem>::PrivateKey::from_bytes(seed).map(Self).map_err(|_| SealError::Key)
    }

    /// The encapsulation key that stands in the roster.
    pub fn public(&self) -> HexBytes {
        HexBytes(XWing::sk_to_pk(&self.0).to_bytes().to_vec())
    }

    /// Opens what was sealed to this site under the same purpose and associated data.
    ///
    /// # Errors
    /// [`SealError::Open`].
    pub(crate) fn open(
        &self,
        purpose: Purpose,
        associated: &impl Canonical,
        sealed: &[u8],
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, SealError> {
        let refuse = || SealError::Open { purpose, expected: SEAL_OVERHEAD, got: sealed.len() };
        let (encapsulated, ciphertext) =
            sealed.split_at_checked(ENCAPSULATED).ok_or_else(refuse)?;
        let encapsulated =
            <XWing as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| refuse())?;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.0,
            &encapsulated,
            purpose.info(),
            ciphertext,
            &canonical::bytes("seal", associated),
        )
        .map(zeroize::Zeroizing::new)
        .map_err(|_| refuse())
    }
}

impl fmt::Debug for KemSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemSecret(not shown)")
    }
}

/// Seals `plaintext` to the owner of `recipient`.
///
/// # Errors
/// [`SealError::Key`] when `recipient` is no X-Wing key.
pub(crate) fn seal(
    recipient: &HexBytes,
    purpose: Purpose,
    associated: &impl Canonical,
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    let key = <XWing as Kem>::PublicKey::from_bytes(&recipient.0).map_err(|_| SealError::Key)?;
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &key,
            purpose.info(),
            plaintext,
            &canonical::bytes("seal", associated),
            rng,
        )
        .map_err(|_| SealError::Key)?;
    let mut sealed = encapsulated.to_bytes().to_vec();
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;

    #[test]
    fn opens_only_for_recipient_purpose_and_associated_data() {
        let mut rng = rng(1);
        let (alice, bob) = (KemSecret::from_seed(&[1; 32]), KemSecret::from_seed(&[2; 32]));
        let (alice, bob) = (alice.unwrap(), bob.unwrap());
        let sealed = seal(&alice.public(), Purpose::Envelope, &7u32, b"share", &mut rng).unwrap();
        assert_eq!(sealed.len(), SEAL_OVERHEAD + 5);
        assert_eq!(*alice.open(Purpose::Envelope, &7u32, &sealed).unwrap(), b"share");
        assert!(bob.open(Purpose::Envelope, &7u32, &sealed).is_err());
        assert!(alice.open(Purpose::Opening, &7u32, &sealed).is_err());
        assert!(alice.open(Purpose::Envelope, &8u32, &sealed).is_err());
        for index in [0, 1119, 1120, sealed.len() - 1] {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(alice.open(Purpose::Envelope, &7u32, &altered).is_err(), "byte {index}");
        }
        for length in [0, 1119, 1120, 1135] {
            assert!(alice.open(Purpose::Envelope, &7u32, &sealed[..length]).is_err());
        }
        assert_eq!(
            seal(&HexBytes(vec![0; 5]), Purpose::Envelope, &7u32, b"", &mut rng),
            Err(SealError::Key)
        );
    }
}
