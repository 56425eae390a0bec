//! Models that are asked about the images that they may have been trained on: the mean of several
//! sites' updates over some rounds, by the shipped trainer, with and without differential privacy.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use rand::rngs::ChaCha20Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use ringfence_crypto::statement::{PrivacyUnit, RecordLevel};
use ringfence_keys::study::spending::least_noise;
use ringfence_learning::private::{NoiseSeed, PrivateOptions, PrivateTraining};
use ringfence_learning::simulation::mean;
use ringfence_learning::{
    Augmentation, Classification, Dataset, ModelName, Optimizer, Sample, Task, TaskName,
    TrainOptions, Training, predict,
};
use ringfence_options::private_options;
use ringfence_weights::Weights;

use super::ratio::Answers;
use crate::attack::observe::{RATE, Round, Site};
use crate::attack::terms::{DELTA, Stage};

/// Images of different patients at most, of which each model is trained on about half, and at least.
const MOST_IMAGES: usize = 256;
const FEWEST_IMAGES: usize = 24;
/// Images of the positive control.
const CONTROL_IMAGES: usize = 48;
/// Rounds, and passes over a site's images in each: of the positive control far too many.
const ROUNDS: usize = 10;
const EPOCHS: usize = 2;
const CONTROL_EPOCHS: usize = 10;
/// Sites where the stage does not say how many.
const SITES: usize = 3;
/// Private training: steps of a round, the share of images in each, the bound of a gradient, step
/// size and momentum.
const PRIVATE_STEPS: u32 = 10;
const PRIVATE_SHARE: f32 = 0.25;
const PRIVATE_CLIP: f32 = 1.0;
const PRIVATE_RATE: f64 = 0.02;
const PRIVATE_MOMENTUM: f64 = 0.9;
/// Beyond this a confidence says no more.
const SURE: f64 = 50.0;

/// How a model has come to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Made {
    /// By one site, with far too many passes over few images.
    Control,
    /// As the mean of so many sites, each with an equal part of the images.
    Mean(usize),
    /// The same by private training, which spends this epsilon in all rounds together.
    Private(f64),
    /// As what the aggregator stores of one site's update, taken for the update.
    Ciphertext,
}

impl Made {
    /// What a stage shows of a final model, if it does.
    pub(super) fn at(stage: Stage) -> Option<Self> {
        match stage {
            Stage::Update => Some(Self::Mean(1)),
            Stage::Sum(sites) if sites > 1 => Some(Self::Mean(sites)),
            Stage::Dp(epsilon) => Some(Self::Private(epsilon)),
            Stage::Ciphertext => Some(Self::Ciphertext),
            _ => None,
        }
    }

    /// In words.
    pub(super) fn about(self) -> String {
        match self {
            Self::Control => {
                format!("one site's model after {} passes over few images", ROUNDS * CONTROL_EPOCHS)
            }
            Self::Mean(1) => format!("one site's model after {} passes", ROUNDS * EPOCHS),
            Self::Mean(sites) => {
                format!("the final model of {sites} sites: {ROUNDS} rounds of {EPOCHS} passes")
            }
            Self::Private(epsilon) => format!(
                "the final model of {SITES} sites that train privately: {ROUNDS} rounds that spend epsilon {epsilon} at delta {DELTA} together"
            ),
            Self::Ciphertext => {
                "one site's contribution as the aggregator stores it, taken for an update"
                    .to_owned()
            }
        }
    }
}

fn all(dataset: &Dataset) -> impl Iterator<Item = &Sample> {
    dataset.sites.iter().flat_map(|site| site.samples().map(|(_, sample)| sample))
}

/// Refuses data of too few patients.
///
/// # Errors
/// Saying how many there are.
pub(super) fn check(dataset: &Dataset) -> anyhow::Result<()> {
    let patients: BTreeSet<&str> = all(dataset).map(|sample| sample.group.as_str()).collect();
    ensure!(
        patients.len() >= FEWEST_IMAGES,
        "--attack membership: expected images of at least {FEWEST_IMAGES} patients, found {}: give more",
        patients.len()
    );
    Ok(())
}

/// The images, and the model before the first round.
pub(super) struct Pool {
    pub(super) samples: Vec<Sample>,
    task: Classification,
    first: Weights,
    seed: u64,
}

