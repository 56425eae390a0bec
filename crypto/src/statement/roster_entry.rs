//! A site as the roster names it: its name and its public keys.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hexadecimal;
use crate::id::SiteId;
use crate::signature::PublicKey;
use crate::wire::canonical::{Canonical, canonical};

/// Bytes of an X-Wing encapsulation key.
pub const KEM_KEY_BYTES: usize = 1216;

/// Bytes shown as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl Canonical for HexBytes {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hexadecimal::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hexadecimal::decode(&text).map_err(|error| {
            serde::de::Error::custom(format!("expected lower-case hexadecimal digits: {error}"))
        })?;
        Ok(Self(bytes))
    }
}

/// One site of the roster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RosterEntry {
    /// Its name.
    pub id: SiteId,
    /// Verifies what it signs.
    pub signature_key: PublicKey,
    /// X-Wing encapsulation key: what is sealed to it.
    pub kem_key: HexBytes,
}
canonical!(RosterEntry { id, signature_key, kem_key });
