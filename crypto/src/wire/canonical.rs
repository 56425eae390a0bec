//! Canonical bytes: one encoding per value, the only bytes that are ever signed.
//!
//! Integers are little-endian; strings (UTF-8), byte strings and lists carry a 32-bit count ahead;
//! digests and keys of 32 bytes do not; a float32 is its bits; options have a byte 0 or 1 ahead;
//! enumerations are a byte, from 0 in the order of their variants, and then the variant's fields
//! (but a parameter set is its name); structures are their fields in order. A label, itself a
//! counted string, comes first and separates the kinds of statements: `"ringfence/v2/"` and the
//! kind's name.

use crate::digest::Digest;

/// Every label starts with this: protocol name and version.
const PREFIX: &str = "ringfence/v2/";

/// A value with canonical bytes.
pub trait Canonical {
    /// Appends the canonical bytes of `self`.
    fn encode(&self, out: &mut Vec<u8>);
}

/// The bytes that stand for `value` under `label`: what is signed and what is hashed.
pub fn bytes<T: Canonical + ?Sized>(label: &str, value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    count(PREFIX.len() + label.len(), &mut out);
    out.extend_from_slice(PREFIX.as_bytes());
    out.extend_from_slice(label.as_bytes());
    value.encode(&mut out);
    out
}

/// Digest of [`bytes`].
pub fn digest<T: Canonical + ?Sized>(label: &str, value: &T) -> Digest {
    Digest::of(&bytes(label, value))
}

fn count(count: usize, out: &mut Vec<u8>) {
    // Every list here is bounded far below 2^32 by the checks of its owner.
    u32::try_from(count).unwrap_or(u32::MAX).encode(out);
}

macro_rules! integers {
    ($($integer:ty),*) => {
        $(impl Canonical for $integer {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        })*
    };
}
integers!(u8, u16, u32, u64);

impl Canonical for f32 {
    /// The IEEE 754 bits; non-finite values are refused before they come here.
    fn encode(&self, out: &mut Vec<u8>) {
        self.to_bits().encode(out);
    }
}

impl Canonical for str {
    fn encode(&self, out: &mut Vec<u8>) {
        count(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }
}

impl Canonical for String {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_str().encode(out);
    }
}

impl Canonical for Digest {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl<T: Canonical> Canonical for [T] {
    fn encode(&self, out: &mut Vec<u8>) {
        count(self.len(), out);
        self.iter().for_each(|item| item.encode(out));
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_slice().encode(out);
    }
}

impl<T: Canonical> Canonical for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.encode(out);
            }
        }
    }
}

/// Implements [`Canonical`] as the fields in the given order. The pattern makes a forgotten field
/// a compile error: what is not encoded would not be signed.
macro_rules! canonical {
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl $crate::wire::canonical::Canonical for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                let Self { $($field),+ } = self;
                $($crate::wire::canonical::Canonical::encode($field, out);)+
            }
        }
    };
}
pub(crate) use canonical;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_labels_cannot_be_confused() {
        let split = |parts: &[&str]| {
            digest("t", &parts.iter().map(|p| String::from(*p)).collect::<Vec<_>>())
        };
        assert_ne!(split(&["ab", "c"]), split(&["a", "bc"]));
        assert_ne!(digest("ab", "c"), digest("a", "bc"));
        assert_ne!(bytes("t", &Some(0u8)), bytes("t", &None::<u8>));
    }

    #[test]
    fn layout_of_the_bytes() {
        let encoded = bytes("x", &(0x0102u16));
        assert_eq!(encoded, b"\x0e\0\0\0ringfence/v2/x\x02\x01");
    }
}
