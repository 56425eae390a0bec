//! Gradients as an attacker takes them: of images that he makes up, for the weights and for the
//! images themselves.

use candle_core::{Tensor, Var};

use super::gradient::{flattened, gradients};
use crate::compute::device;
use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::parameters::Parameters;
use crate::task::Task;
use crate::task::input::stack_images;
use ringfence_weights::Weights;

/// The gradient that a site would step against: of the mean loss of a batch, flattened in the order
/// of the weights.
///
/// # Errors
/// When a sample does not fit the task, or the weights are of another model.
pub fn batch_gradient(
    task: &dyn Task,
    weights: &Weights,
    batch: &[Sample],
) -> Result<Vec<f32>, LearnError> {
    batch.iter().try_for_each(|sample| task.check_sample(sample))?;
    let parameters = Parameters::trainable(weights)?;
    Ok(flattened(&gradients(task, &parameters, batch)?.1)?)
}

/// An image as a model gets it: mean 0 and variance 1.
///
/// # Errors
/// When the tensor library refuses it.
pub fn model_input(sample: &Sample) -> Result<Vec<f32>, LearnError> {
    Ok(stack_images(&[sample])?.flatten_all()?.to_vec1()?)
}

/// Which gradients are sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// For the weights.
    Weights,
    /// For the images.
    Images,
    /// For both.
    Both,
}

/// Length of the displacement of the weights for a central difference of gradients: small against the
/// curvature's changes, large against rounding.
const DISPLACEMENT: f64 = 3e-3;

/// Loss and gradients at one place. Those that were not sought are empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// Mean loss of the images.
    pub loss: f64,
    /// Its gradient for the weights, flattened in their order.
    pub weights: Vec<f32>,
    /// Its gradient for the images, one after the other.
    pub images: Vec<f32>,
}

/// A task, and samples whose truth counts but whose images do not.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    /// What is learnt.
    pub task: &'a dyn Task,
    /// The truth of each image. The images are there for their shape alone.
    pub truth: &'a [&'a Sample],
    /// Where a ReLU bends, gradients jump, and who follows them gets stuck. With a width above 0 the
    /// model's ReLUs bend smoothly over it; 0 is the model as it is trained.
    pub bend: f64,
}

impl Probe<'_> {
    /// The mean loss of `images`, one after the other as models get them, at these weights, and its
    /// gradients.
    ///
    /// # Errors
    /// When there is no image, their values are not as many as those of the samples, or the weights
    /// are of another model.
    pub fn at(
        &self,
        weights: &Weights,
        images: &[f32],
        sought: Sought,
    ) -> Result<Probed, LearnError> {
        let Self { task, truth, bend } = *self;
        let parameters = match sought {
            Sought::Images => Parameters::fixed(weights)?,
            Sought::Weights | Sought::Both => Parameters::trainable(weights)?,
        };
        let parameters = parameters.bent(bend);
        let first = truth.first().ok_or(LearnError::NoSamples("take gradients of"))?;
        let (channels, side) = first.shape().unwrap_or_default();
        let shape = (truth.len(), channels, side, side);
        let tensor = Tensor::from_slice(images, shape, device())?;
        let image = match sought {
            Sought::Weights => None,
            Sought::Images | Sought::Both => Some(Var::from_tensor(&tensor)?),
        };
        let input = image.as_ref().map_or(&tensor, Var::as_tensor);
        let loss = task.loss(&task.logits(&parameters, input)?, truth)?;
        let found = loss.backward()?;
        let of = |variable: &Var| match found.get(variable) {
            Some(gradient) => Ok(gradient.clone()),
            None => variable.zeros_like(),
        };
        let of_weights =
            parameters.variables().iter().map(of).collect::<candle_core::Result<Vec<_>>>()?;
        let images = image.iter().map(of).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Probed {
            loss: f64::from(loss.to_scalar::<f32>()?),
            weights: flattened(&of_weights)?,
            images: flattened(&images)?,
        })
    }

    /// The derivatives of the gradients for images and weights along a direction of the weights, by a
    /// central difference: in order, those that were not sought empty. Along no direction they are 0.
    ///
    /// # Errors
    /// As [`Probe::at`].
    pub fn along(
        &self,
        weights: &Weights,
        images: &[f32],
        direction: &[f64],
        sought: Sought,
    ) -> Result<(Vec<f64>, Vec<f64>), LearnError> {
        let length = direction.iter().map(|value| value * value).sum::<f64>().sqrt();
        let step = DISPLACEMENT / length.max(f64::MIN_POSITIVE);
        let at = |step: f64| {
            let moved = weights.values().zip(direction);
            let moved = moved.map(|(w, v)| (f64::from(w) + step * v) as f32).collect();
            self.at(&Weights::from_values(&weights.shapes(), moved)?, images, sought)
        };
        let (ahead, behind) = (at(step)?, at(-step)?);
        let slope = |ahead: &[f32], behind: &[f32]| -> Vec<f64> {
            let pairs = ahead.iter().zip(behind);
            pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)) / (2.0 * step)).collect()
        };
        Ok((slope(&ahead.images, &behind.images), slope(&ahead.weights, &behind.weights)))
    }
}

/// The cosine of two vectors, and the gradient of one minus it for the first.
#[must_use]
pub fn cosine(found: &[f32], observed: &[f32]) -> (f64, Vec<f64>) {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let (length, other) = (product(found, found).sqrt(), product(observed, observed).sqrt());
    let both = (length * other).max(f64::MIN_POSITIVE);
    let cosine = product(found, observed) / both;
    let own = cosine / (length * length).max(f64::MIN_POSITIVE);
    let gradient = found.iter().zip(observed);
    let gradient = gradient.map(|(f, o)| own * f64::from(*f) - f64::from(*o) / both).collect();
    (cosine, gradient)
}
