//! What a site remembers of a base model, to know it again when little of it has changed.
//!
//! Two opened sums over updates from one base model give single updates away by subtraction, and so
//! do sums from two models that are nearly one: training is a smooth function of its start. A
//! digest knows a model only when every bit is the same. Sampled values know it also when fewer
//! than half of the values were changed.
//!
//! The places are drawn at random by each site and never leave it, so that nobody can change just
//! these. What this does not find: a model all of whose values were moved a little, or whose
//! tensors were arranged anew. It stops mistakes; that a new study's initial model is independent
//! of a spent one is for whoever signs the study to judge (`docs/safety.md`).

use ringfence_keys::CryptoRng;
use ringfence_weights::Weights;
use serde::{Deserialize, Serialize};

/// Values that are sampled. A model that shares half of its values with another one shares 192 of
/// 256 samples, or 64, with a chance below 2^-45 (Hoeffding: `exp(-2 * 64^2 / 256)`).
const SAMPLES: usize = 256;

/// Sampled values of a model, in `base-model.json` of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Values of the model.
    values: usize,
    /// Places in the flat model, and the bits of the values there.
    samples: Vec<(usize, u32)>,
}

/// How much of a model is another one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Likeness {
    /// Samples with the same bits.
    pub(crate) equal: usize,
    /// Samples in all.
    pub(crate) of: usize,
}

impl Fingerprint {
    /// Samples a model; one of no more values than that is kept whole.
    pub fn of(model: &Weights, rng: &mut impl CryptoRng) -> Self {
        let bits: Vec<u32> = model.values().map(f32::to_bits).collect();
        let places: Vec<usize> = if bits.len() <= SAMPLES {
            (0..bits.len()).collect()
        } else {
            // A remainder's bias, of one part in 2^64 / values, matters to nobody.
            (0..SAMPLES).map(|_| (rng.next_u64() % bits.len() as u64) as usize).collect()
        };
        let sample = |place: usize| Some((place, *bits.get(place)?));
        Self { values: bits.len(), samples: places.into_iter().filter_map(sample).collect() }
    }

    /// What this model shares with another; nothing where they have different numbers of values.
    pub(crate) fn likeness(&self, model: &Weights) -> Likeness {
        let bits: Vec<u32> = model.values().map(f32::to_bits).collect();
        let same = |(place, sample): &&(usize, u32)| bits.get(*place) == Some(sample);
        let equal =
            if bits.len() == self.values { self.samples.iter().filter(same).count() } else { 0 };
        Likeness { equal, of: self.samples.len() }
    }
}

impl Likeness {
    /// Whether more than half is the same: the same model, changed a little.
    pub(crate) fn is_near(self) -> bool {
        2 * self.equal > self.of
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(values: impl Iterator<Item = f32>) -> Weights {
        let values: Vec<f32> = values.collect();
        Weights::from_values(&[("w".into(), vec![values.len()])], values).unwrap()
    }

    #[test]
    fn a_model_is_known_again_when_few_of_its_values_changed() {
        let mut rng = ringfence_keys::system_rng().unwrap();
        for size in [1, 100, 10_000] {
            let value = |k: usize| (k as f32 * 0.37).sin();
            let base = model((0..size).map(value));
            let fingerprint = Fingerprint::of(&base, &mut rng);
            let near = |other: Weights| fingerprint.likeness(&other).is_near();
            assert!(near(base.clone()), "{size}");
            let flipped = |k: usize| f32::from_bits(value(k).to_bits() ^ u32::from(k == 3));
            assert!(size == 1 || near(model((0..size).map(flipped))));
            // A quarter of the values is another, then all are.
            let some = |k: usize| if k % 4 == 1 { 7.0 } else { value(k) };
            assert!(size == 1 || near(model((0..size).map(some))));
            assert!(!near(model((0..size).map(|k| value(k) + 1.0))));
            assert!(!near(model((0..size + 1).map(value))), "another layout");
        }
    }
}
