//! Names of sites: what stands in URLs, file names and statements.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::canonical::Canonical;

const MAX_LENGTH: usize = 32;

/// The name of a site: 1 to 32 lower-case letters, digits and inner dashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(String);

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
        Ok(Self(text.to_owned()))
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
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
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
