//! Clipped sums of gradients from one way forward and back a part of the batch: ghost norms (Li et
//! al. 2022) and book-keeping (Bu et al. 2023), as `ringfence_nn::Record` has them.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::clip::{ClippedSum, WAVE, clipped_sum_one_by_one, factor};
use crate::compute::device;
use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::model::tape::{Layer, Tape};
use crate::parameters::Parameters;
use crate::task::Task;
use crate::task::input::stack_images;
use crate::train::units::unit as images_in_a_part;

/// The sum of the units' gradients, each clipped to length `clip`, as
/// [`clipped_sum_one_by_one`] has it up to rounding: by the tape of the model's layers where the task
/// says that its images do not depend on each other, on the CPU; one by one elsewhere.
///
/// # Errors
/// As [`Task::logits`] and [`Task::loss`]; [`LearnError::Model`] when the model uses a tensor twice
/// or not through a layer that can be recorded.
pub fn clipped_sum(
    task: &dyn Task,
    parameters: &Parameters,
    units: &[Vec<Sample>],
    clip: f64,
) -> Result<ClippedSum, LearnError> {
    if !task.images_are_independent() || !device().is_cpu() {
        return clipped_sum_one_by_one(task, parameters, units, clip);
    }
    let mut sum = ClippedSum::zeros(parameters)?;
    for wave in parts(units).chunks(WAVE) {
        let found: Vec<ClippedSum> = wave
            .par_iter()
            .map(|part| {
                let units = units.get(part.clone()).unwrap_or_default();
                of_part(task, parameters, units, clip)
            })
            .collect::<Result<_, LearnError>>()?;
        sum.add(found)?;
    }
    Ok(sum)
}

/// The parts in which units are taken: of about as many images as run well at once, and of whole
/// units.
fn parts(units: &[Vec<Sample>]) -> Vec<Range<usize>> {
    let images: Vec<&Sample> = units.iter().flatten().collect();
    let most = images_in_a_part(&images);
    let (mut parts, mut start, mut held) = (Vec::new(), 0, 0);
    for (index, unit) in units.iter().enumerate() {
        if held > 0 && held + unit.len() > most {
            parts.push(start..index);
            (start, held) = (index, 0);
        }
        held += unit.len();
    }
    if start < units.len() {
        parts.push(start..units.len());
    }
    parts
}

fn of_part(
    task: &dyn Task,
    parameters: &Parameters,
    units: &[Vec<Sample>],
    clip: f64,
) -> Result<ClippedSum, LearnError> {
    let tape = Tape::default();
    let samples: Vec<&Sample> = units.iter().flatten().collect();
    let logits = task.logits(&parameters.recorded_on(&tape), &stack_images(&samples)?)?;
    // Each image's own loss, so that none is an average over others, whatever the task's is.
    let losses = samples.iter().enumerate().map(|(index, sample)| {
        let loss = task.loss(&logits.narrow(0, index, 1)?, std::slice::from_ref(sample))?;
        Ok(loss.reshape(1)?)
    });
    let losses = losses.collect::<Result<Vec<_>, LearnError>>()?;
    let loss = Tensor::cat(&losses, 0)?.sum_all()?;
    let found = loss.backward()?;
    let layers = tape.layers()?;
    for (name, variable) in parameters.names().zip(parameters.variables()) {
        let times = layers.iter().flat_map(Layer::names).filter(|other| *other == name).count();
        if times != 1 || found.get(&variable).is_some() {
            return Err(LearnError::Model(format!(
                "private training expected that the tensor `{name}` serves one layer, found it in \
                 {times}, or used without one"
            )));
        }
    }
    let mut next = 0;
    let ranges: Vec<Range<usize>> = units
        .iter()
        .map(|unit| {
            let range = next..next + unit.len();
            next = range.end;
            range
        })
        .collect();
    let gradients =
        layers.iter().map(|layer| layer.units(&ranges)).collect::<candle_core::Result<Vec<_>>>()?;
    let mut squares = vec![0.0; units.len()];
    for gradient in gradients.iter().flatten() {
        squares.iter_mut().zip(gradient.squares()).for_each(|(sum, square)| *sum += square);
    }
    let norms: Vec<f64> = squares.into_iter().map(f64::sqrt).collect();
    let factors: Vec<f32> = norms.iter().map(|norm| factor(*norm, clip)).collect();
    let mut sums = BTreeMap::new();
    for (layer, gradient) in layers.iter().zip(&gradients) {
        if let Some(gradient) = gradient {
            layer.add_to(&mut sums, gradient.sum(&factors)?);
        }
    }
    let tensors = parameters.names().zip(parameters.tensors());
    let tensors = tensors.map(|(name, tensor)| match sums.remove(name) {
        Some(sum) => Ok(sum),
        // Nothing of the loss depends on it.
        None => tensor.zeros_like(),
    });
    let tensors = tensors.collect::<candle_core::Result<_>>()?;
    Ok(ClippedSum { tensors, norms, loss: f64::from(loss.to_scalar::<f32>()?) })
}
