//! Training that survives being killed: what it knows after a whole epoch, as a file.

use std::path::Path;

use candle_core::{Tensor, Var};

use super::optimizer::Stepper;
use crate::error::LearnError;
use crate::parameters::Parameters;
use ringfence_weights::{Weights, WeightsError};

/// The weights and the optimiser's state after `epoch` epochs. Going on from it gives the same bits
/// as never having stopped, since every epoch draws from a generator of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Epochs that are done.
    pub epoch: usize,
    steps: i32,
    /// Weights, first and second moments: tensor `name` of each is `part/name`.
    state: Weights,
}

const PARTS: [&str; 3] = ["weights", "first", "second"];

impl Checkpoint {
    pub(super) fn new(
        epoch: usize,
        parameters: &Parameters,
        stepper: &Stepper,
    ) -> Result<Self, LearnError> {
        let names = parameters.to_weights()?.shapes();
        let (first, second, steps) = stepper.state();
        let tensors = parameters.tensors();
        let (mut shapes, mut values) = (Vec::new(), Vec::new());
        // In the order of the names: parts first.
        for (part, tensors) in [(PARTS[1], first), (PARTS[2], second), (PARTS[0], &tensors)] {
            for ((name, shape), tensor) in names.iter().zip(tensors) {
                shapes.push((format!("{part}/{name}"), shape.clone()));
                values.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
            }
        }
        Ok(Self { epoch, steps, state: Weights::from_values(&shapes, values)? })
    }

    /// Puts the state into variables and optimiser.
    pub(super) fn restore(
        &self,
        variables: &[Var],
        stepper: &mut Stepper,
    ) -> Result<(), LearnError> {
        let part = |part: &str| -> Result<Vec<Tensor>, LearnError> {
            let prefix = format!("{part}/");
            let tensors = self.state.iter().filter(|(name, ..)| name.starts_with(&prefix));
            let tensors = tensors.zip(variables).map(|((_, shape, values), variable)| {
                Tensor::from_slice(values, shape, variable.device())
            });
            Ok(tensors.collect::<candle_core::Result<_>>()?)
        };
        for (variable, tensor) in variables.iter().zip(part(PARTS[0])?) {
            variable.set(&tensor)?;
        }
        stepper.restore(part(PARTS[1])?, part(PARTS[2])?, self.steps);
        Ok(())
    }

    /// Writes the checkpoint, whole or not at all. `of` says of which training it is.
    ///
    /// # Errors
    /// [`WeightsError::File`].
    pub fn save(&self, path: &Path, of: &str) -> Result<(), WeightsError> {
        let (epoch, steps) = (self.epoch.to_string(), self.steps.to_string());
        self.state.save_with(path, &[("of", of), ("epoch", &epoch), ("steps", &steps)])
    }

    /// Reads a checkpoint of the training `of`. `None` when there is none, when it cannot be read,
    /// or when it is of another training: then training starts over, which costs time and nothing
    /// else.
    #[must_use]
    pub fn load(path: &Path, of: &str) -> Option<Self> {
        let (state, metadata) = Weights::load_with(path).ok()?;
        let number = |key: &str| metadata.get(key)?.parse::<i32>().ok();
        if metadata.get("of").map(String::as_str) != Some(of) || state.check_finite().is_err() {
            return None;
        }
        let epoch = usize::try_from(number("epoch")?).ok()?;
        Some(Self { epoch, steps: number("steps")?, state })
    }

    /// Whether it belongs to a model with these tensors.
    pub(super) fn fits(&self, weights: &Weights) -> bool {
        let mut expected: Vec<_> = PARTS
            .iter()
            .flat_map(|part| {
                let named = move |(name, shape)| (format!("{part}/{name}"), shape);
                weights.shapes().into_iter().map(named)
            })
            .collect();
        expected.sort();
        self.state.shapes() == expected
    }
}
