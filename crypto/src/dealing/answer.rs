//! What a holder's review says of one dealer, as it is signed and sent.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ring::field;
use crate::statement::HexBytes;
use crate::wire::canonical::Canonical;

/// What a holder's review says of one dealer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The envelope that the dealer's header names holds no share.
    NoShare,
    /// Two random functionals of the share, each masked by a word that was dealt with it: residues
    /// below q, in JSON 32 hexadecimal digits, little-endian.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    #[cfg_attr(feature = "openapi", schema(value_type = HexBytes))]
    Masked([u64; 2]),
}

impl Canonical for Answer {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::NoShare => 0u8.encode(out),
            Self::Masked(words) => {
                1u8.encode(out);
                words.iter().for_each(|word| word.encode(out));
            }
        }
    }
}

fn to_hex<S: Serializer>(words: &[u64; 2], serializer: S) -> Result<S::Ok, S::Error> {
    HexBytes(field::to_bytes(words)).serialize(serializer)
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u64; 2], D::Error> {
    let HexBytes(bytes) = HexBytes::deserialize(deserializer)?;
    let words = field::parse_residues(&bytes, 2).map_err(serde::de::Error::custom)?;
    <[u64; 2]>::try_from(words).map_err(|_| serde::de::Error::custom("expected two words"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::params::MODULUS;

    #[test]
    fn json_holds_two_residues_and_nothing_else() {
        let answer = Answer::Masked([1, MODULUS - 1]);
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(json, r#"{"masked":"010000000000000000000000ffffffff"}"#);
        assert_eq!(serde_json::from_str::<Answer>(&json).unwrap(), answer);
        assert_eq!(serde_json::from_str::<Answer>(r#""no_share""#).unwrap(), Answer::NoShare);
        for wrong in ["ffffffffffffffffffffffffffffffff", "00", ""] {
            let json = format!(r#"{{"masked":"{wrong}"}}"#);
            assert!(serde_json::from_str::<Answer>(&json).is_err(), "{json}");
        }
    }
}