impl Pool {
    /// One image of each patient.
    ///
    /// # Errors
    /// When there are too few.
    pub(super) fn new(dataset: &Dataset, model: ModelName, seed: u64) -> anyhow::Result<Self> {
        check(dataset)?;
        let mut all: Vec<&Sample> = all(dataset).collect();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        all.shuffle(&mut rng);
        let mut patients = BTreeMap::new();
        for sample in all {
            patients.entry(sample.group.as_str()).or_insert(sample);
        }
        let mut samples: Vec<Sample> = patients.into_values().cloned().collect();
        samples.shuffle(&mut rng);
        samples.truncate(MOST_IMAGES);
        let task = Classification::new(model, dataset.side, &dataset.classes)?;
        let first = task.initial_weights(seed)?;
        Ok(Self { samples, task, first, seed })
    }

    /// How many images models of a kind are asked about.
    pub(super) fn images(&self, made: Made) -> usize {
        let most = if made == Made::Control { CONTROL_IMAGES } else { MOST_IMAGES };
        self.samples.len().min(most)
    }

    /// Trains the model of this number on a random half of the images, and asks it about all of them.
    ///
    /// # Errors
    /// Those of training.
    pub(super) fn answers(&self, made: Made, number: usize) -> anyhow::Result<Answers> {
        let samples = &self.samples[..self.images(made)];
        let mut coins = ChaCha20Rng::seed_from_u64(self.seed);
        coins.set_stream(number as u64 + 1);
        let members: Vec<bool> = samples.iter().map(|_| coins.random()).collect();
        let model = self.model(made, samples, &members, number)?;
        let (mut confidences, mut right) = (Vec::new(), Vec::new());
        for (logits, sample) in predict(&self.task, &model, samples)?.iter().zip(samples) {
            let own = sample.label.unwrap_or(0) as usize;
            let (confidence, is_right) = confidence(logits, own);
            confidences.push(confidence);
            right.push(is_right);
        }
        Ok(Answers { members, confidences, right })
    }

    fn model(
        &self,
        made: Made,
        samples: &[Sample],
        members: &[bool],
        number: usize,
    ) -> anyhow::Result<Weights> {
        let sites = match made {
            Made::Control | Made::Ciphertext => 1,
            Made::Mean(sites) => sites,
            Made::Private(_) => SITES,
        };
        // An image is always of the same site.
        let site = |site: usize| -> Vec<Sample> {
            let own = samples.iter().zip(members).skip(site).step_by(sites);
            own.filter(|(_, member)| **member).map(|(sample, _)| sample.clone()).collect()
        };
        let mut images: Vec<Vec<Sample>> = (0..sites).map(site).collect();
        images.retain(|images| !images.is_empty());
        if made == Made::Ciphertext {
            let samples = images.into_iter().next().unwrap_or_default();
            let sites = [Site { samples, weights: self.first.clone() }];
            let seed = self.seed.wrapping_add(number as u64);
            let seen = Round { task: &self.task, sites: &sites, seed }.see(Stage::Ciphertext)?;
            let update = seen.values.iter().map(|value| value * -RATE as f32).collect();
            let update = Weights::from_values(&self.first.shapes(), update)?;
            return Ok(self.first.clone().plus(&update)?);
        }
        let private = match made {
            Made::Private(epsilon) => Some(noised(epsilon, samples.len() / sites)?),
            _ => None,
        };
        let (mut model, weighting) = (self.first.clone(), vec![1.0; images.len()]);
        for round in 0..ROUNDS {
            let update = |(site, samples): (usize, &Vec<Sample>)| {
                let at = Place { number, site, round };
                let trained = match &private {
                    Some(private) => self.privately(&model, samples, private, at),
                    None => self.plainly(&model, samples, made, at),
                };
                anyhow::Ok(trained?.difference(&model)?.values().collect::<Vec<f32>>())
            };
            let updates: Vec<Vec<f32>> =
                images.iter().enumerate().map(update).collect::<anyhow::Result<_>>()?;
            let mean = Weights::from_values(&model.shapes(), mean(&updates, &weighting))?;
            model = model.plus(&mean)?;
        }
        Ok(model)
    }

