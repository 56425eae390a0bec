//! Keys and names that depend on everything that a training is made from.

use zeroize::{Zeroize, Zeroizing};

use crate::data::dataset::Sample;

/// A derived key.
pub(in crate::train) type Key = Zeroizing<[u8; 32]>;

/// A derivation of a key from keys and all that it depends on, each part with its length.
pub(in crate::train) struct Derivation(blake3::Hasher);

impl Drop for Derivation {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Derivation {
    pub(in crate::train) fn new(context: &str, key: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(key);
        Self(hasher)
    }

    pub(in crate::train) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub(in crate::train) fn number(mut self, number: u64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    pub(in crate::train) fn values(mut self, values: &[f32]) -> Self {
        self.0.update(&(values.len() as u64).to_le_bytes());
        let mut buffer = [0; 4096];
        for values in values.chunks(buffer.len() / 4) {
            for (bytes, value) in buffer.chunks_exact_mut(4).zip(values) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
            self.0.update(buffer.get(..4 * values.len()).unwrap_or_default());
        }
        self
    }

    /// Whatever a sample is made of: what is trained on, and whose it is.
    pub(in crate::train) fn sample(mut self, sample: &Sample) -> Self {
        let Sample { name, group, image, label, mask, own_mask: _ } = sample;
        self = self.bytes(name.as_bytes()).bytes(group.as_bytes()).values(image);
        self = match label {
            Some(label) => self.number(1).number(u64::from(*label)),
            None => self.number(0),
        };
        match mask {
            Some(mask) => self.number(1).values(mask),
            None => self.number(0),
        }
    }

    pub(in crate::train) fn key(self) -> Key {
        Zeroizing::new(*self.0.finalize().as_bytes())
    }
}
