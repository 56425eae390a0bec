//! One training under audit, by the shipped trainer or a faulty one, and what an adversary sees of
//! it.

use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use ringfence_learning::private::{NoiseSeed, PrivacyUnit, PrivateOptions, PrivateTraining};
use ringfence_learning::{Algorithm, Augmentation, Optimizer, Sample, Task, TrainOptions, predict};
use ringfence_weights::Weights;

use super::canaries::Canaries;
use super::faulty::{Fault, FaultyTrainer};

/// How far one step moves a coordinate of the crafted weights, in units of the clip: so little that
/// gradients stay what they are, and far more than a 32-bit number rounds away.
const SMALL: f64 = 1e-4;

/// A training to be audited.
pub(super) struct Audited<'a> {
    pub(super) canaries: &'a Canaries,
    /// Which of them take part.
    pub(super) present: &'a [bool],
    /// What is declared, and accounted for.
    pub(super) declared: &'a PrivateOptions,
    /// The fault of the trainer; none of the shipped one.
    pub(super) fault: Option<Fault>,
    pub(super) seed: u64,
}

impl Audited<'_> {
    /// What each step added to the sum of gradients, noise and all, in units of the clip: seen in
    /// the weights before and after it, as whoever takes part in a federation sees those of each
    /// round.
    ///
    /// # Errors
    /// Those of training.
    pub(super) fn releases(&self) -> anyhow::Result<Vec<Weights>> {
        let mut releases = Vec::new();
        let mut before = self.canaries.start.clone();
        let mut trainer = Trainer::new(self);
        for step in 0..self.declared.steps {
            let after = trainer.step(&before, step)?;
            let release = before.values().zip(after.values());
            let release = release.map(|(from, to)| (from - to) / SMALL as f32);
            releases.push(Weights::from_values(&before.shapes(), release.collect())?);
            before = after;
        }
        Ok(releases)
    }

    /// How much each canary's loss has fallen from the first weights to the last ones, of one
    /// training in one go.
    ///
    /// # Errors
    /// Those of training.
    pub(super) fn fallen(&self) -> anyhow::Result<Vec<f64>> {
        let Canaries { start, units, .. } = self.canaries;
        let last = Trainer::new(self).all(start)?;
        let firsts: Vec<Sample> = units.iter().filter_map(|unit| unit.first().cloned()).collect();
        let before = losses(self.canaries, start, &firsts)?;
        let after = losses(self.canaries, &last, &firsts)?;
        Ok(before.iter().zip(&after).map(|(before, after)| before - after).collect())
    }

    /// The images that take part.
    fn units(&self) -> Vec<Vec<Sample>> {
        let present = self.canaries.units.iter().zip(self.present);
        present.filter(|(_, present)| **present).map(|(unit, _)| unit.clone()).collect()
    }
}

/// Cross-entropy of each sample.
fn losses(canaries: &Canaries, weights: &Weights, samples: &[Sample]) -> anyhow::Result<Vec<f64>> {
    let logits = predict(&canaries.task, weights, samples)?;
    let loss = |(logits, sample): (&Vec<f32>, &Sample)| {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|logit| f64::from(logit - most).exp()).sum();
        let own = sample.label.and_then(|label| logits.get(label as usize)).copied();
        sum.ln() - f64::from(own.unwrap_or_default() - most)
    };
    Ok(logits.iter().zip(samples).map(loss).collect())
}

/// Who trains.
enum Trainer<'a> {
    Shipped(Box<Shipped<'a>>),
    Faulty(Box<FaultyTrainer<'a>>),
}

/// The shipped trainer, and what it is told.
struct Shipped<'a> {
    task: &'a dyn Task,
    samples: Vec<Sample>,
    options: TrainOptions,
    private: PrivateOptions,
    seed: NoiseSeed,
}

impl<'a> Trainer<'a> {
    fn new(audited: &Audited<'a>) -> Self {
        let Audited { canaries, declared, fault, seed, .. } = *audited;
        let (task, units, mut private) = (&canaries.task, audited.units(), *declared);
        let learning_rate = SMALL * private.normaliser / private.clip;
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut samples: Vec<Sample> = units.iter().flatten().cloned().collect();
        match fault {
            Some(Fault::BatchClipping | Fault::Shuffling | Fault::SampledNormaliser) => {
                let dealt = Vec::new();
                let trainer =
                    FaultyTrainer { task, units, private, learning_rate, fault, rng, dealt };
                return Self::Faulty(Box::new(trainer));
            }
            Some(Fault::WeakNoise) => private.noise_multiplier *= 0.8,
            Some(Fault::ImagesForPatients) => {
                private.unit = PrivacyUnit::Record;
                samples.iter_mut().for_each(|sample| sample.group.clone_from(&sample.name));
            }
            None => {}
        }
        let options = TrainOptions {
            algorithm: Algorithm::FedAvg,
            epochs: 1,
            batch: 1,
            learning_rate,
            optimizer: Optimizer::Sgd { momentum: 0.0 },
            augmentation: Augmentation::default(),
            seed: 1,
        };
        let seed = NoiseSeed::from_bytes(rng.random());
        Self::Shipped(Box::new(Shipped { task, samples, options, private, seed }))
    }

