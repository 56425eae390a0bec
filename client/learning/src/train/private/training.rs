//! Private training: weights in, weights out that tell little of any unit.

use candle_core::Tensor;

use super::chance::{NoiseSeed, generator};
use super::clip::ClippedSum;
use super::noise::noised;
use super::options::PrivateOptions;
use super::recorded::clipped_sum;
use super::units::Units;
use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::parameters::Parameters;
use crate::task::Task;
use crate::train::checkpoint::TrainingName;
use crate::train::derivation::{Derivation, Key};
use crate::train::gradient::flattened;
use crate::train::optimizer::Stepper;
use crate::train::{Algorithm, Checkpoint, TrainOptions};
use ringfence_weights::{Weights, WeightsError};

/// Where private training stands, told after each step. It is not private: it stays at the site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrivateProgress {
    /// The step, from 1.
    pub step: u32,
    /// How many there will be.
    pub steps: u32,
    /// Units that the step has sampled.
    pub units: usize,
    /// Images of theirs.
    pub images: usize,
    /// Sampled units that added nothing, because their gradient is not finite.
    pub left_out: usize,
    /// Mean loss of the images, before the step; `None` where there was none.
    pub loss: Option<f64>,
}

/// One round's private training at a site: what is learnt, from which weights, on which samples,
/// and how.
///
/// Its result may leave the site. Bit-identical for equal fields on one machine.
#[derive(Clone, Copy)]
pub struct PrivateTraining<'a> {
    /// What is learnt.
    pub task: &'a dyn Task,
    /// The weights before the first step.
    pub start: &'a Weights,
    /// What is learnt from.
    pub samples: &'a [Sample],
    /// Algorithm, optimizer, learning rate and augmentation. Its epochs, batch and seed say nothing
    /// here.
    pub options: &'a TrainOptions,
    /// What fixes the privacy.
    pub private: &'a PrivateOptions,
    /// The secret that chance comes from.
    pub seed: &'a NoiseSeed,
    /// Which training this is: study, site and round. Trainings of different names never share
    /// chance.
    pub of: &'a str,
}

