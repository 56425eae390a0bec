//! What the attacker sees at each stage: made by the shipped trainer, quantizer, cipher and private
//! training, and handed to attacks as if it were a gradient.

use anyhow::Context;
use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use ringfence_crypto::Digest;
use ringfence_crypto::id::ManifestId;
use ringfence_crypto::layout::Layout;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::statement::Summands;
use ringfence_keys::encrypt::check::CheckKey;
use ringfence_keys::encrypt::one_time_key::{EncryptionContext, OneTimeKey};
use ringfence_keys::update::quantize::{QuantizedUpdate, mean};
use ringfence_learning::private::{NoiseSeed, PrivacyUnit, PrivateOptions, PrivateTraining};
use ringfence_learning::{
    Algorithm, Augmentation, Optimizer, Sample, Task, TrainOptions, Training, batch_gradient,
};
use ringfence_privacy::gaussian;
use ringfence_site::model::layout;
use ringfence_weights::Weights;

use super::ring::stolen;
use super::terms::{BOTH_EPSILON, DELTA, Stage};

/// Step size of the attacked training.
pub(super) const RATE: f64 = 0.1;
/// Bound of every value of an update, and bits of a quantized one: as `ringfence` has them unless
/// told otherwise.
const CLIP: f32 = 0.5;
const BITS: u8 = 16;
/// Sites of the study that a ciphertext is of.
const SITES: usize = 3;
/// Bound of an image's gradient in private training.
const PRIVATE_CLIP: f64 = 1.0;
/// Passes and batch of an update of several steps.
const EPOCHS: usize = 2;
const BATCH: usize = 2;

/// A site in a round: its images, and the model that it was given.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) samples: Vec<Sample>,
    pub(super) weights: Weights,
}

/// A round under attack.
pub(super) struct Round<'a> {
    pub(super) task: &'a dyn Task,
    /// The first has the image that is looked for.
    pub(super) sites: &'a [Site],
    pub(super) seed: u64,
}

/// What is seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// In the scale of the mean gradient of one site's images, summed over sites.
    pub(super) values: Vec<f32>,
    /// Deviation of the noise on each value, where the attacker knows that there is some.
    pub(super) noise: f64,
}

