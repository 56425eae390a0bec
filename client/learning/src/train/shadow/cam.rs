//! Grad-CAM++ (Chattopadhay et al., "Grad-CAM++: Generalized Gradient-Based Visual Explanations for
//! Deep Convolutional Networks", 2018): which pixels speak for a class.

use candle_core::Var;

use super::maps::{TOP_LEVEL, diagnostic};
use crate::data::dataset::Sample;
use crate::data::detector::bilinear;
use crate::error::LearnError;
use crate::parameters::Parameters;
use crate::task::Task;
use crate::task::input::stack_images;
use ringfence_weights::Weights;

/// The map of one image: `activations` of the last convolutional block and the `gradients` of the
/// class's score for them, both pixel by pixel with `width` channels each.
///
/// With `g` the gradients and `A` the activations, channel `k` has the weight
/// `w_k = sum over pixels of a relu(g)`, `a = g^2 / (2 g^2 + (sum over pixels of A) g^3)`: the
/// paper's form, in which the score goes through an exponential whose own factor is the same
/// everywhere. The map is `relu(sum over k of w_k A_k)`. Where a divisor is 0, `a` is 0.
#[must_use]
pub fn grad_cam_plus_plus(activations: &[f32], gradients: &[f32], width: usize) -> Vec<f64> {
    let width = width.max(1);
    let of_channel = |values: &[f32], channel: usize| -> Vec<f64> {
        let values = values.iter().skip(channel).step_by(width);
        values.map(|value| f64::from(*value)).collect()
    };
    let mut map = vec![0.0; activations.len() / width];
    for channel in 0..width {
        let (a, g) = (of_channel(activations, channel), of_channel(gradients, channel));
        let all: f64 = a.iter().sum();
        let alpha = |g: f64| {
            let divisor = 2.0 * g * g + all * g.powi(3);
            if divisor == 0.0 { 0.0 } else { g * g / divisor }
        };
        let weight: f64 = g.iter().map(|g| alpha(*g) * g.max(0.0)).sum();
        map.iter_mut().zip(&a).for_each(|(sum, a)| *sum += weight * a);
    }
    map.into_iter().map(|value| value.max(0.0)).collect()
}

/// A square map brought to `side` x `side` pixels by straight lines between its values, in levels from
/// 0 to 255.
#[must_use]
pub fn saliency(map: &[f64], side: usize) -> Vec<f64> {
    let from = map.len().isqrt();
    let narrow: Vec<f32> = map.iter().map(|value| *value as f32).collect();
    let scale = from as f32 / side.max(1) as f32;
    let at = |index: usize| (index as f32 + 0.5) * scale - 0.5;
    let wide = (0..side * side)
        .map(|place| f64::from(bilinear(&narrow, from, at(place % side), at(place / side))));
    let wide: Vec<f64> = wide.collect();
    let most = wide.iter().copied().fold(0.0, f64::max);
    let factor = if most > 0.0 { TOP_LEVEL / most } else { 0.0 };
    wide.into_iter().map(|value| value * factor).collect()
}

/// Where the diagnosis of an image is, as [`diagnostic`] has it, by a task's model at these weights.
///
/// # Errors
/// [`LearnError::Option`] when the model has no class scores that follow from a convolutional block;
/// [`LearnError::Sample`] where the image has no class.
pub fn diagnosis(
    task: &dyn Task,
    weights: &Weights,
    sample: &Sample,
) -> Result<Vec<f64>, LearnError> {
    task.check_sample(sample)?;
    let side = sample.shape().map_or(0, |(_, side)| side);
    let parameters = Parameters::fixed(weights)?;
    let block = task.last_block(&parameters, &stack_images(&[sample])?)?;
    let (Some(block), Some(label)) = (block, sample.label) else {
        return Err(LearnError::Option {
            option: "defence",
            expected: "a classification model with convolutions, whose class scores Grad-CAM++ follows",
            found: task.name().to_owned(),
        });
    };
    let (_, _, _, width) = block.dims4()?;
    let block = Var::from_tensor(&block.detach())?;
    let score = task.logits_after(&parameters, block.as_tensor())?;
    let found = score.narrow(1, label as usize, 1)?.sum_all()?.backward()?;
    let gradient = match found.get(&block) {
        Some(gradient) => gradient.clone(),
        None => block.zeros_like()?,
    };
    let flat = |tensor: &candle_core::Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let map = grad_cam_plus_plus(&flat(block.as_tensor())?, &flat(&gradient)?, width);
    Ok(diagnostic(&saliency(&map, side)))
}
