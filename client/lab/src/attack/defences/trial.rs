//! One attack on one image, and one training, under a defence.

use std::time::Instant;

use anyhow::{Context, ensure};
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use rand::seq::SliceRandom;
use ringfence_learning::shadow::{DefendedRound, Shadow};
use ringfence_learning::{
    Classification, Dataset, Sample, Task, TaskName, TrainOptions, evaluate, model_input,
};
use ringfence_weights::Weights;
use serde::{Deserialize, Serialize};

use super::kinds::Kind;
use crate::attack::adam::Adam;
use crate::attack::denoise::{self, Denoiser};
use crate::attack::job::Attacker;
use crate::attack::observe::{Round, Seen, Site};
use crate::attack::score::ImageScore;
use crate::attack::shadow::{At, defended};
use crate::attack::terms::Stage;

/// An attack on one image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Attacked {
    pub(super) image: String,
    /// Of an attacker who does not know of noise on images.
    pub(super) plain: ImageScore,
    /// Of one who knows how it is made; where there is none, the same.
    pub(super) aware: ImageScore,
    /// Of whoever has the image as it was trained on, noise and all: of no attack, and above most.
    pub(super) trained_on: ImageScore,
    pub(super) guess: ImageScore,
}

/// An attack under a defence, ready.
pub(super) struct Trial<'a> {
    pub(super) attacker: &'a Attacker<'a>,
    pub(super) kind: Kind,
    /// The round whose noise the attacked images have.
    pub(super) at: At,
}

impl Trial<'_> {
    /// What an attacker who knows of noise on images learns of it; `None` where there is none.
    ///
    /// # Errors
    /// Those of the defence.
    pub(super) fn denoiser(&self) -> anyhow::Result<Option<Denoiser>> {
        if !matches!(self.kind, Kind::Shadow | Kind::Gaussian(_)) {
            return Ok(None);
        }
        let material = self.attacker.material;
        let known = &material.public_samples;
        let known = known.get(..denoise::IMAGES.min(known.len())).unwrap_or(known);
        Denoiser::fit(known, &self.images(known, 0)?, &material.public).map(Some)
    }

    /// Attacks the gradient of one image at the victim's weights.
    ///
    /// # Errors
    /// Those of the defence and the attack.
    pub(super) fn attack(
        &self,
        image: usize,
        denoiser: Option<&Denoiser>,
    ) -> anyhow::Result<Attacked> {
        let Self { attacker, kind, .. } = *self;
        let (victim, material) = (&attacker.victim, attacker.material);
        let target = material.targets.get(image).context("no such image")?;
        let seed = attacker.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(image as u64);
        let samples = self.images(std::slice::from_ref(&target.sample), seed)?;
        let (task, weights) = (victim.task.as_ref(), &victim.weights);
        let mut rng = Kind::generator(seed, 1);
        let values = kind.gradient((task, weights), &samples, &mut rng)?;
        let seen = Seen { values, noise: kind.noise() };
        let sites = [Site { samples: samples.clone(), weights: weights.clone() }];
        let round = Round { task, sites: &sites, seed };
        let answer = attacker.answer(Stage::Plain, &round, &seen, target)?;
        let score = |input: &[f32]| ImageScore::of(&target.grey(input), &target.sample.image);
        let plain = score(answer.nearest(&target.input, &material.public));
        let aware = denoiser.map(|denoiser| denoiser.aware(answer, false, &material.public));
        let aware = aware.map(|answer| score(answer.nearest(&target.input, &material.public)));
        let trained_on = samples.first().context("no image")?;
        Ok(Attacked {
            image: target.sample.name.clone(),
            plain,
            aware: aware.unwrap_or(plain),
            trained_on: score(&model_input(trained_on)?),
            guess: score(&material.public.mean),
        })
    }

    /// Images as the defence has them trained on.
    fn images(&self, samples: &[Sample], seed: u64) -> anyhow::Result<Vec<Sample>> {
        let Self { attacker, kind, at } = *self;
        if kind == Kind::Shadow {
            return defended(&attacker.victim, attacker.material, samples, at);
        }
        let numbered = samples.iter().enumerate();
        Ok(numbered.map(|(place, one)| kind.noised(one, at, seed ^ (place as u64 + 1))).collect())
    }
}

/// A training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Trained {
    /// Macro-F1 on all sites' test images, of the round that does best on all validation images.
    pub(super) f1: f64,
    /// That round; 0 is before the first.
    pub(super) chosen: u32,
    /// Macro-F1 on all validation images after each round.
    pub(super) validation: Vec<f64>,
    pub(super) seconds: f64,
}

/// Seconds that the shadow defence takes an image, on one thread of the machine as it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cost {
    /// Images that were timed.
    pub(super) images: usize,
    /// In the first round.
    pub(super) first: f64,
    /// In each other round of the first fifth.
    pub(super) matched: f64,
    /// In each later one.
    pub(super) later: f64,
}

/// Images by which the cost is timed.
const TIMED: usize = 16;

/// A federation of the data's sites that trains the light CNN by FedAvg: each round every site descends
/// from the common model by Adam, as the shipped trainer does, and the mean of the models, weighted
/// by their images, is the next one.
pub(super) struct Training<'a> {
    dataset: &'a Dataset,
    task: Classification,
    rounds: u32,
    epochs: usize,
    validation: Vec<Sample>,
    test: Vec<Sample>,
}

