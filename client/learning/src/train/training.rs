//! Training: weights in, weights out.

use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use rand::seq::SliceRandom;

use super::carried::Carried;
use super::checkpoint::{Checkpoint, TrainingName};
use super::derivation::Derivation;
use super::optimizer::Stepper;
use super::options::TrainOptions;
use super::predict::evaluate;
use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::parameters::Parameters;
use crate::task::{Scores, Task};
use ringfence_weights::{Weights, WeightsError};

/// Where training stands, told after each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The present epoch, from 1.
    pub epoch: usize,
    /// How many there will be.
    pub epochs: usize,
    /// The step within the epoch, from 1.
    pub batch: usize,
    /// Steps in an epoch.
    pub batches: usize,
    /// Loss of the step's batch, before the step.
    pub loss: f64,
}

/// One training at a site: what is learnt, from which weights, on which samples, and how.
///
/// Bit-identical for equal fields on one machine: gradients of parts of a batch are computed on
/// several threads, but always summed in the same order.
#[derive(Clone, Copy)]
pub struct Training<'a> {
    /// What is learnt.
    pub task: &'a dyn Task,
    /// The weights before the first step.
    pub start: &'a Weights,
    /// What is learnt from.
    pub samples: &'a [Sample],
    /// How.
    pub options: &'a TrainOptions,
}

/// What is told after each epoch: its number, and what a checkpoint of it would hold.
type AfterEpoch<'a> = &'a mut dyn FnMut(usize, &Parameters, &Stepper) -> Result<(), LearnError>;

/// What a training begins with beside its weights.
#[derive(Clone, Copy, Default)]
struct Beginning<'a> {
    carried: Carried<'a>,
    checkpoint: Option<&'a Checkpoint>,
}

