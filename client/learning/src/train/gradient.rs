//! The gradient of a batch, computed in parts.

use candle_core::Tensor;
use rayon::prelude::*;

use super::units::unit;
use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::parameters::Parameters;
use crate::task::Task;
use crate::task::input::stack_images;

/// Mean loss of a batch, and its gradient for each variable in the order of their names.
pub(super) fn gradients(
    task: &dyn Task,
    parameters: &Parameters,
    batch: &[Sample],
) -> Result<(f64, Vec<Tensor>), LearnError> {
    let variables = parameters.variables();
    let parts: Vec<(f64, Vec<Tensor>)> = batch
        .par_chunks(unit(batch))
        .map(|part| {
            let part: Vec<&Sample> = part.iter().collect();
            let logits = task.logits(parameters, &stack_images(&part)?)?;
            let weight = part.len() as f64 / batch.len() as f64;
            let loss = (task.loss(&logits, &part)? * weight)?;
            let found = loss.backward()?;
            let gradients = variables
                .iter()
                .map(|variable| match found.get(variable) {
                    Some(gradient) => Ok(gradient.clone()),
                    None => variable.zeros_like(),
                })
                .collect::<candle_core::Result<Vec<_>>>()?;
            Ok((f64::from(loss.to_scalar::<f32>()?), gradients))
        })
        .collect::<Result<_, LearnError>>()?;
    let loss = parts.iter().map(|(loss, _)| loss).sum();
    let sum = |index: usize| {
        let mut parts = parts.iter().filter_map(|(_, part)| part.get(index));
        let first = parts.next().ok_or(LearnError::NoSamples("train on"))?;
        Ok(parts.try_fold(first.clone(), |sum, gradient| sum + gradient)?)
    };
    let sums = (0..variables.len()).into_par_iter().map(sum).collect::<Result<_, LearnError>>()?;
    Ok((loss, sums))
}

/// The values of all tensors, one after the other.
pub(super) fn flattened(tensors: &[Tensor]) -> candle_core::Result<Vec<f32>> {
    let mut values = Vec::new();
    for tensor in tensors {
        values.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(values)
}
