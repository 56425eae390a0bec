//! A site's identity: an Ed25519 signing key and an X-Wing decapsulation key, each from a seed.

mod locked;

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey};
use rand::CryptoRng;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::signature::{PublicKey, Signed, Statement, sign};
use ringfence_crypto::statement::{RosterEntry, Study};
use ringfence_crypto::wire::canonical::Canonical;
use zeroize::{Zeroize, Zeroizing};

pub use locked::{LockError, MIN_PASSPHRASE, check_locked, is_locked};

use crate::encrypt::check::CheckKey;
use crate::share::seal::{KemSecret, Purpose, SealError};

/// What a site is known by and what it keeps secret.
pub struct Identity {
    site: SiteId,
    signing: SigningKey,
    kem: KemSecret,
    kem_seed: Zeroizing<[u8; 32]>,
}

/// An identity that cannot be read, or a study that is not for it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IdentityError {
    /// The text is no identity.
    #[error(
        "expected three lines of an identity file (site name, signing seed, KEM seed; see `ringfence keygen`): {0}"
    )]
    Malformed(&'static str),
    /// The study's roster has another key or no such site.
    #[error(
        "site {0} does not stand in this study's roster with this identity's keys; use the identity whose public half the study's author was given"
    )]
    NotOnRoster(SiteId),
    /// The check key did not open.
    #[error("the study's check key for {site} cannot be used: {reason}")]
    CheckKey {
        /// Whose.
        site: SiteId,
        /// Why.
        reason: String,
    },
}

impl Identity {
    /// Draws both keys.
    ///
    /// # Errors
    /// [`SealError`] never, for 32 bytes; kept for the caller's `?`.
    pub fn generate(site: SiteId, rng: &mut impl CryptoRng) -> Result<Self, SealError> {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        let signing = SigningKey::from_bytes(&seed);
        rng.fill_bytes(seed.as_mut_slice());
        let kem = KemSecret::from_seed(seed.as_slice())?;
        Ok(Self { site, signing, kem, kem_seed: seed })
    }

    /// The secret identity file: name, signing seed, KEM seed, a line each.
    pub fn to_file(&self) -> Zeroizing<String> {
        let mut signing = hex::encode(self.signing.as_bytes());
        let mut kem = hex::encode(self.kem_seed.as_slice());
        let text = Zeroizing::new(format!("{}\n{signing}\n{kem}\n", self.site));
        signing.zeroize();
        kem.zeroize();
        text
    }

    /// Reads a secret identity file.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`]; what stands in the file is never shown.
    pub fn from_file(text: &str) -> Result<Self, IdentityError> {
        let malformed = IdentityError::Malformed;
        let [site, signing, kem] = text.lines().collect::<Vec<_>>()[..] else {
            return Err(malformed("it has another number of lines"));
        };
        let site = site.parse().map_err(|_| malformed("line 1 is no site name"))?;
        let mut seeds = Zeroizing::new([[0u8; 32]; 2]);
        let [signing_seed, kem_seed] = &mut *seeds;
        hex::decode_to_slice(signing, signing_seed)
            .map_err(|_| malformed("line 2 is not 64 hexadecimal digits"))?;
        hex::decode_to_slice(kem, kem_seed)
            .map_err(|_| malformed("line 3 is not 64 hexadecimal digits"))?;
        let kem = KemSecret::from_seed(kem_seed.as_slice())
            .map_err(|_| malformed("line 3 is no X-Wing seed"))?;
        let signing = SigningKey::from_bytes(signing_seed);
        Ok(Self { site, signing, kem, kem_seed: Zeroizing::new(*kem_seed) })
    }

    /// The site's name.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// The public half, for the roster.
    pub fn public(&self) -> RosterEntry {
        RosterEntry {
            id: self.site.clone(),
            signature_key: PublicKey::from(self.signing.verifying_key()),
            kem_key: self.kem.public(),
        }
    }

    /// Signs a statement.
    pub fn sign<T: Statement>(&self, statement: T) -> Signed<T> {
        sign(statement, &self.signing)
    }

    /// The signer itself, for [`ringfence_crypto::statement::SignedStudy::sign`].
    pub fn signer(&self) -> &impl Signer<Signature> {
        &self.signing
    }

    pub(crate) fn kem(&self) -> &KemSecret {
        &self.kem
    }

    /// This site's ring position in a study, with the keys that the study names.
    ///
    /// # Errors
    /// [`IdentityError::NotOnRoster`].
    pub fn position(&self, study: &Study) -> Result<usize, IdentityError> {
        let public = self.public();
        let position = study.roster.iter().position(|site| *site == public);
        position.ok_or_else(|| IdentityError::NotOnRoster(self.site.clone()))
    }

    /// Opens what was sealed to this site.
    pub(crate) fn open(
        &self,
        purpose: Purpose,
        associated: &impl Canonical,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.kem.open(purpose, associated, sealed)
    }

    /// Opens the check key that the study seals to this site, and checks that it is the one that
    /// the study commits to for all sites.
    ///
    /// # Errors
    /// [`IdentityError`] when the site is not on the roster or the key does not open or match.
    pub fn check_key(&self, study: &Study) -> Result<CheckKey, IdentityError> {
        let position = self.position(study)?;
        let refuse = |reason: String| IdentityError::CheckKey { site: self.site.clone(), reason };
        let sealed = study.check_key.sealed.get(position);
        let sealed = sealed.ok_or_else(|| refuse("the study holds none for it".into()))?;
        let bytes = self
            .kem
            .open(Purpose::CheckKey, &self.site, &sealed.0)
            .map_err(|error| refuse(error.to_string()))?;
        let key = CheckKey::from_bytes(&bytes).map_err(|error| refuse(error.to_string()))?;
        if key.commitment() != study.check_key.commitment {
            return Err(refuse("it is not the one that the study commits to".into()));
        }
        Ok(key)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, keys not shown)", self.site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;

    #[test]
    fn file_round_trips_and_errors_tell_no_secret() {
        let identity = Identity::generate("a".parse().unwrap(), &mut rng(1)).unwrap();
        let text = identity.to_file();
        assert_eq!(Identity::from_file(&text).unwrap().public(), identity.public());
        let secret = text.lines().nth(1).unwrap();
        let broken = text.replace('\n', "\r");
        for bad in ["", "a\nb\nc\n", broken.as_str(), &text[..text.len() - 3]] {
            let error = Identity::from_file(bad).unwrap_err().to_string();
            assert!(error.contains("identity file") && !error.contains(secret), "{error}");
        }
        assert!(!format!("{identity:?}").contains(secret));
    }
}
