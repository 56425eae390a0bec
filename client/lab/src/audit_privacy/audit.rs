//! One audit: what is declared, the canaries it is tried with, and the bound that a training gives.

use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use ringfence_learning::private::{PrivacyUnit, PrivateOptions};

use super::canaries::{Canaries, WAVES};
use super::family::Family;
use super::faulty::Fault;
use super::guesses::Guesses;
use super::one_run;
use super::statistics::quantile;
use super::training::Audited;

/// What the adversary sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The weights after every step, and first weights of his choice.
    White,
    /// The losses of the last weights.
    Black,
}

/// What is audited, and on how many canaries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) view: View,
    /// Trainings that are audited together, each with canaries of its own.
    pub(super) trainings: usize,
    /// Classes of a training's canaries, of which it has 63 times as many.
    pub(super) classes: usize,
    /// Images of a unit: a patient where there are several.
    pub(super) images: usize,
    pub(super) noise_multiplier: f64,
    pub(super) rate: f64,
    pub(super) steps: u32,
}

/// The delta at which epsilon is reported and bounded: below one over the number of canaries.
pub(super) const DELTA: f64 = 1e-5;
/// Ideal attacks by which a bound, a power and the number of guesses are computed beforehand.
const REHEARSALS: usize = 200;
/// Guesses, in shares of the canaries, among which rehearsals choose.
const SHARES: [f64; 6] = [0.03, 0.06, 0.125, 0.1875, 0.25, 0.5];

impl Setting {
    /// Canaries of a training, each of which is one unit.
    pub(super) fn canaries(&self) -> usize {
        self.classes * WAVES
    }

    /// What is declared.
    pub(super) fn options(&self) -> PrivateOptions {
        let unit = match self.images {
            1 => PrivacyUnit::Record,
            images => PrivacyUnit::Patient { records_per_step: images },
        };
        PrivateOptions {
            unit,
            clip: 1.0,
            noise_multiplier: self.noise_multiplier,
            rate: self.rate,
            steps: self.steps,
            normaliser: self.rate * self.canaries() as f64 / 2.0,
        }
    }

    /// The declared unit's name.
    pub(super) fn unit(&self) -> &'static str {
        if self.images == 1 { "image" } else { "patient" }
    }

    /// Guesses, so many in all. Half of them say "out", unless units are sampled: who was may show
    /// it, and who was not hardly differs from who is not there.
    fn guesses(&self, scores: &[f64], present: &[bool], made: usize) -> Guesses {
        let out = if self.rate < 1.0 { 0 } else { made / 2 };
        Guesses::of(scores, present, (made, out))
    }

    /// Scores of an ideal attack on the ideal mechanism: one number a step and canary, with the
    /// declared noise, which a canary that takes part shifts by `shift` clips.
    fn rehearsed(&self, shift: f64, rng: &mut ChaCha20Rng) -> (Vec<f64>, Vec<bool>) {
        let canaries = 0..self.trainings * self.canaries();
        let present: Vec<bool> = canaries.map(|_| rng.random_bool(0.5)).collect();
        let score = |present: &bool| {
            let step = |_| {
                let noise: f64 = StandardNormal.sample(rng);
                let there = *present && rng.random_bool(self.rate);
                self.evidence(f64::from(u8::from(there)) * shift + self.noise_multiplier * noise)
            };
            (0..self.steps).map(step).sum()
        };
        (present.iter().map(score).collect(), present)
    }

    /// The likelihood ratio's logarithm, up to a constant factor, of a canary being in the data
    /// when a step shows so much of it (Neyman and Pearson: no guess is better).
    fn evidence(&self, shown: f64) -> f64 {
        if self.rate >= 1.0 {
            return shown;
        }
        let ratio = ((shown - 0.5) / self.noise_multiplier.powi(2)).exp();
        (1.0 - self.rate + self.rate * ratio).ln()
    }
}

/// An audit, ready to run.
pub(super) struct Audit {
    pub(super) setting: Setting,
    pub(super) family: Family,
    confidence: f64,
    canaries: Canaries,
    /// Guesses for the bound by the whole curve, and by one epsilon and delta.
    made: (usize, usize),
}

