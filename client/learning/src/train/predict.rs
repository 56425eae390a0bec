//! A model applied to samples, and judged.

use rayon::prelude::*;

use super::units::unit;
use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::parameters::Parameters;
use crate::task::input::stack_images;
use crate::task::{Scores, Task};
use ringfence_weights::Weights;

/// The model's flattened output for each sample.
///
/// # Errors
/// [`LearnError::Sample`], or [`LearnError::Tensor`] when the weights are of another model.
pub fn predict(
    task: &dyn Task,
    weights: &Weights,
    samples: &[Sample],
) -> Result<Vec<Vec<f32>>, LearnError> {
    samples.iter().try_for_each(|sample| task.check_image(sample))?;
    let parameters = Parameters::fixed(weights)?;
    let parts: Vec<Vec<Vec<f32>>> = samples
        .par_chunks(unit(samples))
        .map(|part| {
            let part: Vec<&Sample> = part.iter().collect();
            let logits = task.logits(&parameters, &stack_images(&part)?)?;
            Ok(logits.flatten_from(1)?.to_vec2::<f32>()?)
        })
        .collect::<Result<_, LearnError>>()?;
    Ok(parts.into_iter().flatten().collect())
}

/// The task's scores of `weights` on `samples`.
///
/// # Errors
/// [`LearnError::NoSamples`], and as [`predict`].
pub fn evaluate(
    task: &dyn Task,
    weights: &Weights,
    samples: &[Sample],
) -> Result<Scores, LearnError> {
    if samples.is_empty() {
        return Err(LearnError::NoSamples("score"));
    }
    weights.check_finite()?;
    let logits = predict(task, weights, samples)?;
    task.scores(samples, &logits)
}
