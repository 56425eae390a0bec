//! What the shadow of an attacker descends: how far the gradient of what it draws points from the
//! gradient of the image.

use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::task::Task;
use crate::train::probe::{Probe, Sought, cosine, model_input};
use ringfence_weights::Weights;

/// An image's true gradient at a model's weights.
pub struct Matching<'a> {
    task: &'a dyn Task,
    weights: &'a Weights,
    sample: &'a Sample,
    truth: Vec<f32>,
}

impl<'a> Matching<'a> {
    /// # Errors
    /// When the sample does not fit the task, or the weights are of another model.
    pub fn new(
        task: &'a dyn Task,
        weights: &'a Weights,
        sample: &'a Sample,
    ) -> Result<Self, LearnError> {
        task.check_sample(sample)?;
        let probe = Probe { task, truth: &[sample], bend: 0.0 };
        let truth = probe.at(weights, &model_input(sample)?, Sought::Weights)?.weights;
        Ok(Self { task, weights, sample, truth })
    }

    /// One minus the cosine between the gradient of `input`, an image as a model gets it, and the
    /// true one, and its gradient for `input`: the derivative of first-order gradients along
    /// the cosine's own gradient, by a central difference.
    ///
    /// # Errors
    /// When `input` has another number of values than the image.
    pub fn at(&self, input: &[f32]) -> Result<(f64, Vec<f32>), LearnError> {
        let probe = Probe { task: self.task, truth: &[self.sample], bend: 0.0 };
        let found = probe.at(self.weights, input, Sought::Weights)?.weights;
        let (likeness, direction) = cosine(&found, &self.truth);
        let (slope, _) = probe.along(self.weights, input, &direction, Sought::Images)?;
        Ok((1.0 - likeness, slope.into_iter().map(|value| value as f32).collect()))
    }
}
