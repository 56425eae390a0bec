//! The version of the protocol: what a study is made under and what a state directory holds.
//!
//! Statements need no field for it: their label, which is signed, names it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version that this code speaks.
pub const VERSION: u32 = 2;

/// States [`VERSION`] in a file, and refuses any other when the file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolVersion;

/// Made under another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is of protocol version {0}, and this program speaks version {VERSION} only; make a new study, or use the program that made it"
)]
pub struct OtherVersion(pub u32);

impl ProtocolVersion {
    /// The version, if it is this one.
    ///
    /// # Errors
    /// [`OtherVersion`].
    pub fn of(version: u32) -> Result<Self, OtherVersion> {
        if version == VERSION { Ok(Self) } else { Err(OtherVersion(version)) }
    }
}

impl Serialize for ProtocolVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(VERSION)
    }
}

impl<'de> Deserialize<'de> for ProtocolVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(u32::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
