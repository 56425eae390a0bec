//! Training and judging: weights in, weights or scores out.

mod algorithm;
mod augment;
mod checkpoint;
mod optimizer;
mod personalise;

use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use algorithm::{Algorithm, MetaGradient};
pub use augment::Augmentation;
use candle_core::Tensor;
pub use checkpoint::Checkpoint;
pub use optimizer::Optimizer;
use optimizer::Stepper;
pub use personalise::fine_tune;

use super::compute::device;
use super::data::Sample;
use super::plan::TaskName;
use super::task::{Scores, Task, stack_images};
use super::{LearnError, Parameters};
use ringfence_weights::{Weights, WeightsError};

/// Units of a step's batch at most, which run at once: what is summed in which order must not depend
/// on how many threads there are. Threads beyond that share the images within a unit.
const UNITS: usize = 4;

/// Pixels of the images in a unit at most: few enough for the caches.
const UNIT_PIXELS: usize = 1 << 15;

/// Images in a unit on a GPU.
const GPU_UNIT: usize = 64;

/// Images whose forward and backward pass run as one unit, of so many. Both losses are means over
/// images, so that this changes speed and rounding only. Large units save packing kernels and adding
/// up gradients, small ones keep all threads busy.
///
/// A GPU wants many images at once, and runs one unit after the other anyway.
fn unit(samples: &[Sample]) -> usize {
    unit_of(samples.len(), samples.first().map_or(1, |sample| sample.image.len()))
}

/// The same for `images` images of `pixels` pixels.
fn unit_of(images: usize, pixels: usize) -> usize {
    if !device().is_cpu() {
        return GPU_UNIT;
    }
    (images / UNITS).clamp(1, (UNIT_PIXELS / pixels.max(1)).max(1))
}

/// Images in a unit and units in a batch of `batch` images.
pub(super) fn units(batch: usize, pixels: usize) -> (usize, usize) {
    let unit = unit_of(batch, pixels);
    (unit, batch.div_ceil(unit))
}

/// How a site trains between two versions of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainOptions {
    /// What is descended.
    pub algorithm: Algorithm,
    /// Passes over the site's training samples. An algorithm whose steps take several batches
    /// passes over them with each.
    pub epochs: usize,
    /// Samples a step.
    pub batch: usize,
    /// Step size.
    pub learning_rate: f64,
    /// The rule for a step.
    pub optimizer: Optimizer,
    /// How images differ each time they are seen.
    #[serde(alias = "flip")]
    pub augmentation: Augmentation,
    /// Fixes the order of samples and how they are augmented. Give every site and round another one.
    pub seed: u64,
}

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

/// Trains `start` on `samples` and returns the weights after the last step.
///
/// Bit-identical for equal arguments on one machine: gradients of parts of a batch are computed
/// on several threads, but always summed in the same order.
///
/// # Errors
/// [`LearnError::NoSamples`], [`LearnError::Option`], [`LearnError::Sample`] before the first
/// step; [`LearnError::Weights`] when training diverged.
pub fn train(
    task: &dyn Task,
    start: &Weights,
    samples: &[Sample],
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Weights, LearnError> {
    train_from(task, start, samples, options, None, progress, &mut |_| Ok(()))
}

/// Trains like [`train()`], from a checkpoint of the same training if there is one, and hands out a
/// checkpoint after each epoch. The weights are the same bits however often training was stopped.
///
/// # Errors
/// As [`train()`], and what `save` returns. A checkpoint of another model is not used.
pub fn train_from(
    task: &dyn Task,
    start: &Weights,
    samples: &[Sample],
    options: &TrainOptions,
    checkpoint: Option<&Checkpoint>,
    progress: &mut dyn FnMut(Progress),
    save: &mut dyn FnMut(&Checkpoint) -> Result<(), WeightsError>,
) -> Result<Weights, LearnError> {
    let mut after_epoch = |epoch, parameters: &Parameters, stepper: &Stepper| {
        Ok(save(&Checkpoint::new(epoch, parameters, stepper)?)?)
    };
    let last = run(task, start, samples, options, checkpoint, progress, &mut after_epoch)?;
    last.check_finite()?;
    Ok(last)
}

/// Trains like [`train()`], but returns the weights of the epoch with the best primary score on
/// `validation` (the first of equals; `start` itself counts as epoch 0), and that score.
///
/// # Errors
/// As [`train()`], and [`LearnError::NoSamples`] without validation samples.
pub fn train_and_select(
    task: &dyn Task,
    start: &Weights,
    samples: &[Sample],
    validation: &[Sample],
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Weights, Scores), LearnError> {
    let mut best = (start.clone(), evaluate(task, start, validation)?);
    run(task, start, samples, options, None, progress, &mut |_, parameters, _| {
        let weights = parameters.to_weights()?;
        weights.check_finite()?;
        let scores = evaluate(task, &weights, validation)?;
        if scores.primary().value > best.1.primary().value {
            best = (weights, scores);
        }
        Ok(())
    })?;
    Ok(best)
}

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
            let logits = task.logits(&parameters, &images(&part)?)?;
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

fn run(
    task: &dyn Task,
    start: &Weights,
    samples: &[Sample],
    options: &TrainOptions,
    checkpoint: Option<&Checkpoint>,
    progress: &mut dyn FnMut(Progress),
    after_epoch: &mut dyn FnMut(usize, &Parameters, &Stepper) -> Result<(), LearnError>,
) -> Result<Weights, LearnError> {
    if samples.is_empty() {
        return Err(LearnError::NoSamples("train on"));
    }
    options.check()?;
    start.check_finite()?;
    samples.iter().try_for_each(|sample| task.check_sample(sample))?;

    let parameters = Parameters::trainable(start)?;
    let first = Parameters::fixed(start)?.tensors();
    let mut stepper =
        Stepper::new(options.optimizer, options.learning_rate, parameters.variables())?;
    let mut done = 0;
    if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.fits(start)) {
        checkpoint.restore(&parameters.variables(), &mut stepper)?;
        done = checkpoint.epoch;
    }
    let batches = samples.len().div_ceil(options.batch);
    for epoch in done + 1..=options.epochs {
        // A generator for each epoch, so that a later one can be entered without the earlier ones.
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
            progress(Progress { epoch, epochs: options.epochs, batch: index + 1, batches, loss });
        }
        after_epoch(epoch, &parameters, &stepper)?;
    }
    parameters.to_weights()
}

