//! Samples as a model's input.

use candle_core::Tensor;

use super::name::TaskName;
use crate::compute::device;
use crate::data::dataset::Sample;
use crate::error::LearnError;

/// Stacks samples' images to `[b, c, side, side]`, each brought to mean 0 and variance 1: scanners
/// differ in brightness and contrast, and what is left of that must be learnt (Isensee et al.,
/// "nnU-Net", 2021, normalise each image in the same way). A blank image becomes zeros. The channels
/// of a colour image are brought there together: what tells them apart is the colour.
pub(crate) fn stack_images(samples: &[&Sample]) -> candle_core::Result<Tensor> {
    let first = samples.first().and_then(|sample| sample.shape());
    let (channels, side) = first.unwrap_or_default();
    let mut values = Vec::with_capacity(samples.len() * channels * side * side);
    for sample in samples {
        let count = sample.image.len() as f64;
        let mean = sample.image.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let square = |value: &f32| (f64::from(*value) - mean).powi(2);
        let deviation = (sample.image.iter().map(square).sum::<f64>() / count).sqrt().max(1e-6);
        values.extend(
            sample.image.iter().map(|value| ((f64::from(*value) - mean) / deviation) as f32),
        );
    }
    Tensor::from_vec(values, (samples.len(), channels, side, side), device())
}

/// Checks that a sample's image has `side * side` pixels of so many channels.
pub(super) fn check_shape(
    task: TaskName,
    sample: &Sample,
    (channels, side): (usize, usize),
) -> Result<(), LearnError> {
    let found = sample.shape();
    if found == Some((channels, side)) {
        return Ok(());
    }
    let pixels = |(channels, side): (usize, usize)| {
        let colour = if channels == 1 { "grey" } else { "colour" };
        format!("{side} x {side} pixels in {colour}")
    };
    Err(LearnError::Sample {
        sample: sample.name.clone(),
        task: task.name(),
        expected: format!("an image of {}", pixels((channels, side))),
        found: found.map_or_else(|| format!("{} values", sample.image.len()), pixels),
    })
}
