//! One attack on one image at one stage.

use std::sync::OnceLock;
use std::time::Instant;

use anyhow::Context;
use ringfence_learning::{Sample, predict};
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::denoise::{self, Denoiser};
use super::imprint::Craft;
use super::inverting::{Inversion, Made};
use super::labels;
use super::leakage;
use super::lenet::Lenet;
use super::linear;
use super::material::Material;
use super::observe::{Round, Seen, Site};
use super::score::ImageScore;
use super::shadow;
use super::terms::{AttackName, Stage, Target};
use super::victim::Victim;

/// Images at a site whose model is crafted, and whose labels are inferred.
const CRAFTED_IMAGES: usize = 4;
const LABELLED_IMAGES: usize = 8;
/// Sites of a study in which each has bins of its own, at least.
const FEWEST_BLOCKS: usize = 3;

/// A line of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) attack: AttackName,
    pub(super) stage: String,
    /// The image's name.
    pub(super) image: String,
    pub(super) mse: f64,
    pub(super) psnr: f64,
    pub(super) ssim: f64,
    pub(super) mse_guess: f64,
    pub(super) psnr_guess: f64,
    pub(super) ssim_guess: f64,
    /// A perceptual distance: see [`ImageScore::gmsd`].
    pub(super) gmsd: f64,
    pub(super) gmsd_guess: f64,
    /// Whether the attacker believes that he has found something; otherwise his answer is the guess.
    pub(super) found: bool,
    /// Where the image had the shadow defence's noise: the score of an attacker who does not know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unaware: Option<ImageScore>,
    pub(super) seconds: f64,
}

/// A line of the report on labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LabelRow {
    pub(super) stage: String,
    /// One of the images.
    pub(super) image: String,
    /// How many there are.
    pub(super) images: usize,
    /// How many of them are counted right.
    pub(super) right: usize,
    /// The same of whoever takes the classes to be as frequent as among other images.
    pub(super) right_guess: usize,
}

/// What comes of a job.
pub(super) enum Outcome {
    /// A line, and the picture that was made.
    Image(Row, Vec<f32>),
    Labels(LabelRow),
}

/// An attack on its model, ready.
pub(super) struct Attacker<'a> {
    pub(super) attack: AttackName,
    pub(super) victim: Victim,
    pub(super) material: &'a Material,
    pub(super) seed: u64,
    /// Steps of Inverting Gradients.
    pub(super) steps: usize,
    /// The likeness that Inverting Gradients reaches on random numbers.
    pub(super) by_chance: f64,
    /// What an attacker makes of the shadow defence's noise, once he needs it.
    denoiser: OnceLock<Result<Denoiser, String>>,
    /// Stages at which it does worse than guessing, as the attacker knows by rehearsals.
    pub(super) given_up: Vec<Stage>,
}

impl<'a> Attacker<'a> {
    /// # Errors
    /// When the attack cannot be used on the model.
    pub(super) fn new(
        attack: AttackName,
        victim: Victim,
        material: &'a Material,
        (seed, steps): (u64, usize),
    ) -> anyhow::Result<Self> {
        let (given_up, denoiser) = (Vec::new(), OnceLock::new());
        let mut attacker =
            Self { attack, victim, material, seed, steps, by_chance: 0.0, given_up, denoiser };
        if let (AttackName::Dlg | AttackName::Idlg, weights) = (attack, &attacker.victim.weights) {
            Lenet::new(weights, material.side)?;
        }
        if matches!(attack, AttackName::Inverting | AttackName::InvertingSegmentation) {
            let target = material.targets.first().context("no image is attacked")?;
            attacker.by_chance =
                attacker.inversion(target, &[&target.sample], Made::OneStep, seed).by_chance()?;
        }
        Ok(attacker)
    }

