//! Training that survives being killed: what it knows after a whole epoch, as a file.

use std::path::Path;

use candle_core::{Tensor, Var};

use super::derivation::Derivation;
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

/// Which training a checkpoint is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingName {
    of: String,
    /// A digest of all that the weights follow from.
    made_from: String,
}

impl TrainingName {
    pub(super) fn new(of: &str, made_from: Derivation) -> Self {
        let made_from = blake3::Hash::from_bytes(*made_from.key()).to_string();
        Self { of: of.to_owned(), made_from }
    }

    /// A digest of all that the weights follow from, in hexadecimal.
    #[must_use]
    pub fn made_from(&self) -> &str {
        &self.made_from
    }
}

/// What lies where a training's checkpoint would be.
#[derive(Clone, Debug, PartialEq)]
pub enum KeptCheckpoint {
    /// None, one that cannot be read, or one of a training of another name.
    Nothing,
    /// One of a training of this name, made from other samples, first weights or options, or with
    /// another secret. To go on from it would give weights that follow from both.
    MadeFromOther,
    /// Its own.
    Own(Checkpoint),
}

impl KeptCheckpoint {
    /// The training's own checkpoint, if it is that.
    #[must_use]
    pub fn own(self) -> Option<Checkpoint> {
        match self {
            Self::Own(checkpoint) => Some(checkpoint),
            Self::Nothing | Self::MadeFromOther => None,
        }
    }
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
        for (variable, tensor) in variables.iter().zip(self.part(PARTS[0], variables)?) {
            variable.set(&tensor)?;
        }
        self.restore_moments(variables, stepper)
    }

    /// Puts the optimiser's state alone into an optimiser of these variables.
    pub(super) fn restore_moments(
        &self,
        variables: &[Var],
        stepper: &mut Stepper,
    ) -> Result<(), LearnError> {
        let (first, second) = (self.part(PARTS[1], variables)?, self.part(PARTS[2], variables)?);
        stepper.restore(first, second, self.steps);
        Ok(())
    }

    /// The tensors of one part, in the order of the variables.
    fn part(&self, part: &str, variables: &[Var]) -> Result<Vec<Tensor>, LearnError> {
        let prefix = format!("{part}/");
        let tensors = self.state.iter().filter(|(name, ..)| name.starts_with(&prefix));
        let tensors = tensors.zip(variables).map(|((_, shape, values), variable)| {
            Tensor::from_slice(values, shape, variable.device())
        });
        Ok(tensors.collect::<candle_core::Result<_>>()?)
    }

    /// The weights.
    ///
    /// # Errors
    /// [`WeightsError`] when names come twice, which does not happen.
    pub fn weights(&self) -> Result<Weights, WeightsError> {
        let (mut shapes, mut all) = (Vec::new(), Vec::new());
        let prefix = format!("{}/", PARTS[0]);
        for (name, shape, values) in self.state.iter() {
            if let Some(name) = name.strip_prefix(&prefix) {
                shapes.push((name.to_owned(), shape.to_vec()));
                all.extend_from_slice(values);
            }
        }
        Weights::from_values(&shapes, all)
    }

    /// Writes the checkpoint, whole or not at all.
    ///
    /// # Errors
    /// [`WeightsError::File`].
    pub fn save(&self, path: &Path, name: &TrainingName) -> Result<(), WeightsError> {
        let (epoch, steps) = (self.epoch.to_string(), self.steps.to_string());
        let TrainingName { of, made_from } = name;
        let metadata = [("of", of), ("made_from", made_from), ("epoch", &epoch), ("steps", &steps)];
        self.state.save_with(path, &metadata.map(|(key, value)| (key, value.as_str())))
    }

    /// What lies there. Whatever is not this training's own checkpoint is no error: then training
    /// starts over, which costs time and nothing else.
    #[must_use]
    pub fn load(path: &Path, name: &TrainingName) -> KeptCheckpoint {
        let Ok((state, metadata)) = Weights::load_with(path) else {
            return KeptCheckpoint::Nothing;
        };
        if metadata.get("of") != Some(&name.of) || state.check_finite().is_err() {
            return KeptCheckpoint::Nothing;
        }
        if metadata.get("made_from") != Some(&name.made_from) {
            return KeptCheckpoint::MadeFromOther;
        }
        let number = |key: &str| metadata.get(key)?.parse::<i32>().ok();
        let epoch = number("epoch").and_then(|epoch| usize::try_from(epoch).ok());
        match epoch.zip(number("steps")) {
            Some((epoch, steps)) => KeptCheckpoint::Own(Self { epoch, steps, state }),
            None => KeptCheckpoint::Nothing,
        }
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