impl<'a> Training<'a> {
    /// # Errors
    /// When the data have no classes or no validation images.
    pub(super) fn new(dataset: &'a Dataset, rounds: u32, epochs: usize) -> anyhow::Result<Self> {
        let task = Classification::light(dataset.side, &dataset.classes)?;
        task.check(dataset)?;
        let all = |of: fn(&ringfence_learning::SiteData) -> &Vec<Sample>| -> Vec<Sample> {
            dataset.sites.iter().flat_map(of).cloned().collect()
        };
        let (validation, test) = (all(|site| &site.validation), all(|site| &site.test));
        ensure!(
            !validation.is_empty(),
            "expected validation images, by which a round is chosen; the data have none"
        );
        Ok(Self { dataset, task, rounds, epochs, validation, test })
    }

    /// Trains with a defence.
    ///
    /// # Errors
    /// Those of training and the defence.
    pub(super) fn run(&self, kind: Kind, seed: u64) -> anyhow::Result<Trained> {
        let started = Instant::now();
        let mut common = self.task.initial_weights(seed)?;
        let mut shadows = vec![Shadow::new(); self.dataset.sites.len()];
        let mut validation = vec![self.score(&common, &self.validation)?];
        let mut best = (validation.first().copied().unwrap_or_default(), 0, common.clone());
        for round in 0..self.rounds {
            let (mut sum, mut images) = (vec![0.0_f64; common.len()], 0.0);
            for (place, shadow) in shadows.iter_mut().enumerate() {
                let samples = self.samples((kind, shadow), (place, round, seed), &common)?;
                let trained = self.site(kind, &samples, (place, round, seed), &common)?;
                let count = samples.len() as f64;
                images += count;
                sum.iter_mut().zip(trained).for_each(|(sum, w)| *sum += count * f64::from(w));
            }
            let mean = sum.into_iter().map(|value| (value / images) as f32).collect();
            common = Weights::from_values(&common.shapes(), mean)?;
            common.check_finite()?;
            let score = self.score(&common, &self.validation)?;
            validation.push(score);
            if score > best.0 {
                best = (score, round + 1, common.clone());
            }
        }
        let (_, chosen, model) = best;
        let f1 = self.score(&model, &self.test)?;
        Ok(Trained { f1, chosen, validation, seconds: started.elapsed().as_secs_f64() })
    }

    /// What the shadow defence costs, on one thread.
    ///
    /// # Errors
    /// Those of the defence.
    pub(super) fn cost(&self) -> anyhow::Result<Cost> {
        let site = self.dataset.sites.first().context("no site")?;
        let samples = site.train.get(..TIMED.min(site.train.len())).unwrap_or_default();
        let (task, start, seed) = (&self.task, self.task.initial_weights(1)?, 1);
        let mut shadow = Shadow::new();
        let mut took = |round: u32| -> anyhow::Result<f64> {
            let started = Instant::now();
            let (start, rounds) = (&start, 10);
            shadow.defended(&DefendedRound { task, start, samples, round, rounds, seed })?;
            Ok(started.elapsed().as_secs_f64() / samples.len().max(1) as f64)
        };
        let (images, first, matched, later) = (samples.len(), took(0)?, took(1)?, took(5)?);
        Ok(Cost { images, first, matched, later })
    }

    /// A site's images in a round.
    fn samples(
        &self,
        (kind, shadow): (Kind, &mut Shadow),
        (place, round, seed): (usize, u32, u64),
        start: &Weights,
    ) -> anyhow::Result<Vec<Sample>> {
        let site = self.dataset.sites.get(place).context("no such site")?;
        let (samples, rounds) = (site.train.as_slice(), self.rounds);
        if kind == Kind::Shadow {
            let task = &self.task;
            let at = DefendedRound { task, start, samples, round, rounds, seed };
            return Ok(shadow.defended(&at)?);
        }
        let own = |number: usize| {
            let place = ((place as u64) << 40) | (u64::from(round) << 20) | number as u64;
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(place)
        };
        let numbered = samples.iter().enumerate();
        Ok(numbered.map(|(number, one)| kind.noised(one, (round, rounds), own(number))).collect())
    }

    /// The weights of a site after a round.
    fn site(
        &self,
        kind: Kind,
        samples: &[Sample],
        (place, round, seed): (usize, u32, u64),
        start: &Weights,
    ) -> anyhow::Result<Vec<f32>> {
        let usual = TrainOptions::for_task(TaskName::Classification);
        let options = usual.at_round(round as usize, self.rounds as usize);
        let shapes = start.shapes();
        let mut place_of: Vec<f32> = start.values().collect();
        let mut adam = Adam::new(place_of.len());
        let stream = ((place as u64) << 32) | u64::from(round);
        let mut noise = Kind::generator(seed, stream);
        let mut order_rng = ChaCha20Rng::seed_from_u64(seed);
        order_rng.set_stream(stream);
        for _ in 0..self.epochs {
            let mut order: Vec<&Sample> = samples.iter().collect();
            order.shuffle(&mut order_rng);
            for batch in order.chunks(options.batch) {
                let batch: Vec<Sample> = batch.iter().copied().cloned().collect();
                let weights = Weights::from_values(&shapes, place_of.clone())?;
                let gradient = kind.gradient((&self.task, &weights), &batch, &mut noise)?;
                let slopes = gradient.into_iter().map(f64::from);
                adam.step(options.learning_rate, slopes, &mut place_of);
            }
        }
        Ok(place_of)
    }

    fn score(&self, weights: &Weights, samples: &[Sample]) -> anyhow::Result<f64> {
        let scores = evaluate(&self.task, weights, samples)?;
        scores.get("macro-F1").context("expected images of more than one class to score on")
    }
}