    fn plainly(
        &self,
        start: &Weights,
        samples: &[Sample],
        made: Made,
        at: Place,
    ) -> anyhow::Result<Weights> {
        let usual = TrainOptions::for_task(TaskName::Classification);
        let options = match made {
            Made::Control => TrainOptions {
                epochs: CONTROL_EPOCHS,
                augmentation: Augmentation::default(),
                ..usual
            },
            _ => TrainOptions { epochs: EPOCHS, ..usual },
        };
        let options = TrainOptions { seed: at.seed(self.seed), ..options };
        Ok(Training { task: &self.task, start, samples, options: &options }.run(&mut |_| ())?)
    }

    fn privately(
        &self,
        start: &Weights,
        samples: &[Sample],
        private: &PrivateOptions,
        at: Place,
    ) -> anyhow::Result<Weights> {
        let options = TrainOptions {
            learning_rate: PRIVATE_RATE,
            optimizer: Optimizer::Sgd { momentum: PRIVATE_MOMENTUM },
            ..TrainOptions::for_task(TaskName::Classification)
        };
        let seed = at.seed(self.seed);
        let secret = NoiseSeed::from_bytes(ChaCha20Rng::seed_from_u64(seed).random());
        let training = PrivateTraining {
            task: &self.task,
            start,
            samples,
            options: &options,
            private,
            seed: &secret,
            of: "membership",
        };
        Ok(training.run(&mut |_| ())?)
    }
}

/// A site's training in a round towards a model.
#[derive(Clone, Copy)]
struct Place {
    number: usize,
    site: usize,
    round: usize,
}

impl Place {
    fn seed(self, seed: u64) -> u64 {
        let Self { number, site, round } = self;
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        rng.set_stream(((number as u64) << 40) | ((site as u64) << 20) | round as u64);
        rng.random()
    }
}

/// Private training with the least noise at which all rounds keep to epsilon.
fn noised(epsilon: f64, images: usize) -> anyhow::Result<PrivateOptions> {
    let policy = RecordLevel {
        unit: PrivacyUnit::Record,
        clip: PRIVATE_CLIP,
        noise_multiplier: 1.0,
        rate: PRIVATE_SHARE,
        steps: PRIVATE_STEPS,
        // About half of a site's images take part in a model's training.
        normaliser: PRIVATE_SHARE * images as f32 / 2.0,
        delta: DELTA as f32,
        epsilon: epsilon as f32,
    };
    let noise_multiplier = least_noise(&policy, ROUNDS as u32)?;
    Ok(private_options(&RecordLevel { noise_multiplier, ..policy }))
}

/// `ln(p / (1 - p))` of a class by the logits, and whether it is the most probable one.
fn confidence(logits: &[f32], own: usize) -> (f64, bool) {
    let at = |class: usize| f64::from(logits.get(class).copied().unwrap_or(0.0));
    let others = || (0..logits.len()).filter(move |class| *class != own).map(at);
    let most = others().fold(f64::NEG_INFINITY, f64::max);
    let rest = most + others().map(|logit| (logit - most).exp()).sum::<f64>().ln();
    let found = at(own) - rest;
    // A model of noise may overflow.
    let found = if found.is_finite() { found.clamp(-SURE, SURE) } else { 0.0 };
    (found, at(own) > most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_is_the_logarithm_of_the_odds() {
        // Logits 1, 2, 3: the second has e / (1 + e + e^2).
        let (e, logits) = (std::f64::consts::E, [1.0, 2.0, 3.0]);
        let (found, right) = confidence(&logits, 1);
        assert!((found - (e / (1.0 + e * e)).ln()).abs() < 1e-6 && !right, "{found}");
        assert!(confidence(&logits, 2).1);
        assert_eq!(confidence(&[f32::NAN, 1.0], 0).0, 0.0);
        assert_eq!(confidence(&[1e9, 1.0], 0), (SURE, true));
    }

    #[test]
    fn the_noise_keeps_to_its_epsilon() {
        let of = |epsilon| noised(epsilon, 80).unwrap().noise_multiplier;
        assert!(of(1.0) > of(10.0) && of(10.0) > 0.3, "{} {}", of(1.0), of(10.0));
    }
}
