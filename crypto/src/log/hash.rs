//! Hashes of the log, RFC 6962 section 2.1. SHA-256 and not BLAKE3, because witnesses and monitors
//! of other logs understand it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::hexadecimal;
use crate::wire::canonical::Canonical;

/// Ahead of a leaf's data, so that no leaf can be taken for a node (RFC 6962, 2.1).
const LEAF: &[u8] = &[0];
/// Ahead of a node's two children.
const NODE: &[u8] = &[1];

/// A SHA-256 hash of a leaf, of an inner node or of a whole tree: 64 hexadecimal digits in JSON,
/// base64 in C2SP texts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogHash(pub [u8; 32]);

impl LogHash {
    /// The root of the tree without leaves: the hash of nothing.
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// The hash of a leaf with this data.
    pub fn leaf(data: &[u8]) -> Self {
        Self(Sha256::new().chain_update(LEAF).chain_update(data).finalize().into())
    }

    /// The hash of a node with these children.
    pub fn node(left: &Self, right: &Self) -> Self {
        let hasher = Sha256::new().chain_update(NODE).chain_update(left.0).chain_update(right.0);
        Self(hasher.finalize().into())
    }

    /// Standard base64 with padding, as C2SP texts have it.
    pub(crate) fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// The only base64 spelling of 32 bytes; none for any other text.
    pub(crate) fn from_base64(text: &str) -> Option<Self> {
        // The length bounds what is allocated; the engine refuses stray bits and missing padding.
        let bytes = (text.len() == 44).then(|| STANDARD.decode(text).ok()).flatten()?;
        bytes.try_into().ok().map(Self)
    }
}

/// Text that is no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 lower-case hexadecimal digits of a log hash, got {0:?}")]
pub struct LogHashError(String);

impl FromStr for LogHash {
    type Err = LogHashError;

    fn from_str(text: &str) -> Result<Self, LogHashError> {
        let refuse = || LogHashError(text.chars().take(80).collect());
        let mut bytes = [0; 32];
        hexadecimal::decode_to_slice(text, &mut bytes).map_err(|_| refuse())?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for LogHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hexadecimal::encode(&self.0))
    }
}

impl fmt::Debug for LogHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogHash({})", hexadecimal::encode(&self.0[..4]))
    }
}

impl Canonical for LogHash {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Serialize for LogHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