    /// The weights after one step, the `number`-th from 0: of the shipped trainer, a round of one.
    fn step(&mut self, weights: &Weights, number: u32) -> anyhow::Result<Weights> {
        match self {
            Self::Faulty(trainer) => trainer.step(weights),
            Self::Shipped(trainer) => trainer.run(weights, 1, &format!("round {number}")),
        }
    }

    /// The weights after all steps.
    fn all(&mut self, weights: &Weights) -> anyhow::Result<Weights> {
        match self {
            Self::Shipped(trainer) => trainer.run(weights, trainer.private.steps, "training"),
            Self::Faulty(trainer) => {
                let steps = 0..trainer.private.steps;
                steps.into_iter().try_fold(weights.clone(), |weights, _| trainer.step(&weights))
            }
        }
    }
}

impl Shipped<'_> {
    fn run(&self, start: &Weights, steps: u32, of: &str) -> anyhow::Result<Weights> {
        let Self { task, samples, options, private, seed } = self;
        let private = &PrivateOptions { steps, ..*private };
        let training = PrivateTraining { task: *task, start, samples, options, private, seed, of };
        Ok(training.run(&mut |_| {})?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(noise_multiplier: f64, rate: f64) -> PrivateOptions {
        let unit = PrivacyUnit::Record;
        PrivateOptions { unit, clip: 2.0, noise_multiplier, rate, steps: 2, normaliser: 50.0 }
    }

    fn releases(declared: &PrivateOptions) -> Vec<Weights> {
        let canaries = &Canaries::new(2, 1).unwrap();
        let present: Vec<bool> = (0..126).map(|canary| canary % 3 == 0).collect();
        Audited { canaries, present: &present, declared, fault: None, seed: 5 }.releases().unwrap()
    }

    /// The same of the faulty trainer, without a fault.
    fn faultless(declared: &PrivateOptions) -> Vec<Weights> {
        let canaries = Canaries::new(2, 1).unwrap();
        let mut trainer = FaultyTrainer {
            task: &canaries.task,
            units: canaries.units.iter().step_by(3).cloned().collect(),
            private: *declared,
            learning_rate: SMALL * declared.normaliser / declared.clip,
            fault: None,
            rng: ChaCha20Rng::seed_from_u64(9),
            dealt: Vec::new(),
        };
        let mut before = canaries.start;
        let steps = (0..declared.steps).map(|_| {
            let after = trainer.step(&before).unwrap();
            let moved = before.values().zip(after.values());
            let moved = moved.map(|(from, to)| (from - to) / SMALL as f32).collect();
            let release = Weights::from_values(&after.shapes(), moved).unwrap();
            before = after;
            release
        });
        steps.collect()
    }

    #[test]
    fn a_release_holds_one_clip_for_each_canary_that_is_there() {
        let canaries = Canaries::new(2, 1).unwrap();
        for release in releases(&options(1e-6, 1.0)) {
            for (canary, value) in canaries.coordinates(&release).unwrap().iter().enumerate() {
                let expected = if canary % 3 == 0 { 0.99 } else { 0.0 };
                assert!((value - expected).abs() < 0.01, "{canary}: {value}");
            }
        }
    }

    #[test]
    fn without_a_fault_and_noise_the_faulty_trainer_makes_the_shipped_ones_numbers() {
        let near = options(1e-6, 1.0);
        for (shipped, other) in releases(&near).iter().zip(faultless(&near)) {
            for (place, (one, other)) in shipped.values().zip(other.values()).enumerate() {
                // The first value of all is a bias of 10, of which a step is a hundred roundings.
                let rounding = if place == 0 { 0.03 } else { 2e-3 };
                assert!((one - other).abs() < rounding, "{place}: {one}, {other}");
            }
        }
    }

    #[test]
    fn with_noise_and_samples_it_makes_them_in_distribution() {
        let canaries = Canaries::new(2, 1).unwrap();
        // Of 40 steps: the noise's deviation over the declared one, and how often a canary that is
        // there took part.
        let seen = |noise: f64, releases: &[Weights]| {
            let noises = releases.iter().flat_map(|release| canaries.untouched(release).unwrap());
            let squares: Vec<f64> = noises.map(|value| (value / noise).powi(2)).collect();
            let deviation = (squares.iter().sum::<f64>() / squares.len() as f64).sqrt();
            let shown = releases.iter().map(|release| canaries.coordinates(release).unwrap());
            let shown: Vec<f64> = shown.flat_map(|all| all.into_iter().step_by(3)).collect();
            (deviation, shown.iter().filter(|value| **value > 0.5).count() as f64)
        };
        let declared = PrivateOptions { steps: 40, ..options(0.1, 0.25) };
        for releases in [releases(&declared), faultless(&declared)] {
            let (deviation, took_part) = seen(0.1, &releases);
            // Four standard errors: of 158,800 numbers of noise `4 / sqrt(2 * 158,800) = 0.007`, of
            // 1,680 coins of 1/4 `4 * sqrt(315) = 71`.
            assert!((deviation - 1.0).abs() < 0.007, "{deviation}");
            assert!((took_part - 420.0).abs() < 71.0, "{took_part}");
        }
    }
}
