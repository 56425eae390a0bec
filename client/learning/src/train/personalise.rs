//! Fine-tuning the common model at a site.

use super::gradient::gradients;
use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::parameters::Parameters;
use crate::task::Task;
use ringfence_weights::Weights;

/// Samples whose gradients are held at once.
const PART: usize = 16;

/// A personalised model: `steps` plain gradient steps of size `alpha` from `weights`, each on all
/// of the site's `samples`. One step is what PerFedAvg prepares the common model for.
///
/// The result stays at the site. It is a function of its arguments: there is no chance in it.
///
/// # Errors
/// [`LearnError::NoSamples`], [`LearnError::Option`] for an `alpha` that is not positive,
/// [`LearnError::Sample`], and [`LearnError::Weights`] when the steps diverged.
pub fn fine_tune(
    task: &dyn Task,
    weights: &Weights,
    samples: &[Sample],
    alpha: f64,
    steps: usize,
) -> Result<Weights, LearnError> {
    if samples.is_empty() {
        return Err(LearnError::NoSamples("fine-tune on"));
    }
    if !(alpha.is_finite() && alpha > 0.0) {
        let (option, expected) = ("alpha", "a positive number");
        return Err(LearnError::Option { option, expected, found: alpha.to_string() });
    }
    samples.iter().try_for_each(|sample| task.check_sample(sample))?;
    let mut parameters = Parameters::trainable(weights)?;
    for _ in 0..steps {
        // Part by part, so that memory does not grow with the site.
        let mut moved = parameters.clone();
        for part in samples.chunks(PART) {
            let (_, gradients) = gradients(task, &parameters, part)?;
            let share = part.len() as f64 / samples.len() as f64;
            moved = moved.shifted(&gradients, -alpha * share)?;
        }
        parameters = moved;
    }
    let personal = parameters.to_weights()?;
    personal.check_finite()?;
    Ok(personal)
}
