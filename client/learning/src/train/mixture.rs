//! Two models as one: the mean of what they say, with a weight that validation images choose.

use ringfence_weights::Weights;

use super::predict::predict;
use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::task::{Scores, Task};

/// Steps between one model alone and the other.
const STEPS: u32 = 10;

/// A site's own model and another one, whose outputs are averaged: `weight` of the own and the rest
/// of the other's, logit by logit (Mansour et al., "Three Approaches for Personalization", 2020, mix
/// losses of hypotheses in this way; to average logits is to take the geometric mean of odds).
#[derive(Clone, Copy, Debug)]
pub struct Mixture<'a> {
    /// The site's own.
    pub own: &'a Weights,
    /// The other.
    pub other: &'a Weights,
    /// Share of the own one, in `[0, 1]`.
    pub weight: f64,
}

impl<'a> Mixture<'a> {
    /// The mixture that does best on `validation`, of eleven weights from 1 to 0: of equals the one
    /// with most of the site's own model.
    ///
    /// # Errors
    /// As [`crate::evaluate`].
    pub fn choose(
        task: &dyn Task,
        own: &'a Weights,
        other: &'a Weights,
        validation: &[Sample],
    ) -> Result<(Self, Scores), LearnError> {
        let outputs = Outputs::of(task, own, other, validation)?;
        let mut best: Option<(Self, Scores)> = None;
        for step in (0..=STEPS).rev() {
            let weight = f64::from(step) / f64::from(STEPS);
            let scores = task.scores(validation, &outputs.mixed(weight))?;
            if best.as_ref().is_none_or(|(_, best)| scores.leading() > best.leading()) {
                best = Some((Self { own, other, weight }, scores));
            }
        }
        best.ok_or(LearnError::NoSamples("score"))
    }

    /// The scores of the mixture on samples.
    ///
    /// # Errors
    /// As [`crate::evaluate`].
    pub fn evaluate(&self, task: &dyn Task, samples: &[Sample]) -> Result<Scores, LearnError> {
        let outputs = Outputs::of(task, self.own, self.other, samples)?;
        task.scores(samples, &outputs.mixed(self.weight))
    }
}

/// What both models say of the same samples.
struct Outputs {
    own: Vec<Vec<f32>>,
    other: Vec<Vec<f32>>,
}

impl Outputs {
    fn of(
        task: &dyn Task,
        own: &Weights,
        other: &Weights,
        samples: &[Sample],
    ) -> Result<Self, LearnError> {
        if samples.is_empty() {
            return Err(LearnError::NoSamples("score"));
        }
        own.check_finite()?;
        other.check_finite()?;
        Ok(Self { own: predict(task, own, samples)?, other: predict(task, other, samples)? })
    }

    fn mixed(&self, weight: f64) -> Vec<Vec<f32>> {
        let mix = |(own, other): (&f32, &f32)| {
            (weight * f64::from(*own) + (1.0 - weight) * f64::from(*other)) as f32
        };
        let samples = self.own.iter().zip(&self.other);
        samples.map(|(own, other)| own.iter().zip(other).map(mix).collect()).collect()
    }
}