impl Training<'_> {
    /// What names its checkpoints, of a training that people call `of`: it follows from the first
    /// weights, the samples and the options.
    ///
    /// # Errors
    /// [`LearnError::Model`] where the options cannot be written.
    pub fn name(&self, of: &str) -> Result<TrainingName, LearnError> {
        let Self { start, samples, options, .. } = *self;
        let told = serde_json::to_vec(options);
        let told = told.map_err(|error| LearnError::Model(error.to_string()))?;
        let start: Vec<f32> = start.values().collect();
        let made_from = Derivation::new("ringfence training checkpoint v1", &[0; 32]);
        let made_from = made_from.bytes(&told).values(&start).number(samples.len() as u64);
        Ok(TrainingName::new(of, samples.iter().fold(made_from, Derivation::sample)))
    }

    /// The weights after the last step.
    ///
    /// # Errors
    /// [`LearnError::NoSamples`], [`LearnError::Option`], [`LearnError::Sample`] before the first
    /// step; [`LearnError::Weights`] when training diverged.
    pub fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<Weights, LearnError> {
        self.run_from(None, progress, &mut |_| Ok(()))
    }

    /// Trains like [`Training::run`], from a checkpoint of the same training if there is one, and
    /// hands out a checkpoint after each epoch. The weights are the same bits however often
    /// training was stopped.
    ///
    /// # Errors
    /// As [`Training::run`], and what `save` returns. A checkpoint of another model is not used.
    pub fn run_from(
        &self,
        checkpoint: Option<&Checkpoint>,
        progress: &mut dyn FnMut(Progress),
        save: &mut dyn FnMut(&Checkpoint) -> Result<(), WeightsError>,
    ) -> Result<Weights, LearnError> {
        Ok(self.run_carrying(&Carried::default(), checkpoint, progress, save)?.weights()?)
    }

    /// The same of a site that has something of its own: with what it has carried over from its last
    /// round. Given back is what it has after the last epoch, to be carried into the next round.
    ///
    /// # Errors
    /// As [`Training::run_from`].
    pub fn run_carrying(
        &self,
        carried: &Carried<'_>,
        checkpoint: Option<&Checkpoint>,
        progress: &mut dyn FnMut(Progress),
        save: &mut dyn FnMut(&Checkpoint) -> Result<(), WeightsError>,
    ) -> Result<Checkpoint, LearnError> {
        let mut last = checkpoint.filter(|checkpoint| checkpoint.fits(self.start)).cloned();
        let from = Beginning { carried: *carried, checkpoint };
        self.steps(&from, progress, &mut |epoch, parameters, stepper| {
            let made = Checkpoint::new(epoch, parameters, stepper)?;
            save(&made)?;
            last = Some(made);
            Ok(())
        })?;
        // There is one: no training is of no epochs.
        let last = last.ok_or(LearnError::NoSamples("train on"))?;
        last.weights()?.check_finite()?;
        Ok(last)
    }

    /// Trains like [`Training::run`], but returns the weights of the epoch with the best primary
    /// score on `validation` (where that is undefined, the best of [`Scores::leading`]; the first of
    /// equals; the start itself counts as epoch 0), and its scores.
    ///
    /// # Errors
    /// As [`Training::run`], and [`LearnError::NoSamples`] without validation samples.
    pub fn select(
        &self,
        validation: &[Sample],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Weights, Scores), LearnError> {
        let mut best = (self.start.clone(), evaluate(self.task, self.start, validation)?);
        self.steps(&Beginning::default(), progress, &mut |_, parameters, _| {
            let weights = parameters.to_weights()?;
            weights.check_finite()?;
            let scores = evaluate(self.task, &weights, validation)?;
            // Which score leads depends on the samples alone: they are compared by the same one.
            if scores.leading() > best.1.leading() {
                best = (weights, scores);
            }
            Ok(())
        })?;
        Ok(best)
    }

    fn steps(
        &self,
        from: &Beginning<'_>,
        progress: &mut dyn FnMut(Progress),
        after_epoch: AfterEpoch<'_>,
    ) -> Result<Weights, LearnError> {
        let Self { task, start, samples, options } = *self;
        if samples.is_empty() {
            return Err(LearnError::NoSamples("train on"));
        }
        options.check()?;
        start.check_finite()?;
        samples.iter().try_for_each(|sample| task.check_sample(sample))?;

        let parameters = Parameters::trainable(start)?;
        let Beginning { carried, checkpoint } = *from;
        let first = Parameters::fixed(carried.anchor.unwrap_or(start))?.tensors();
        let mut stepper =
            Stepper::new(options.optimizer, options.learning_rate, parameters.variables())?;
        if let Some(moments) = carried.moments.filter(|moments| moments.fits(start)) {
            moments.restore_moments(&parameters.variables(), &mut stepper)?;
        }
        let mut done = 0;
        if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.fits(start)) {
            checkpoint.restore(&parameters.variables(), &mut stepper)?;
            done = checkpoint.epoch;
        }
        let batches = samples.len().div_ceil(options.batch);
        for epoch in done + 1..=options.epochs {
            stepper.hold(carried.held(epoch, start));
            // A generator for each epoch, so that a later one can be entered without the earlier
            // ones.
            let mut rng = ChaCha20Rng::seed_from_u64(options.seed);
            rng.set_stream(epoch as u64);
            // One order for each of the independent batches of a step.
            let order: Vec<usize> = (0..samples.len()).collect();
            let mut orders = vec![order; options.algorithm.batches()];
            orders.iter_mut().for_each(|order| order.shuffle(&mut rng));
            for index in 0..batches {
                let chosen: Vec<Vec<Sample>> = orders
                    .iter()
                    .filter_map(|order| order.chunks(options.batch).nth(index))
                    .map(|chosen| {
                        let chosen = chosen.iter();
                        chosen.map(|i| options.augmentation.apply(&samples[*i], &mut rng)).collect()
                    })
                    .collect();
                let (loss, direction) =
                    options.algorithm.direction(task, &parameters, &first, &chosen)?;
                stepper.step(&direction)?;
                progress(Progress {
                    epoch,
                    epochs: options.epochs,
                    batch: index + 1,
                    batches,
                    loss,
                });
            }
            after_epoch(epoch, &parameters, &stepper)?;
        }
        parameters.to_weights()
    }
}