impl PrivateTraining<'_> {
    /// The weights after the last step.
    ///
    /// # Errors
    /// [`LearnError::NoSamples`], [`LearnError::Option`], [`LearnError::Sample`] before the first
    /// step; [`LearnError::Weights`] when training diverged.
    pub fn run(&self, progress: &mut dyn FnMut(PrivateProgress)) -> Result<Weights, LearnError> {
        self.run_from(None, progress, &mut |_| Ok(()))
    }

    /// Trains like [`PrivateTraining::run`], from a checkpoint of the same training if there is one,
    /// and hands out a checkpoint after as many steps as a unit takes part in one of, on average,
    /// and after the last. A checkpoint's `epoch` is the number of steps done. The weights are the
    /// same bits however often training was stopped.
    ///
    /// # Errors
    /// As [`PrivateTraining::run`], and what `save` returns. A checkpoint of another model or of
    /// more steps is not used.
    pub fn run_from(
        &self,
        checkpoint: Option<&Checkpoint>,
        progress: &mut dyn FnMut(PrivateProgress),
        save: &mut dyn FnMut(&Checkpoint) -> Result<(), WeightsError>,
    ) -> Result<Weights, LearnError> {
        let Self { task, start, samples, options, private, .. } = *self;
        if samples.is_empty() {
            return Err(LearnError::NoSamples("train on"));
        }
        private.check_with(options)?;
        start.check_finite()?;
        samples.iter().try_for_each(|sample| task.check_sample(sample))?;
        let units = Units::of(samples, private.unit)?;
        let key = self.key()?;

        let parameters = Parameters::trainable(start)?;
        let first = Parameters::fixed(start)?.tensors();
        let mut stepper =
            Stepper::new(options.optimizer, options.learning_rate, parameters.variables())?;
        let mut done = 0;
        let usable = |checkpoint: &&Checkpoint| {
            checkpoint.fits(start) && checkpoint.epoch <= private.steps as usize
        };
        if let Some(checkpoint) = checkpoint.filter(usable) {
            checkpoint.restore(&parameters.variables(), &mut stepper)?;
            done = checkpoint.epoch as u32;
        }
        for step in done + 1..=private.steps {
            let sampled = self.step(&units, &Step { number: step, key: &key }, &parameters)?;
            let mut direction = sampled.direction;
            if let Algorithm::FedProx { mu } = options.algorithm {
                let variables = parameters.variables();
                for ((value, variable), first) in direction.iter_mut().zip(variables).zip(&first) {
                    *value = (&*value + ((variable.as_tensor() - first)? * mu)?)?;
                }
            }
            stepper.step(&direction)?;
            progress(PrivateProgress { step, steps: private.steps, ..sampled.progress });
            if step % private.steps_a_pass() == 0 || step == private.steps {
                save(&Checkpoint::new(step as usize, &parameters, &stepper)?)?;
            }
        }
        let last = parameters.to_weights()?;
        last.check_finite()?;
        Ok(last)
    }

    /// What names its checkpoints. It follows from the run's key, as chance does, and from the first
    /// weights: so a checkpoint never brings units into the weights that are not among the samples.
    ///
    /// # Errors
    /// [`LearnError::Model`] where the options cannot be written.
    pub fn name(&self) -> Result<TrainingName, LearnError> {
        let start: Vec<f32> = self.start.values().collect();
        let key = Derivation::new("ringfence private training checkpoint v1", &*self.key()?);
        Ok(TrainingName::new(self.of, key.values(&start)))
    }

    /// The run's key: another one as soon as name, options or data differ.
    fn key(&self) -> Result<Key, LearnError> {
        let Self { samples, options, private, seed, of, .. } = *self;
        let told = serde_json::to_vec(&(options, private));
        let told = told.map_err(|error| LearnError::Model(error.to_string()))?;
        let key = Derivation::new("ringfence private training run v1", seed.expose());
        let key = key.bytes(of.as_bytes()).bytes(&told).number(samples.len() as u64);
        Ok(samples.iter().fold(key, Derivation::sample).key())
    }

    fn step(
        &self,
        units: &Units,
        step: &Step<'_>,
        parameters: &Parameters,
    ) -> Result<Sampled, LearnError> {
        let Self { task, samples, options, private, .. } = *self;
        let key = step.key(parameters)?;
        let mut rng = generator(&key);
        let sampled: Vec<Vec<Sample>> = units
            .sampled(private, &mut rng)?
            .iter()
            .map(|records| {
                let records = records.iter().filter_map(|place| samples.get(*place));
                records.map(|sample| options.augmentation.apply(sample, &mut rng)).collect()
            })
            .collect();
        let images = sampled.iter().map(Vec::len).sum();
        let sum = clipped_sum(task, parameters, &sampled, private.clip)?;
        let progress = PrivateProgress {
            step: step.number,
            steps: private.steps,
            units: sampled.len(),
            images,
            left_out: sum.left_out(),
            loss: (images > 0).then(|| sum.loss / images as f64),
        };
        Ok(Sampled { direction: self.release(&sum, &key)?, progress })
    }

    /// The sum with noise, over the constant. From here on nothing but it is used.
    fn release(&self, sum: &ClippedSum, step: &Key) -> Result<Vec<Tensor>, LearnError> {
        let Self { private, .. } = *self;
        let values = flattened(&sum.tensors)?;
        let key = Derivation::new("ringfence private training noise v1", step).values(&values);
        let noised = noised(&values, &key.key(), private.deviation(), private.normaliser);
        let mut left = noised.as_slice();
        let direction = sum.tensors.iter().map(|tensor| {
            let (values, others) = left.split_at_checked(tensor.elem_count()).unwrap_or_default();
            left = others;
            Tensor::from_slice(values, tensor.shape(), tensor.device())
        });
        Ok(direction.collect::<candle_core::Result<_>>()?)
    }
}

/// A step of a run.
struct Step<'a> {
    number: u32,
    key: &'a Key,
}

impl Step<'_> {
    /// The step's own key, from the weights before it.
    fn key(&self, parameters: &Parameters) -> Result<Key, LearnError> {
        let key = Derivation::new("ringfence private training step v1", self.key);
        let key = key.number(u64::from(self.number));
        Ok(key.values(&flattened(&parameters.tensors())?).key())
    }
}

/// What a step found.
struct Sampled {
    /// What to step against, for each variable in the order of their names: private.
    direction: Vec<Tensor>,
    /// What it was made from: not private.
    progress: PrivateProgress,
}