/// What one training showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// Lower bound on epsilon, by the whole curve.
    pub(super) bound: f64,
    /// By one epsilon and delta alone.
    pub(super) one_run: f64,
}

impl Audit {
    /// Chooses the number of guesses by rehearsal.
    ///
    /// # Errors
    /// Options that the accountant refuses.
    pub(super) fn new(setting: Setting, confidence: f64) -> anyhow::Result<Self> {
        let declared = setting.options();
        let family = Family::of(&declared, DELTA)?;
        let canaries = Canaries::new(setting.classes, setting.images)?;
        let mut audit = Self { setting, family, confidence, canaries, made: (0, 0) };
        let mut best = (0.0, 0.0);
        let mut rng = ChaCha20Rng::seed_from_u64(0);
        let rehearsals: Vec<_> =
            (0..REHEARSALS / 4).map(|_| setting.rehearsed(1.0, &mut rng)).collect();
        for share in SHARES {
            let canaries = setting.trainings * setting.canaries();
            let made = (share * canaries as f64 / 2.0).round() as usize * 2;
            let outcomes = rehearsals.iter().map(|(scores, present)| {
                let guesses = setting.guesses(scores, present, made);
                (audit.bound(&guesses), one_run::lower_bound(&guesses, DELTA, confidence))
            });
            let (bounds, one_run): (Vec<f64>, Vec<f64>) = outcomes.unzip();
            let found = (quantile(&bounds, 0.5), quantile(&one_run, 0.5));
            if found.0 > best.0 {
                (best.0, audit.made.0) = (found.0, made);
            }
            if found.1 > best.1 {
                (best.1, audit.made.1) = (found.1, made);
            }
        }
        Ok(audit)
    }

    /// Bounds that ideal attacks give where each canary shifts the sum by so many clips.
    pub(super) fn rehearse(&self, shift: f64) -> Vec<Outcome> {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let rehearsals = (0..REHEARSALS).map(|_| {
            let (scores, present) = self.setting.rehearsed(shift, &mut rng);
            self.outcome(&scores, &present)
        });
        rehearsals.collect()
    }

    /// Trains and bounds epsilon. The noise is the declared one, unless another is given.
    ///
    /// # Errors
    /// Those of training.
    pub(super) fn run(
        &self,
        seed: u64,
        fault: Option<Fault>,
        noise: Option<f64>,
    ) -> anyhow::Result<Outcome> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut declared = self.setting.options();
        declared.noise_multiplier = noise.unwrap_or(declared.noise_multiplier);
        let (mut scores, mut all) = (Vec::new(), Vec::new());
        for _ in 0..self.setting.trainings {
            let canaries = 0..self.setting.canaries();
            let present: Vec<bool> = canaries.map(|_| rng.random_bool(0.5)).collect();
            let (canaries, seed) = (&self.canaries, rng.random());
            let audited = Audited { canaries, present: &present, declared: &declared, fault, seed };
            scores.extend(self.scores(&audited)?);
            all.extend(present);
        }
        Ok(self.outcome(&scores, &all))
    }

    /// How much speaks for each canary of one training.
    fn scores(&self, audited: &Audited<'_>) -> anyhow::Result<Vec<f64>> {
        if self.setting.view == View::Black {
            return audited.fallen();
        }
        let mut scores = vec![0.0; audited.present.len()];
        for release in audited.releases()? {
            let shown = self.canaries.coordinates(&release)?;
            let evidence = shown.into_iter().map(|shown| self.setting.evidence(shown));
            scores.iter_mut().zip(evidence).for_each(|(score, one)| *score += one);
        }
        Ok(scores)
    }

    fn outcome(&self, scores: &[f64], present: &[bool]) -> Outcome {
        let of = |made| self.setting.guesses(scores, present, made);
        Outcome {
            bound: self.bound(&of(self.made.0)),
            one_run: one_run::lower_bound(&of(self.made.1), DELTA, self.confidence),
        }
    }

    fn bound(&self, guesses: &Guesses) -> f64 {
        self.family.lower_bound(guesses, self.confidence)
    }
}
