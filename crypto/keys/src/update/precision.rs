//! How precise an opened mean is.
//!
//! A quantizer of `b` bits has steps of `s = 2 C / (2^b - 1)`. A value between two steps, at the
//! part `p` of the way, is rounded up with probability `p`: the result is right on average and has
//! variance `p (1 - p) s^2`, at most `s^2 / 4`. The roundings of `k` sites are independent, so their
//! sum has variance `k s^2 / 4` at most. The mean divides it by the sum of their factors, `F`: one
//! step of the sum is `s / F`, and the root mean square error is at most `sqrt(k) / 2` of these.
//!
//! The bound is reached by values half-way between two steps; 0 is one of these (it lies at
//! `(2^b - 1) / 2` steps), so that small values come close to it. Over values spread evenly the
//! mean of `p (1 - p)` is 1/6 and the error `sqrt(k / 6)` steps, 18 % less.

use std::fmt;

use ringfence_crypto::statement::Study;
use serde::{Deserialize, Serialize};

/// The precision of a mean, in units of the clip bound `C` of the tensor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Precision {
    /// Sites in the mean.
    pub sites: usize,
    /// The sum of their factors; their number where all count alike.
    pub total_factor: f64,
    /// The mean's smallest step: `2 / ((2^b - 1) F)`.
    pub step: f64,
    /// Root mean square error by rounding, at most: `sqrt(k) / 2` steps.
    pub rms_error: f64,
}

/// From this share of the clip bound on, the rounding error is worth a word. The study's 16 bits
/// over ten sites have 5e-6 of it.
const COARSE: f64 = 0.01;

impl Precision {
    /// The precision of the mean over the sites at these places of the roster.
    pub fn of(study: &Study, places: impl Iterator<Item = usize> + Clone) -> Self {
        let sites = places.clone().count();
        let total_factor = study.weighting.total(places);
        let step = 2.0 / (study.packing.value_limit() as f64 * total_factor);
        Self { sites, total_factor, step, rms_error: (sites as f64).sqrt() / 2.0 * step }
    }

    /// What to say of a rounding error that is large: over 1 % of the clip bound.
    pub fn warning(&self) -> Option<String> {
        (self.rms_error > COARSE).then(|| {
            format!(
                "the rounding error is {:.1} % of the clip bound, more than {:.0} %: the {} sites in this mean count for {:.3} of the largest one; a new study wants more bits, a larger min_sites, or sample counts closer together",
                self.rms_error * 100.0,
                COARSE * 100.0,
                self.sites,
                self.total_factor,
            )
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, rms_error, .. } = self;
        write!(
            f,
            "a step is {step:.2e} of the clip bound, the rounding error {rms_error:.2e} of it at most (root mean square)"
        )
    }
}

#[cfg(test)]
mod tests {
    use ringfence_crypto::layout::{Layout, TensorLayout};
    use ringfence_crypto::ring::packing::Packing;
    use ringfence_crypto::statement::Weighting;

    use super::*;
    use crate::testing;
    use crate::update::quantize::{QuantizedUpdate, mean};

    #[test]
    fn steps_and_errors_are_those_that_means_have() {
        let (mut study, _) = testing::study(5);
        study.packing = Packing::derive(8, 0, 5, 1).unwrap();
        study.weighting = Weighting::SampleCounts(vec![30, 60, 15, 60, 60]);
        let tensor = TensorLayout { name: "w".into(), shape: vec![20_000], clip: 0.5 };
        study.layout = Layout { tensors: vec![tensor] };
        let places = [0, 2, 3];
        let found = Precision::of(&study, places.into_iter());
        assert_eq!((found.sites, found.total_factor), (3, 1.75));
        assert!((found.step - 2.0 / (255.0 * 1.75)).abs() < 1e-15);

        // Zeros lie half-way between two steps.
        let mut rng = testing::rng(3);
        let mut sums = vec![0u64; 20_000];
        for _ in places {
            let Study { layout, packing, .. } = &study;
            let quantized =
                QuantizedUpdate::quantize(&[0.0; 20_000], layout, packing, &mut rng).unwrap();
            sums.iter_mut().zip(quantized.expose()).for_each(|(sum, q)| *sum += u64::from(*q));
        }
        let correction = study.weighting.correction(places.into_iter());
        let mean = mean(&sums, 3, &study.layout, &study.packing);
        let square = |value: &f32| (f64::from(*value) * correction / 0.5).powi(2);
        let rms = (mean.iter().map(square).sum::<f64>() / 20_000.0).sqrt();
        assert!((rms / found.rms_error - 1.0).abs() < 0.02, "{rms} {found:?}");
        // All differences between means are multiples of the step.
        let steps = (f64::from(mean[0]) - f64::from(mean[1])) * correction / 0.5 / found.step;
        assert!((steps - steps.round()).abs() < 1e-3, "{steps}");
    }

    #[test]
    fn a_coarse_mean_is_worth_a_word() {
        let (mut study, _) = testing::study(5);
        assert_eq!(Precision::of(&study, 0..5).warning(), None);
        study.packing = Packing::derive(8, 0, 5, 1).unwrap();
        study.weighting = Weighting::SampleCounts(vec![40, 60, 40, 40, 100]);
        study.check().unwrap();
        assert_eq!(Precision::of(&study, 0..5).warning(), None);
        study.packing = Packing::derive(5, 0, 5, 1).unwrap();
        let said = Precision::of(&study, 0..3).warning().unwrap();
        assert!(said.contains("4.0 % of the clip bound, more than 1 %"), "{said}");
    }
}
