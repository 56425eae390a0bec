//! Imprints: a crafted first layer sorts images into bins by one number each, and a bin with one
//! image gives it away, through the sum of all sites.
//!
//! Fowl et al., "Robbing the Fed: Directly Obtaining Private Data in Federated Learning with Modified
//! Models", 2022: all rows of the first layer are the same direction `h`, with thresholds as biases,
//! and what follows treats all rows alike. The gradients of two neighbouring rows then differ by the
//! images whose `h x` lies between the two thresholds. Zhao et al., "LOKI", 2024, and Shi et al.,
//! "MedLeak", 2025, give each site a model of its own; here each site has bins of its own, and all
//! others are dead in its model, so that the sum says whose image it is.
//!
//! Ringfence's sites refuse such a model: the study pins the one that all begin with.

use anyhow::{Context, ensure};
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};
use ringfence_weights::Weights;

use super::answer::Answer;
use super::linear::{FirstLayer, quotient};
use super::observe::Seen;
use super::terms::{Public, dot};

/// A unit with this bias is never active.
const DEAD: f32 = -1e6;

/// How bins are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Craft {
    /// Whether weights are to stay as they were through several steps.
    pub(super) several_steps: bool,
    /// Sites that have bins of their own; 1 where all share them.
    pub(super) blocks: usize,
    pub(super) seed: u64,
}

impl Craft {
    /// The model for the site of this number, made from one of the same layout.
    ///
    /// # Errors
    /// When there is no dense first layer, or fewer units than sites.
    pub(super) fn model(
        &self,
        like: &Weights,
        public: &Public,
        site: usize,
    ) -> anyhow::Result<Weights> {
        let flat: Vec<f32> = like.values().collect();
        let units = FirstLayer::of(like, &flat)?.units().count();
        let bins = self.bins(units)?;
        let direction = self.direction(public);
        let seen: Vec<f64> = public.inputs.iter().map(|input| dot(&direction, input)).collect();
        let count = seen.len().max(1) as f64;
        let mean = seen.iter().sum::<f64>() / count;
        let variance = seen.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let deviation = variance.sqrt().max(1e-9);
        // Logits stay near 0, so that every image moves the weights. In several steps rows must stay
        // almost what they were; in one, small rows lose least by rounding.
        let (scale, gain) = if self.several_steps { (1.0, 1e-3) } else { (4e-4, 1.0) };
        let scale = scale / deviation;
        let threshold = |unit: usize| {
            let share = (unit % bins) as f64 + 0.05;
            mean + deviation * normal_quantile(share / bins as f64)
        };
        let mut values = Vec::with_capacity(flat.len());
        for (name, shape, old) in like.iter() {
            match name {
                "hidden.kernel" => {
                    let row = || direction.iter().map(|value| (f64::from(*value) * scale) as f32);
                    (0..units).for_each(|_| values.extend(row()));
                }
                "hidden.bias" => values.extend((0..units).map(|unit| {
                    let alive = self.blocks == 1 || unit / bins == site;
                    if alive { (-threshold(unit) * scale) as f32 } else { DEAD }
                })),
                "head.kernel" => {
                    let classes = shape.first().copied().unwrap_or_default();
                    let sign = |class: usize| if class.is_multiple_of(2) { gain } else { -gain };
                    (0..classes).for_each(|class| {
                        values.extend(std::iter::repeat_n(sign(class), units));
                    });
                }
                _ => values.extend(std::iter::repeat_n(0.0, old.len())),
            }
        }
        Ok(Weights::from_values(&like.shapes(), values)?)
    }

    /// The images in the bins; those of the first site alone where sites have bins of their own.
    ///
    /// # Errors
    /// As [`FirstLayer::of`].
    pub(super) fn recover(
        &self,
        like: &Weights,
        seen: &Seen,
        public: &Public,
    ) -> anyhow::Result<Answer> {
        let layer = FirstLayer::of(like, &seen.values)?;
        let units: Vec<(&[f32], f32)> = layer.units().collect();
        let bins = self.bins(units.len())?;
        let block = units.chunks_exact(bins).next().context("no bins")?;
        let mut candidates = Vec::new();
        for (unit, (kernel, bias)) in block.iter().enumerate() {
            let candidate = match block.get(unit + 1) {
                Some((above, above_bias)) => {
                    let between: Vec<f32> =
                        kernel.iter().zip(*above).map(|(lower, upper)| lower - upper).collect();
                    quotient(&between, bias - above_bias)
                }
                None => quotient(kernel, *bias),
            };
            candidates.extend(candidate);
        }
        Ok(Answer::among(candidates, public))
    }

    fn bins(&self, units: usize) -> anyhow::Result<usize> {
        let bins = units / self.blocks.max(1);
        ensure!(
            bins > 0,
            "the attack medleak expected at least one hidden unit a site, found {units} for {} sites: take fewer (--stage sum-N)",
            self.blocks
        );
        Ok(bins)
    }

    /// A direction of length 1 by which images differ.
    fn direction(&self, public: &Public) -> Vec<f32> {
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        let mut direction: Vec<f32> =
            StandardNormal.sample_iter(&mut rng).take(public.mean.len()).collect();
        let length = direction.iter().map(|value| value * value).sum::<f32>().sqrt();
        direction.iter_mut().for_each(|value| *value /= length);
        direction
    }
}

/// Where a standard normal number lies below with this probability, by bisection.
fn normal_quantile(share: f64) -> f64 {
    let below = |z: f64| 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if below(middle) < share { low = middle } else { high = middle }
    }
    low
}