impl Round<'_> {
    /// Images of a site that takes part in a stage.
    pub(super) fn images_a_site(stage: Stage) -> usize {
        if stage == Stage::Update { 2 * BATCH } else { 1 }
    }

    /// # Errors
    /// Those of training and encryption.
    pub(super) fn see(&self, stage: Stage) -> anyhow::Result<Seen> {
        let site = self.sites.first().context("no site takes part")?;
        let values = match stage {
            Stage::Plain | Stage::Shadow => {
                batch_gradient(self.task, &site.weights, &site.samples)?
            }
            Stage::Update => as_gradient(&self.update(site, &self.several_steps())?),
            Stage::Ciphertext => as_gradient(&self.body(site)?),
            Stage::Sum(_) => as_gradient(&self.sum()?),
            Stage::Dp(epsilon) => return self.private(site, epsilon),
            Stage::Both => return self.private(site, BOTH_EPSILON),
            Stage::Ring(sites) => {
                let update = self.update(site, &self.one_step(site.samples.len()))?;
                as_gradient(&stolen(&update, sites, CLIP, self.seed))
            }
        };
        Ok(Seen { values, noise: 0.0 })
    }

    /// The training of an update of several steps. The attacker knows it: a study's plan is public,
    /// and fixes the order of the images.
    pub(super) fn several_steps(&self) -> TrainOptions {
        TrainOptions { epochs: EPOCHS, batch: BATCH, ..self.one_step(BATCH) }
    }

    /// One step on all of a site's images.
    fn one_step(&self, images: usize) -> TrainOptions {
        TrainOptions {
            algorithm: Algorithm::FedAvg,
            epochs: 1,
            batch: images.max(1),
            learning_rate: RATE,
            optimizer: Optimizer::Sgd { momentum: 0.0 },
            augmentation: Augmentation::default(),
            seed: self.seed,
        }
    }

    fn update(&self, site: &Site, options: &TrainOptions) -> anyhow::Result<Vec<f32>> {
        let (task, start, samples) = (self.task, &site.weights, site.samples.as_slice());
        let trained = Training { task, start, samples, options }.run(&mut |_| ())?;
        Ok(trained.difference(start)?.values().collect())
    }

    /// The mean that the sites' quantized updates are opened to, times their number: what the round
    /// shows of one step at each, to the bit.
    fn sum(&self) -> anyhow::Result<Vec<f32>> {
        let sites = self.sites.len();
        let packing = Packing::derive(BITS, 0, sites.max(SITES), 0)?;
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        let (mut sums, mut of) = (Vec::new(), Layout { tensors: Vec::new() });
        for site in self.sites {
            of = layout(&site.weights, CLIP);
            sums.resize(site.weights.len(), 0_u64);
            let update = self.update(site, &self.one_step(site.samples.len()))?;
            let quantized = QuantizedUpdate::quantize(&update, &of, &packing, &mut rng)?;
            let values = quantized.expose().iter().map(|value| u64::from(*value));
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        let mean = mean(&sums, sites, &of, &packing);
        Ok(mean.into_iter().map(|value| value * sites as f32).collect())
    }

    /// The body of a site's contribution, encrypted under a fresh key, read as if it were an update:
    /// two bytes a value, over the whole range of an update.
    fn body(&self, site: &Site) -> anyhow::Result<Vec<f32>> {
        let update = self.update(site, &self.one_step(site.samples.len()))?;
        let layout = layout(&site.weights, CLIP);
        let packing = Packing::derive(BITS, 0, SITES, 0)?;
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        let check_key = CheckKey::generate(&mut rng);
        let context = EncryptionContext {
            manifest: ManifestId(Digest::of(&self.seed.to_le_bytes())),
            packing: &packing,
            layout: &layout,
            range: Summands::alike(1, &packing),
            check_key: &check_key,
        };
        let mut body = Vec::new();
        let mut encryption = OneTimeKey::generate(&mut rng).start(context, &mut rng)?;
        encryption.update(&update, &mut body)?;
        encryption.finish(&mut body)?;
        let value = |pair: &[u8; 2]| f32::from(i16::from_le_bytes(*pair)) / 32768.0 * CLIP;
        Ok(body.as_chunks::<2>().0.iter().map(value).take(update.len()).collect())
    }

    /// One private step on all of the site's images, at the noise with which this one release spends
    /// epsilon.
    fn private(&self, site: &Site, epsilon: f64) -> anyhow::Result<Seen> {
        let noise_multiplier = gaussian::noise_multiplier(epsilon, DELTA)?;
        let images = site.samples.len() as f64;
        let private = PrivateOptions {
            unit: PrivacyUnit::Record,
            clip: PRIVATE_CLIP,
            noise_multiplier,
            rate: 1.0,
            steps: 1,
            normaliser: images,
        };
        let options = self.one_step(1);
        // The unit is the image, whoever's it is.
        let own = |(place, sample): (usize, &Sample)| Sample {
            name: format!("{place}"),
            group: format!("{place}"),
            ..sample.clone()
        };
        let samples: Vec<Sample> = site.samples.iter().enumerate().map(own).collect();
        let secret = NoiseSeed::from_bytes(ChaCha20Rng::seed_from_u64(self.seed).random());
        let training = PrivateTraining {
            task: self.task,
            start: &site.weights,
            samples: &samples,
            options: &options,
            private: &private,
            seed: &secret,
            of: "attack",
        };
        let trained = training.run(&mut |_| ())?;
        let update: Vec<f32> = trained.difference(&site.weights)?.values().collect();
        Ok(Seen { values: as_gradient(&update), noise: private.deviation() / images })
    }
}

/// The gradient that one step would have followed.
fn as_gradient(update: &[f32]) -> Vec<f32> {
    update.iter().map(|value| value / -RATE as f32).collect()
}
