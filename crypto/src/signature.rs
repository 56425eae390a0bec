//! Ed25519 signatures over canonical bytes with a label; verification is strict.
#![warn(clippy::indexing_slicing, reason = "signatures come from strangers")]

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;
use crate::wire::canonical::{self, Canonical};

/// A kind of statement.
pub trait Statement: Canonical + Serialize + DeserializeOwned {
    /// Separates this kind's bytes from every other kind's.
    const LABEL: &'static str;

    /// What names one statement of this kind: a type of its own, or a plain digest where nothing
    /// could be mistaken for it.
    type Id: From<Digest> + Into<Digest> + Copy + Eq + fmt::Debug + fmt::Display;

    /// The name of this statement: the digest of its canonical bytes.
    fn id(&self) -> Self::Id {
        canonical::digest(Self::LABEL, self).into()
    }

    /// The bytes that are signed.
    fn signed_bytes(&self) -> Vec<u8> {
        canonical::bytes(Self::LABEL, self)
    }
}

/// An Ed25519 verification key, parsed once: a point that dalek accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A signature that does not hold, or a key that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signature does not match statement and key.
    #[error(
        "the signature of this {statement} does not verify under the key of {signer}; it was altered or signed by somebody else"
    )]
    Invalid {
        /// Label of the statement.
        statement: &'static str,
        /// Whose key was tried.
        signer: String,
    },
    /// Not a verification key.
    #[error("expected an Ed25519 verification key of 64 hexadecimal digits, got {0:?}")]
    Key(String),
}

impl PublicKey {
    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The key with these bytes, unless it is of small order or no point at all.
    ///
    /// # Errors
    /// [`SignatureError::Key`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SignatureError> {
        match VerifyingKey::from_bytes(bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(key)),
            _ => Err(SignatureError::Key(hex::encode(bytes))),
        }
    }

    /// Whether `signature` is this key's over `message`; strict.
    pub(crate) fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        self.0.verify_strict(message, signature).is_ok()
    }
}

impl From<VerifyingKey> for PublicKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

impl FromStr for PublicKey {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let refuse = || SignatureError::Key(text.chars().take(80).collect());
        let bytes: Digest = text.parse().map_err(|_| refuse())?;
        Self::from_bytes(&bytes.0)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::hexadecimal::encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl Canonical for PublicKey {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A statement and its signature, as they travel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, bound(deserialize = "T: DeserializeOwned"))]
pub struct Signed<T> {
    /// What is said.
    pub statement: T,
    /// Ed25519 over the canonical bytes.
    #[serde(with = "signature_hex")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::schema::signature))]
    pub signature: Signature,
}

/// Signs the canonical bytes of a statement.
pub fn sign<T: Statement>(statement: T, signer: &impl Signer<Signature>) -> Signed<T> {
    let signature = signer.sign(&statement.signed_bytes());
    Signed { statement, signature }
}

impl<T: Statement> Signed<T> {
    /// Checks the signature under `key`, strictly (no malleable or small-order encodings).
    ///
    /// # Errors
    /// [`SignatureError::Invalid`] names the statement's kind and `signer`.
    pub fn verify(&self, key: &PublicKey, signer: &dyn fmt::Display) -> Result<(), SignatureError> {
        key.0.verify_strict(&self.statement.signed_bytes(), &self.signature).map_err(|_| {
            SignatureError::Invalid { statement: T::LABEL, signer: signer.to_string() }
        })
    }

    /// The name of the statement; the signature is no part of it.
    pub fn id(&self) -> T::Id {
        self.statement.id()
    }
}

pub(crate) mod signature_hex {
    use ed25519_dalek::Signature;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::hexadecimal;

    pub(crate) fn serialize<S: Serializer>(
        signature: &Signature,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::hexadecimal::encode(&signature.to_bytes()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Signature, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        hexadecimal::decode_to_slice(&text, &mut bytes).map_err(|_| {
            serde::de::Error::custom("expected a signature of 128 lower-case hexadecimal digits")
        })?;
        Ok(Signature::from_bytes(&bytes))
    }
}
