//! What the shadow of an attacker descends: how far the gradient of what it draws points from the
//! gradient of the image.

use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::task::Task;
use crate::train::probe::{Probe, Sought, model_input};
use ringfence_weights::Weights;

/// Length of the displacement of the weights for the central difference, as in the attack that this
/// stands for (Inverting Gradients).
const DISPLACEMENT: f64 = 3e-3;

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
        let product = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let (square, other) = (product(&found, &found), product(&self.truth, &self.truth));
        let both = (square * other).sqrt().max(f64::MIN_POSITIVE);
        let cosine = product(&found, &self.truth) / both;
        let own = cosine / square.max(f64::MIN_POSITIVE);
        let pairs = found.iter().zip(&self.truth);
        let along: Vec<f64> =
            pairs.map(|(f, t)| own * f64::from(*f) - f64::from(*t) / both).collect();
        let length = along.iter().map(|value| value * value).sum::<f64>().sqrt();
        if length <= f64::MIN_POSITIVE {
            return Ok((1.0 - cosine, vec![0.0; input.len()]));
        }
        let step = DISPLACEMENT / length;
        let moved = |step: f64| {
            let values = self.weights.values().zip(&along);
            let values = values.map(|(w, v)| (f64::from(w) + step * v) as f32).collect();
            let weights = Weights::from_values(&self.weights.shapes(), values)?;
            Ok::<_, LearnError>(probe.at(&weights, input, Sought::Images)?.images)
        };
        let (ahead, behind) = (moved(step)?, moved(-step)?);
        let slope = |(a, b): (&f32, &f32)| ((f64::from(*a) - f64::from(*b)) / (2.0 * step)) as f32;
        Ok((1.0 - cosine, ahead.iter().zip(&behind).map(slope).collect()))
    }
}
