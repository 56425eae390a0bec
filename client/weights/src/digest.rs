//! A model's digest: two sites hold the same model if and only if their digests are equal.

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

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(names: &[&str], values: &[f32]) -> Weights {
        let shapes: Vec<_> = names.iter().map(|name| (String::from(*name), vec![2])).collect();
        Weights::from_values(&shapes, values.to_vec()).unwrap()
    }

    #[test]
    fn digest_depends_on_names_and_every_bit() {
        let model = weights(&["a", "b"], &[1.0, 2.0, 3.0, 0.0]);
        assert_eq!(model.digest(), model.clone().digest());
        assert_ne!(model.digest(), weights(&["a", "c"], &[1.0, 2.0, 3.0, 0.0]).digest());
        assert_ne!(model.digest(), weights(&["a", "b"], &[1.0, 2.0, 3.0, -0.0]).digest());
    }

    /// The bytes that are hashed are part of the protocol: a study names its initial model by them.
    #[test]
    fn the_bytes_are_fixed() {
        let model = Weights::from_values(&[("w".into(), vec![1, 2])], vec![1.0, -0.0]).unwrap();
        let mut bytes = b"ringfence/model/1".to_vec();
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, b'w', 2, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0, 0, 0x80, 0x3f, 0, 0, 0, 0x80]);
        assert_eq!(model.digest(), *blake3::hash(&bytes).as_bytes());
    }
}
