//! What things are called: one type for each kind of name, so that swapped arguments do not
//! compile.
//!
//! On the wire an identity is the digest or number that it holds; the types exist in the code only.
#![warn(clippy::indexing_slicing, reason = "names come from strangers")]

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, DigestError};
use crate::wire::canonical::Canonical;

macro_rules! digest_id {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
            #[serde(transparent)]
            pub struct $name(pub Digest);

            impl $name {
                /// The first eight hexadecimal digits, for people.
                pub fn short(&self) -> String {
                    self.0.short()
                }
            }

            impl From<Digest> for $name {
                fn from(digest: Digest) -> Self {
                    Self(digest)
                }
            }

            impl From<$name> for Digest {
                fn from(id: $name) -> Self {
                    id.0
                }
            }

            impl FromStr for $name {
                type Err = DigestError;

                fn from_str(text: &str) -> Result<Self, DigestError> {
                    text.parse().map(Self)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.fmt(f)
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!(stringify!($name), "({})"), self.0.short())
                }
            }

            impl Canonical for $name {
                fn encode(&self, out: &mut Vec<u8>) {
                    self.0.encode(out);
                }
            }
        )+
    };
}

digest_id! {
    /// A study: the digest of its canonical bytes.
    StudyId,
    /// A round's manifest: the digest of its canonical bytes. It seeds the public polynomials.
    ManifestId,
    /// A site's header: the digest of its canonical bytes.
    HeaderId,
    /// A round's closing: the digest of its canonical bytes.
    ClosingId,
    /// A round's freeze: the digest of its canonical bytes. The challenge of the reviews follows it.
    FreezeId,
    /// A dispute: the digest of its canonical bytes.
    DisputeId,
    /// A verdict: the digest of its canonical bytes.
    VerdictId,
    /// A model: the digest of its names, shapes and values.
    ModelId,
}

/// The number of a round in its study, from 0. Numbers only rise, by one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct RoundNumber(pub u32);

impl RoundNumber {
    /// The first round of a study.
    pub const FIRST: Self = Self(0);

    /// The round after this one; the last number there is stays.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The round before this one; none before the first.
    #[must_use]
    pub fn before(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl FromStr for RoundNumber {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for RoundNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Canonical for RoundNumber {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

/// A moment in whole seconds since 1970, as parties tell it each other. It may come from outside,
/// so that all arithmetic saturates.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// So many seconds later.
    #[must_use]
    pub fn after(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// So many seconds earlier.
    #[must_use]
    pub fn earlier(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds since an earlier moment; 0 when that is not earlier.
    pub fn seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time since an earlier moment; nothing when that is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.seconds_since(earlier))
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Canonical for UnixSeconds {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

/// Most letters of a site's name.
const MAX_LENGTH: usize = 32;

/// The name of a site: 1 to 32 lower-case letters, digits and inner dashes. It is copied often, with
/// all statements of a round of many sites: clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(Arc<str>);

/// Text that names no site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a site name of 1 to {MAX_LENGTH} lower-case letters, digits and inner dashes, got {0:?}"
)]
pub struct SiteIdError(String);

impl SiteId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SiteId {
    type Err = SiteIdError;

    fn from_str(text: &str) -> Result<Self, SiteIdError> {
        let letters = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        let edges = text.starts_with('-') || text.ends_with('-');
        if text.is_empty() || text.len() > MAX_LENGTH || !letters || edges {
            return Err(SiteIdError(text.chars().take(2 * MAX_LENGTH).collect()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Canonical for SiteId {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Serialize for SiteId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SiteId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Name)
    }
}

/// Reads a site's name.
struct Name;

impl Visitor<'_> for Name {
    type Value = SiteId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SiteId, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_escape_a_path_or_url() {
        for bad in ["", ".", "..", "a/b", "A", "-a", "a-", "a b", "ä", &"a".repeat(33)] {
            assert!(bad.parse::<SiteId>().is_err(), "{bad}");
        }
        assert_eq!("charite-2".parse::<SiteId>().unwrap().to_string(), "charite-2");
    }
}
