//! What is sampled: records or patients, and who of them takes part in a step.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::index;
use rand_distr::{Bernoulli, Distribution};

use super::options::{PrivacyUnit, PrivateOptions};
use crate::data::dataset::Sample;
use crate::error::LearnError;

/// The units of a site, each the places of its samples.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Units(Vec<Vec<usize>>);

impl Units {
    /// The units among these samples, in the order of their patients' names.
    ///
    /// # Errors
    /// [`LearnError::Option`] where records are to be the units and a patient has several.
    pub(super) fn of(samples: &[Sample], unit: PrivacyUnit) -> Result<Self, LearnError> {
        let mut patients: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, sample) in samples.iter().enumerate() {
            patients.entry(&sample.group).or_default().push(index);
        }
        let several = patients.iter().find(|(_, records)| records.len() > 1);
        if let (PrivacyUnit::Record, Some((patient, records))) = (unit, several) {
            return Err(LearnError::Option {
                option: "unit",
                expected: "`patient`: where a patient has several images, hiding one of them hides \
                           nobody",
                found: format!("`record`, and {} images of `{patient}`", records.len()),
            });
        }
        Ok(Self(patients.into_values().collect()))
    }

    /// Who takes part in a step: every unit independently with the options' probability, and of a
    /// patient's records at most as many as may. Of each the places of its samples.
    ///
    /// # Errors
    /// [`LearnError::Option`] for a probability that is none.
    pub(super) fn sampled(
        &self,
        options: &PrivateOptions,
        rng: &mut impl Rng,
    ) -> Result<Vec<Vec<usize>>, LearnError> {
        let coin = Bernoulli::new(options.rate).map_err(|error| LearnError::Option {
            option: "rate",
            expected: "a probability",
            found: error.to_string(),
        })?;
        let most = match options.unit {
            PrivacyUnit::Record => 1,
            PrivacyUnit::Patient { records_per_step } => records_per_step,
        };
        let mut sampled = Vec::new();
        for records in &self.0 {
            if !coin.sample(rng) {
                continue;
            }
            let mut chosen = index::sample(rng, records.len(), most.min(records.len())).into_vec();
            chosen.sort_unstable();
            sampled.push(chosen.iter().filter_map(|i| records.get(*i).copied()).collect());
        }
        Ok(sampled)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::ChaCha20Rng;

    use super::*;

    fn samples(patients: usize, records: usize) -> Vec<Sample> {
        let sample = |index: usize| Sample {
            name: index.to_string(),
            group: format!("p{:04}", index / records),
            image: vec![0.0],
            label: None,
            mask: None,
            own_mask: None,
        };
        (0..patients * records).map(sample).collect()
    }

    fn options(unit: PrivacyUnit, rate: f64) -> PrivateOptions {
        PrivateOptions { unit, clip: 1.0, noise_multiplier: 1.0, rate, steps: 1, normaliser: 1.0 }
    }

    #[test]
    fn batches_are_poisson_samples() {
        // Sizes of 4,000 steps over 40 units at rate 0.05: mean 2, variance 1.9, and none at all in
        // 0.95^40 = 12.9 % of them. A shuffled batch has one size, and no variance.
        let units = Units::of(&samples(40, 1), PrivacyUnit::Record).unwrap();
        let options = options(PrivacyUnit::Record, 0.05);
        let (mut sizes, mut seen) = (Vec::new(), vec![0_u32; 40]);
        for seed in 0..4000 {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let sampled = units.sampled(&options, &mut rng).unwrap();
            sampled.iter().flatten().for_each(|place| seen[*place] += 1);
            sizes.push(sampled.len() as f64);
        }
        let mean = sizes.iter().sum::<f64>() / 4000.0;
        let variance = sizes.iter().map(|size| (size - mean).powi(2)).sum::<f64>() / 3999.0;
        let empty = sizes.iter().filter(|size| **size == 0.0).count() as f64 / 4000.0;
        // Four standard errors: sqrt(1.9 / 4000) = 0.022, about 1.9 sqrt(2.5 / 4000) = 0.048, and
        // sqrt(0.129 * 0.871 / 4000) = 0.0053.
        assert!((mean - 2.0).abs() < 0.088, "mean {mean}");
        assert!((variance - 1.9).abs() < 0.19, "variance {variance}");
        assert!((empty - 0.1285).abs() < 0.0212, "empty {empty}");
        // 200 each, deviation 13.8: no unit is favoured by its place.
        assert!(seen.iter().all(|count| (130..=270).contains(count)), "{seen:?}");
    }

    #[test]
    fn two_units_are_independent() {
        let units = Units::of(&samples(2, 1), PrivacyUnit::Record).unwrap();
        let options = options(PrivacyUnit::Record, 0.5);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut counts = BTreeMap::new();
        for _ in 0..4000 {
            *counts.entry(units.sampled(&options, &mut rng).unwrap()).or_insert(0) += 1;
        }
        // A quarter each: deviation 27.
        assert_eq!(counts.len(), 4);
        assert!(counts.values().all(|count| (880..=1120).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_patient_comes_as_a_whole_with_some_of_its_records() {
        let patients = PrivacyUnit::Patient { records_per_step: 3 };
        let units = Units::of(&samples(30, 5), patients).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (mut taken, mut records) = (0, vec![0_u32; 5]);
        for _ in 0..1000 {
            for unit in units.sampled(&options(patients, 0.1), &mut rng).unwrap() {
                taken += 1;
                assert_eq!(unit.len(), 3);
                assert!(unit.iter().all(|place| place / 5 == unit[0] / 5), "{unit:?}");
                assert!(unit.is_sorted_by(|a, b| a < b), "{unit:?}");
                unit.iter().for_each(|place| records[place % 5] += 1);
            }
        }
        // 3,000 patients are expected, deviation 52; of each record 0.6, deviation 27.
        assert!((2780..=3220).contains(&taken), "{taken}");
        let share = |count: &u32| f64::from(*count) / f64::from(taken);
        assert!(records.iter().all(|count| (share(count) - 0.6).abs() < 0.04), "{records:?}");
        // All of them where there are no more.
        let all = PrivacyUnit::Patient { records_per_step: 9 };
        let sampled = units.sampled(&options(all, 1.0), &mut rng).unwrap();
        assert_eq!(sampled, units.0);
    }

    #[test]
    fn images_do_not_stand_for_patients() {
        let error = Units::of(&samples(3, 2), PrivacyUnit::Record).unwrap_err().to_string();
        assert!(error.contains("`patient`") && error.contains("2 images of `p0000`"), "{error}");
        let patients = PrivacyUnit::Patient { records_per_step: 2 };
        assert_eq!(Units::of(&samples(3, 2), patients).unwrap().0.len(), 3);
        assert_eq!(Units::of(&samples(3, 1), PrivacyUnit::Record).unwrap().0.len(), 3);
    }
}
