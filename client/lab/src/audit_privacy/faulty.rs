//! A trainer with one fault, to see whether the audits find it. Nothing else uses it.
//!
//! Without a fault it does what `PrivateTraining` does, with chance of another origin. Three faults
//! cannot be had from `PrivateTraining`, whatever it is told, and are made here; the other two are
//! its own with options that are not the declared ones.

use std::fmt;

use anyhow::Context;
use clap::ValueEnum;
use rand::RngExt;
use rand::rngs::ChaCha20Rng;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use ringfence_learning::private::{PrivateOptions, clipped_sum};
use ringfence_learning::{Parameters, Sample, Task};
use ringfence_weights::Weights;

/// A fault that has been made before, in other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Fault {
    /// Noise of 0.8 times the declared deviation.
    WeakNoise,
    /// The batch's mean gradient is clipped, not each unit's.
    BatchClipping,
    /// Batches of one size are dealt from a shuffled list, and accounted for as Poisson samples.
    Shuffling,
    /// The sum is divided by the number of units sampled.
    SampledNormaliser,
    /// Images are clipped each for itself, and patients are declared.
    ImagesForPatients,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WeakNoise => "noise x 0.8",
            Self::BatchClipping => "clipping per batch",
            Self::Shuffling => "shuffling accounted as Poisson",
            Self::SampledNormaliser => "normaliser = sampled size",
            Self::ImagesForPatients => "images for patients",
        })
    }
}

/// Training step by step, in plain gradient descent.
pub(super) struct FaultyTrainer<'a> {
    pub(super) task: &'a dyn Task,
    /// The images of each unit that takes part.
    pub(super) units: Vec<Vec<Sample>>,
    pub(super) private: PrivateOptions,
    pub(super) learning_rate: f64,
    pub(super) fault: Option<Fault>,
    /// Where its chance comes from.
    pub(super) rng: ChaCha20Rng,
    /// Units still to be dealt of a shuffled list.
    pub(super) dealt: Vec<usize>,
}

impl FaultyTrainer<'_> {
    /// The weights after one step more.
    ///
    /// # Errors
    /// When the task refuses a sample.
    pub(super) fn step(&mut self, weights: &Weights) -> anyhow::Result<Weights> {
        let sampled = self.sampled();
        let parameters = Parameters::trainable(weights)?;
        let clip = self.private.clip;
        let sum = match self.fault {
            Some(Fault::BatchClipping) => self.clipped_as_a_batch(&parameters, &sampled)?,
            _ => self.sum(&parameters, &sampled, clip)?,
        };
        let divisor = match self.fault {
            Some(Fault::SampledNormaliser) => sampled.len().max(1) as f64,
            _ => self.private.normaliser,
        };
        let deviation = self.private.deviation();
        let moved = weights.values().zip(sum).map(|(weight, sum)| {
            let noise: f64 = StandardNormal.sample(&mut self.rng);
            let direction = ((f64::from(sum) + deviation * noise) / divisor) as f32;
            weight - direction * self.learning_rate as f32
        });
        Ok(Weights::from_values(&weights.shapes(), moved.collect())?)
    }

    /// The units that take part in a step.
    fn sampled(&mut self) -> Vec<Vec<Sample>> {
        let rate = self.private.rate;
        if self.fault != Some(Fault::Shuffling) {
            let rng = &mut self.rng;
            return self.units.iter().filter(|_| rng.random_bool(rate)).cloned().collect();
        }
        let size = (rate * self.units.len() as f64).round() as usize;
        if self.dealt.len() < size {
            self.dealt = (0..self.units.len()).collect();
            self.dealt.shuffle(&mut self.rng);
        }
        let batch = self.dealt.split_off(self.dealt.len() - size);
        batch.iter().filter_map(|place| self.units.get(*place).cloned()).collect()
    }

    fn sum(
        &self,
        parameters: &Parameters,
        units: &[Vec<Sample>],
        clip: f64,
    ) -> anyhow::Result<Vec<f32>> {
        let sum =
            clipped_sum(self.task, parameters, units, clip).context("cannot sum gradients")?;
        let mut values = Vec::new();
        for tensor in &sum.tensors {
            values.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(values)
    }

    /// The batch's mean gradient, clipped, times the number of units.
    fn clipped_as_a_batch(
        &self,
        parameters: &Parameters,
        units: &[Vec<Sample>],
    ) -> anyhow::Result<Vec<f32>> {
        let sum = self.sum(parameters, units, f64::from(f32::MAX))?;
        let square: f64 = sum.iter().map(|value| f64::from(*value).powi(2)).sum();
        let mean = square.sqrt() / units.len().max(1) as f64;
        let factor = (self.private.clip / mean).min(1.0) as f32;
        Ok(sum.iter().map(|value| value * factor).collect())
    }
}