/// Mean loss of a batch, and its gradient for each variable in the order of their names.
fn gradients(
    task: &dyn Task,
    parameters: &Parameters,
    batch: &[Sample],
) -> Result<(f64, Vec<Tensor>), LearnError> {
    let variables = parameters.variables();
    let parts: Vec<(f64, Vec<Tensor>)> = batch
        .par_chunks(unit(batch))
        .map(|part| {
            let part: Vec<&Sample> = part.iter().collect();
            let logits = task.logits(parameters, &images(&part)?)?;
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

fn images(part: &[&Sample]) -> Result<Tensor, LearnError> {
    let pixels = part.first().map_or(0, |sample| sample.image.len());
    Ok(stack_images(part, pixels.isqrt())?)
}

impl TrainOptions {
    /// One round's training at a site. Segmentation: four passes in batches of four by Adam at
    /// 0.003, for about six rounds. Classification: one pass in batches of eight at 0.002, for ten
    /// rounds or more.
    ///
    /// Segmentation was chosen on generated CT at five sites: a site has some twenty images, and
    /// small batches make steps of them. Much larger steps (0.01) drive the sites so far apart
    /// within a round that their mean predicts nothing, although each of them has learnt. So do
    /// longer rounds in classification where the sites have different classes (PneumoniaMNIST by
    /// Dirichlet 0.5): after two or three passes each names its own commonest class, and the mean
    /// never leaves that.
    #[must_use]
    pub fn for_task(task: TaskName) -> Self {
        let (epochs, batch, learning_rate) = match task {
            TaskName::Classification => (1, 8, 0.002),
            TaskName::Segmentation => (4, 4, 0.003),
        };
        Self {
            algorithm: Algorithm::FedAvg,
            epochs,
            batch,
            learning_rate,
            optimizer: Optimizer::Adam,
            augmentation: Augmentation::FLIP,
            seed: 1,
        }
    }

    /// These options for round `round` of `rounds`, from 0: the learning rate falls by half a cosine
    /// (Loshchilov and Hutter, "SGDR", 2017), `rate * (1 + cos(pi round / rounds)) / 2`, so that
    /// the sites' last steps are small and their mean is close to each of them; and the seed is
    /// another one each round. A site that trains alone for comparison should do the same.
    #[must_use]
    pub fn at_round(&self, round: usize, rounds: usize) -> Self {
        let share = round as f64 / rounds.max(1) as f64;
        let learning_rate = self.learning_rate * (1.0 + (std::f64::consts::PI * share).cos()) / 2.0;
        // An odd factor keeps neighbouring seeds' rounds apart (the golden ratio in 64 bits).
        let step = (round as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { learning_rate, seed: self.seed.wrapping_add(step), ..self.clone() }
    }

    pub(crate) fn check(&self) -> Result<(), LearnError> {
        self.algorithm.check()?;
        self.augmentation.check()?;
        let refuse = |option, expected, found| Err(LearnError::Option { option, expected, found });
        if self.epochs == 0 {
            return refuse("epochs", "at least 1", "0".to_string());
        }
        if self.batch == 0 {
            return refuse("batch", "at least 1 sample", "0".to_string());
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return refuse("learning_rate", "a positive number", self.learning_rate.to_string());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_falls_by_half_a_cosine_and_never_to_zero() {
        let options = TrainOptions::for_task(TaskName::Segmentation);
        let rate = |round| options.at_round(round, 6).learning_rate / options.learning_rate;
        assert!((rate(0) - 1.0).abs() < 1e-12);
        assert!((rate(2) - 0.75).abs() < 1e-12);
        assert!((rate(3) - 0.5).abs() < 1e-12);
        assert!(rate(5) > 0.05);
        assert_eq!(options.at_round(0, 6), options);
        assert_ne!(options.at_round(1, 6).seed, options.seed);
    }
}
