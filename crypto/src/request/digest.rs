//! `Content-Digest` (RFC 9530): what a request's message must hash to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sfv::{BareItem, Dictionary, ListEntry, Parser};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// The header.
pub const CONTENT_DIGEST: &str = "content-digest";

/// SHA-256 of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentDigest([u8; 32]);

/// Not the digest of what came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentDigestError {
    /// No such header.
    #[error("expected `Content-Digest: sha-256=:...:` (RFC 9530), got {0:?}")]
    Malformed(String),
    /// Another message.
    #[error(
        "the message is not the one that its Content-Digest names: it was altered on its way; send it again"
    )]
    Other,
}

impl ContentDigest {
    /// Of a message.
    pub fn of(message: &[u8]) -> Self {
        Self(Sha256::digest(message).into())
    }

    /// Reads the header's value; digests by other functions than SHA-256 are not looked at.
    ///
    /// # Errors
    /// [`ContentDigestError::Malformed`].
    pub fn parse(value: &str) -> Result<Self, ContentDigestError> {
        let malformed = || ContentDigestError::Malformed(value.chars().take(100).collect());
        let fields: Dictionary = Parser::new(value).parse().map_err(|_| malformed())?;
        match fields.get("sha-256") {
            Some(ListEntry::Item(item)) => match &item.bare_item {
                BareItem::ByteSequence(bytes) => {
                    bytes.as_slice().try_into().map(Self).map_err(|_| malformed())
                }
                _ => Err(malformed()),
            },
            _ => Err(malformed()),
        }
    }

    /// Checks a message that came.
    ///
    /// # Errors
    /// [`ContentDigestError::Other`].
    pub fn check(&self, message: &[u8]) -> Result<(), ContentDigestError> {
        match bool::from(Self::of(message).0.ct_eq(&self.0)) {
            true => Ok(()),
            false => Err(ContentDigestError::Other),
        }
    }

    /// The header's value.
    pub fn header(&self) -> String {
        format!("sha-256=:{}:", STANDARD.encode(self.0))
    }
}
