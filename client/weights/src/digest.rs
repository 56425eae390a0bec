//! A model's digest: two sites hold the same model if and only if their digests are equal. A study
//! names its initial model by it: `docs/wire.md`, and the vectors `model_*`, fix its bytes.

use crate::tensors::Weights;

/// Apart from every other hash in Ringfence; the number rises when what is hashed changes.
const DOMAIN: &[u8] = b"ringfence/model/1";

impl Weights {
    /// BLAKE3 over names, shapes and the bits of every value, tensors sorted by name. A length
    /// stands before each name and each shape, so that no two models give the same bytes.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(DOMAIN);
        let count = |hasher: &mut blake3::Hasher, count: usize| {
            hasher.update(&(count as u64).to_le_bytes());
        };
        for (name, shape, values) in self.iter() {
            count(&mut hasher, name.len());
            hasher.update(name.as_bytes());
            count(&mut hasher, shape.len());
            shape.iter().for_each(|side| count(&mut hasher, *side));
            for value in values {
                hasher.update(&value.to_bits().to_le_bytes());
            }
        }
        *hasher.finalize().as_bytes()
    }
}
