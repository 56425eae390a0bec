//! What private training is told by a study's policy.

use serde::{Deserialize, Serialize};

use crate::error::LearnError;
use crate::train::{Algorithm, TrainOptions};

/// Whose taking part is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PrivacyUnit {
    /// One image. Only for data in which no patient has more than one.
    Record,
    /// A patient with all of its images (or a volume with all of its slices): the group of a
    /// [`Sample`](crate::Sample).
    Patient {
        /// Images of one patient that take part in a step at most; of more, as many are chosen at
        /// random. Their gradients are added and then clipped together.
        records_per_step: usize,
    },
}

/// The shortest length to clip to. Gradients are added in 32 bits: those that are cut to much less have
/// values whose digits these do not hold, and then a cut gradient may be longer than it should.
const LEAST_CLIP: f64 = 1e-12;

/// What fixes the privacy of a round's training. Numbers are doubles, so that what is accounted for
/// is what is done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateOptions {
    /// Whose taking part is hidden.
    pub unit: PrivacyUnit,
    /// Length of a unit's gradient at most, over all values of the model together.
    pub clip: f64,
    /// Deviation of the noise on each value of the sum of gradients, in units of `clip`.
    pub noise_multiplier: f64,
    /// Probability with which each unit takes part in a step, in `(0, 1]`.
    pub rate: f64,
    /// Steps a round.
    pub steps: u32,
    /// What the noised sum is divided by: a constant of the study, about `rate` times the number of
    /// units of a typical site. Never the number of units that a step has sampled, which tells who
    /// they are.
    pub normaliser: f64,
}

impl PrivateOptions {
    /// Checks every option's range.
    ///
    /// # Errors
    /// [`LearnError::Option`] naming the option.
    pub fn check(&self) -> Result<(), LearnError> {
        let Self { unit, clip, noise_multiplier, rate, steps, normaliser } = *self;
        if unit == (PrivacyUnit::Patient { records_per_step: 0 }) {
            return refuse("records_per_step", "at least 1 image of a patient a step", 0);
        }
        if !(LEAST_CLIP..=f64::from(f32::MAX)).contains(&clip) {
            return refuse("clip", "a length from 1e-12 to what a 32-bit number can hold", clip);
        }
        let noise = "a positive number (without noise there is no privacy)";
        if !(noise_multiplier > 0.0 && (noise_multiplier * clip).is_finite()) {
            return refuse("noise_multiplier", noise, noise_multiplier);
        }
        if !(rate > 0.0 && rate <= 1.0) {
            return refuse("rate", "a probability above 0 and up to 1", rate);
        }
        if steps == 0 {
            return refuse("steps", "at least 1", 0);
        }
        if !(normaliser.is_finite() && normaliser > 0.0) {
            return refuse("normaliser", "a positive constant of the study", normaliser);
        }
        Ok(())
    }

    /// Checks the study's training beside these options. `epochs`, `batch` and `seed` of the
    /// training say nothing here: `steps`, `rate` and the [`NoiseSeed`](super::NoiseSeed) do.
    ///
    /// # Errors
    /// [`LearnError::Option`] naming the option.
    pub fn check_with(&self, training: &TrainOptions) -> Result<(), LearnError> {
        self.check()?;
        training.check()?;
        match training.algorithm {
            // The proximal term looks at weights alone.
            Algorithm::FedAvg | Algorithm::FedProx { .. } => Ok(()),
            Algorithm::PerFedAvg { .. } => refuse(
                "algorithm",
                "`fed_avg` or `fed_prox` in private training: each of the meta-gradients of \
                 `per_fed_avg` is taken at weights that an unclipped gradient of other images has \
                 moved, so that no unit's part in it is bounded",
                "per_fed_avg",
            ),
        }
    }

    /// Deviation of the noise on each value of a step's sum.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        self.noise_multiplier * self.clip
    }

    /// Steps in which a unit is expected to take part once: the private counterpart of an epoch.
    pub(super) fn steps_a_pass(&self) -> u32 {
        // At least 1; beyond what a `u32` holds, its largest.
        (1.0 / self.rate).ceil() as u32
    }
}

fn refuse<T>(
    option: &'static str,
    expected: &'static str,
    found: impl ToString,
) -> Result<T, LearnError> {
    Err(LearnError::Option { option, expected, found: found.to_string() })
}
