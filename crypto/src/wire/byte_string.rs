//! Byte strings of frames as one piece each: serde takes a `Vec<u8>` for a list, byte by byte. A frame
//! has the same bytes either way.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes a byte string.
pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Reads a byte string.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_byte_buf(Bytes)
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    /// As JSON has it.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = list.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}

/// Lists of byte strings.
pub(crate) mod list {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    struct Given<'a>(&'a [u8]);

    impl Serialize for Given<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            super::serialize(self.0, serializer)
        }
    }

    struct Taken(Vec<u8>);

    impl<'de> Deserialize<'de> for Taken {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            super::deserialize(deserializer).map(Self)
        }
    }

    /// Writes the list.
    pub(crate) fn serialize<S: Serializer>(
        list: &[Vec<u8>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| Given(bytes)))
    }

    /// Reads the list.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        let list = Vec::<Taken>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|Taken(bytes)| bytes).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use crate::wire::frame::{decode, encode};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct InPieces {
        #[serde(with = "super")]
        one: Vec<u8>,
        #[serde(with = "super::list")]
        many: Vec<Vec<u8>>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct ByteByByte {
        one: Vec<u8>,
        many: Vec<Vec<u8>>,
    }

    #[test]
    fn frames_are_the_same_as_byte_by_byte() {
        let (one, many) = (vec![7; 300], vec![vec![1, 2], vec![], vec![0xff; 1000]]);
        let pieces = InPieces { one: one.clone(), many: many.clone() };
        let bytes = encode(&ByteByByte { one, many }).unwrap();
        assert_eq!(encode(&pieces).unwrap(), bytes);
        assert_eq!(decode::<InPieces>(&bytes, "pieces"), Ok(pieces));
        for cut in 0..bytes.len() {
            assert!(decode::<InPieces>(&bytes[..cut], "pieces").is_err());
        }
        // A length of 2^63, of one and of the list.
        for place in [7, 8 + 300 + 7, 8 + 300 + 8 + 7] {
            let mut hostile = bytes.clone();
            hostile[place] = 0x80;
            assert!(decode::<InPieces>(&hostile, "pieces").is_err());
        }
        let json = serde_json::to_string(&InPieces { one: vec![1], many: vec![vec![2]] }).unwrap();
        assert_eq!(json, r#"{"one":[1],"many":[[2]]}"#);
        assert_eq!(serde_json::from_str::<InPieces>(&json).unwrap().one, [1]);
        assert!(serde_json::from_str::<InPieces>(r#"{"one":"a","many":[]}"#).is_err());
    }
}