    /// The same attacker before these images, who gives up at these stages.
    pub(super) fn before(self, material: &Material, given_up: Vec<Stage>) -> Attacker<'_> {
        let Attacker { attack, victim, seed, steps, by_chance, .. } = self;
        let denoiser = OnceLock::new();
        Attacker { attack, victim, material, seed, steps, by_chance, given_up, denoiser }
    }

    /// Attacks one image at a stage.
    ///
    /// # Errors
    /// Those of training, encryption and the attack.
    pub(super) fn run(&self, stage: Stage, number: usize) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        let target = self.material.targets.get(number).context("no such image")?;
        let (sites, seen, seed) = self.sight(stage, number)?;
        let round = Round { task: self.victim.task.as_ref(), sites: &sites, seed };
        if self.attack == AttackName::Labels {
            return Ok(Outcome::Labels(self.count_labels(stage, &sites, &seen, target)?));
        }
        let mut answer = self.answer(stage, &round, &seen, target)?;
        if self.given_up.contains(&stage) {
            answer.images.clear();
        }
        if stage.is_defended() {
            return self.scored_defended(stage, target, (answer, &seen), started);
        }
        Ok(self.scored(stage, target, &answer, started))
    }

    /// The score of an attacker who knows the defence, beside that of one who does not.
    fn scored_defended(
        &self,
        stage: Stage,
        target: &Target,
        (answer, seen): (Answer, &Seen),
        started: Instant,
    ) -> anyhow::Result<Outcome> {
        let public = &self.material.public;
        let unaware = target.grey(answer.nearest(&target.input, public));
        let unaware = ImageScore::of(&unaware, &target.sample.image);
        let denoiser = self.denoiser()?;
        let answer = denoiser.aware(answer, seen.noise > 0.0, public);
        let mut outcome = self.scored(stage, target, &answer, started);
        if let Outcome::Image(row, _) = &mut outcome {
            row.unaware = Some(unaware);
        }
        Ok(outcome)
    }

    fn denoiser(&self) -> anyhow::Result<&Denoiser> {
        let fitted = self.denoiser.get_or_init(|| {
            let samples = &self.material.public_samples;
            let samples = samples.get(..denoise::IMAGES.min(samples.len())).unwrap_or(samples);
            let defended = shadow::defended(&self.victim, self.material, samples, shadow::FIRST);
            let fit =
                defended.and_then(|noisy| Denoiser::fit(samples, &noisy, &self.material.public));
            fit.map_err(|error| format!("{error:#}"))
        });
        fitted.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// The answer to a plain gradient of an image alone: what positive controls look at.
    ///
    /// # Errors
    /// As [`Attacker::run`].
    pub(super) fn control(&self, target: &Target) -> anyhow::Result<Vec<f32>> {
        let sites = self.sites(Stage::Plain, target, self.seed)?;
        let round = Round { task: self.victim.task.as_ref(), sites: &sites, seed: self.seed };
        let seen = round.see(Stage::Plain)?;
        let answer = self.answer(Stage::Plain, &round, &seen, target)?;
        Ok(target.grey(answer.nearest(&target.input, &self.material.public)))
    }

    /// A round with an image, what is seen of it at a stage, and its seed.
    ///
    /// # Errors
    /// Those of training and encryption.
    pub(super) fn sight(
        &self,
        stage: Stage,
        number: usize,
    ) -> anyhow::Result<(Vec<Site>, Seen, u64)> {
        let target = self.material.targets.get(number).context("no such image")?;
        let seed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number as u64);
        let sites = self.sites(stage, target, seed)?;
        let seen = Round { task: self.victim.task.as_ref(), sites: &sites, seed }.see(stage)?;
        Ok((sites, seen, seed))
    }

    fn sites(&self, stage: Stage, target: &Target, seed: u64) -> anyhow::Result<Vec<Site>> {
        let number = if let Stage::Sum(sites) = stage { sites } else { 1 };
        let each = match self.attack {
            AttackName::Imprint | AttackName::Medleak => CRAFTED_IMAGES,
            AttackName::Labels => LABELLED_IMAGES,
            _ => Round::images_a_site(stage),
        };
        let mut samples = self.material.round(target, number * each, seed);
        if stage.is_defended() {
            samples = shadow::defended(&self.victim, self.material, &samples, shadow::FIRST)?;
        }
        let craft = self.craft(stage);
        let sites = samples.chunks(each).enumerate().map(|(place, samples)| {
            let (own, public) = (&self.victim.weights, &self.material.public);
            let weights = match &craft {
                Some(craft) => craft.model(own, public, place)?,
                None => own.clone(),
            };
            Ok(Site { samples: samples.to_vec(), weights })
        });
        sites.collect()
    }

    fn craft(&self, stage: Stage) -> Option<Craft> {
        let blocks = match (self.attack, stage) {
            (AttackName::Imprint, _) => 1,
            (AttackName::Medleak, Stage::Sum(sites)) => sites.max(FEWEST_BLOCKS),
            (AttackName::Medleak, _) => FEWEST_BLOCKS,
            _ => return None,
        };
        Some(Craft { several_steps: stage == Stage::Update, blocks, seed: self.seed })
    }

    pub(super) fn answer(
        &self,
        stage: Stage,
        round: &Round<'_>,
        seen: &Seen,
        target: &Target,
    ) -> anyhow::Result<Answer> {
        let (weights, public) = (&self.victim.weights, &self.material.public);
        match self.attack {
            AttackName::Linear => linear::invert(weights, seen, public),
            AttackName::Imprint | AttackName::Medleak => {
                self.craft(stage).context("no model is crafted")?.recover(weights, seen, public)
            }
            AttackName::Dlg | AttackName::Idlg => {
                let lenet = Lenet::new(weights, self.material.side)?;
                // A sum is taken for one image's gradient.
                let count = round.sites.len() as f32;
                let values = seen.values.iter().map(|value| value / count).collect();
                let seen = &Seen { values, noise: seen.noise };
                let bias = labels::last_bias(weights, &seen.values)?;
                let label = (self.attack == AttackName::Idlg).then(|| labels::of_one(bias));
                Ok(leakage::invert(&lenet, seen, label, round.seed))
            }
            AttackName::Inverting | AttackName::InvertingSegmentation => {
                let truth: Vec<&Sample> =
                    round.sites.iter().flat_map(|site| &site.samples).collect();
                let options = round.several_steps();
                let made =
                    if stage == Stage::Update { Made::Several(&options) } else { Made::OneStep };
                let inversion = self.inversion(target, &truth, made, round.seed);
                Ok(inversion.answer(seen, self.by_chance)?)
            }
            AttackName::Labels | AttackName::Membership | AttackName::Site => Ok(Answer::default()),
        }
    }

    fn inversion<'b>(
        &'b self,
        target: &Target,
        truth: &'b [&'b Sample],
        made: Made<'b>,
        seed: u64,
    ) -> Inversion<'b> {
        Inversion {
            task: self.victim.task.as_ref(),
            weights: &self.victim.weights,
            truth,
            made,
            range: target.range(),
            public: &self.material.public,
            steps: self.steps,
            seed,
        }
    }

    fn scored(&self, stage: Stage, target: &Target, answer: &Answer, started: Instant) -> Outcome {
        let public = &self.material.public;
        let truth = &target.sample.image;
        let nearest = answer.nearest(&target.input, public);
        let ImageScore { mse, psnr, ssim, gmsd } = ImageScore::of(&target.grey(nearest), truth);
        let guess = ImageScore::of(&target.grey(&public.mean), truth);
        let found = !answer.images.is_empty();
        let shown = if found { nearest } else { answer.made.as_deref().unwrap_or(nearest) };
        let row = Row {
            attack: self.attack,
            stage: stage.to_string(),
            image: target.sample.name.clone(),
            mse,
            psnr,
            ssim,
            mse_guess: guess.mse,
            psnr_guess: guess.psnr,
            ssim_guess: guess.ssim,
            gmsd,
            gmsd_guess: guess.gmsd,
            found,
            unaware: None,
            seconds: started.elapsed().as_secs_f64(),
        };
        Outcome::Image(row, target.grey(shown))
    }

    fn count_labels(
        &self,
        stage: Stage,
        sites: &[Site],
        seen: &Seen,
        target: &Target,
    ) -> anyhow::Result<LabelRow> {
        let Self { victim, material, .. } = self;
        let classes = material.classes.len();
        let count = |samples: &mut dyn Iterator<Item = &Sample>| {
            let mut counts = vec![0; classes];
            let labels = samples.filter_map(|sample| sample.label);
            labels.for_each(|label| {
                if let Some(count) = counts.get_mut(label as usize) {
                    *count += 1;
                }
            });
            counts
        };
        let truth = count(&mut sites.iter().flat_map(|site| &site.samples));
        let images: usize = truth.iter().sum();
        let logits = predict(victim.task.as_ref(), &victim.weights, &material.public_samples)?;
        let output = mean_shares(&logits, classes);
        let bias = labels::last_bias(&victim.weights, &seen.values)?;
        let bias: Vec<f32> = bias.iter().map(|value| value / sites.len() as f32).collect();
        let inferred = labels::counts(&bias, &output, images);
        let known = count(&mut material.public_samples.iter());
        let all = known.iter().sum::<usize>().max(1) as f64;
        let shares: Vec<f64> = known.iter().map(|count| *count as f64 / all).collect();
        let guessed = labels::counts(&vec![0.0; classes], &shares, images);
        Ok(LabelRow {
            stage: stage.to_string(),
            image: target.sample.name.clone(),
            images,
            right: labels::agreed(&inferred, &truth),
            right_guess: labels::agreed(&guessed, &truth),
        })
    }
}

/// The mean of the softmax of logits.
fn mean_shares(logits: &[Vec<f32>], classes: usize) -> Vec<f64> {
    let mut mean = vec![0.0; classes];
    for logits in logits {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = logits.iter().map(|z| f64::from(z - most).exp()).collect();
        let total: f64 = powers.iter().sum();
        for (mean, power) in mean.iter_mut().zip(&powers) {
            *mean += power / total / logits.len().max(1) as f64;
        }
    }
    let total: f64 = mean.iter().sum();
    mean.iter().map(|share| share / total.max(f64::MIN_POSITIVE)).collect()
}
