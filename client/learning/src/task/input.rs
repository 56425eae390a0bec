//! Samples as a model's input.

use candle_core::Tensor;

use super::name::TaskName;
use crate::compute::device;
use crate::data::dataset::Sample;
use crate::error::LearnError;

/// Stacks samples' images to `[b, 1, side, side]`, each brought to mean 0 and variance 1: scanners
/// differ in brightness and contrast, and what is left of that must be learnt (Isensee et al.,
/// "nnU-Net", 2021, normalise each image in the same way). A blank image becomes zeros.
pub(crate) fn stack_images(samples: &[&Sample]) -> candle_core::Result<Tensor> {
    let side = samples.first().map_or(0, |sample| sample.image.len().isqrt());
    let mut values = Vec::with_capacity(samples.len() * side * side);
    for sample in samples {
        let count = sample.image.len() as f64;
        let mean = sample.image.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let square = |value: &f32| (f64::from(*value) - mean).powi(2);
        let deviation = (sample.image.iter().map(square).sum::<f64>() / count).sqrt().max(1e-6);
        values.extend(
            sample.image.iter().map(|value| ((f64::from(*value) - mean) / deviation) as f32),
        );
    }
    Tensor::from_vec(values, (samples.len(), 1, side, side), device())
}

/// Checks that a sample's image has `side * side` values.
pub(super) fn check_side(task: TaskName, sample: &Sample, side: usize) -> Result<(), LearnError> {
    if sample.image.len() == side * side {
        return Ok(());
    }
    Err(LearnError::Sample {
        sample: sample.name.clone(),
        task: task.name(),
        expected: format!("an image of {side} x {side} pixels"),
        found: format!("{} pixels", sample.image.len()),
    })
}
