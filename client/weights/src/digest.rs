//! A model's digest: two sites hold the same model if and only if their digests are equal. A study
//! names its initial model by it: `docs/wire.md`, and the vectors `model_*`, fix its bytes.

use crate::tensors::Weights;

/// Values that are laid out as bytes at a time: the hash takes many times as long for four bytes at a
/// time as for what fills its vector units.
const CHUNK: usize = 1 << 14;

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
            hash_values(&mut hasher, values);
        }
        *hasher.finalize().as_bytes()
    }
}

/// Hashes the bits of values, four bytes each, least significant first.
pub fn hash_values(hasher: &mut blake3::Hasher, values: &[f32]) {
    let mut bytes = Vec::with_capacity(4 * CHUNK.min(values.len()));
    for values in values.chunks(CHUNK) {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|value| value.to_bits().to_le_bytes()));
        hasher.update(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hashed_as_one_by_one() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let values: Vec<f32> = (0..length).map(|at| (at as f32 - 700.0) / 3.0).collect();
            let mut one_by_one = blake3::Hasher::new();
            values.iter().for_each(|value| _ = one_by_one.update(&value.to_bits().to_le_bytes()));
            let mut hasher = blake3::Hasher::new();
            hash_values(&mut hasher, &values);
            assert_eq!(hasher.finalize(), one_by_one.finalize(), "{length} values");
        }
    }
}
