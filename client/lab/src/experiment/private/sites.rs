//! Whole sites hidden: every update is clipped and gets the protocol's own integer noise, and only
//! the sum is looked at.

use anyhow::Context;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::ring::packing::{Packing, VALUE_BITS};
use ringfence_crypto::statement::{Budget, SiteLevel, StudyError};
use ringfence_keys::study::draft::DraftError;
use ringfence_keys::study::spending::{Spending, least_of_sites};
use ringfence_keys::update::quantize;
use ringfence_keys::update::site_noise::parameters::{SiteNoise, SiteNoiseRequest};
use ringfence_learning::{Dataset, TrainingPlan};
use ringfence_privacy::delta_below_one_over_records;
use ringfence_site::model::layout;
use ringfence_weights::Weights;
use serde::Serialize;

use super::{Private, PrivateArgs, Protection, Statement};

/// Noise that sites add to what they send. No site colludes, and none drops out: the noise of all of
/// them counts.
#[derive(Debug, Serialize)]
pub(in crate::experiment) struct NoisedSites {
    clip: f32,
    noise_multiplier: f32,
    value_bits: u8,
    #[serde(skip)]
    noise: SiteNoise,
    #[serde(skip)]
    packing: Packing,
}

impl PrivateArgs {
    /// The noise that a study of so many rounds needs for its budget.
    pub(super) fn sites(
        &self,
        budget: f64,
        plan: &TrainingPlan,
        dataset: &Dataset,
    ) -> anyhow::Result<Private> {
        let sites = dataset.sites.len();
        let delta = self.private_delta.unwrap_or(0.1 / sites as f32);
        delta_below_one_over_records(delta.into(), sites as u64)
            .context("--private-delta: records are the sites here")?;
        let clip = self.private_clip.unwrap_or(1.0);
        let policy = SiteLevel { clip, noise_multiplier: 1.0, delta, epsilon: budget as f32 };
        let values = plan.initial_weights()?.len();
        // As fine as the sampler's range of widths lets it be.
        let mut refused = None;
        for bits in VALUE_BITS.rev() {
            match noised(policy, (values, bits), sites, plan.rounds) {
                Ok((noised, spent)) => {
                    let statement = Statement::Private {
                        noise_multiplier: noised.noise_multiplier.into(),
                        epsilon: spent,
                        delta: delta.into(),
                        unit: "site".to_owned(),
                    };
                    return Ok(Private { protection: Protection::Updates(noised), statement });
                }
                Err(error) => refused = Some(error),
            }
        }
        let refused = refused.unwrap_or_else(|| anyhow::anyhow!("no number of bits is possible"));
        Err(refused.context(format!("--epsilons {budget}: no noise of whole sites is fit for it")))
    }
}

/// The least noise with which so many rounds keep within the budget, and what they spend.
fn noised(
    policy: SiteLevel,
    (values, value_bits): (usize, u8),
    sites: usize,
    rounds: u32,
) -> anyhow::Result<(NoisedSites, f64)> {
    let SiteLevel { clip, delta, epsilon, .. } = policy;
    let (budget, min_sites) = (Budget { epsilon, delta }, u16::try_from(sites)?);
    let of = |noise_multiplier| -> Result<(SiteNoise, Packing), DraftError> {
        let noise = SiteNoise::derive(SiteNoiseRequest {
            values,
            value_bits,
            element_bound: clip,
            policy: SiteLevel { noise_multiplier, ..policy },
            min_sites,
            collusion: 0,
        })?;
        let packing = Packing::derive(value_bits, noise.noise_bound(), sites, 0);
        Ok((noise, packing.map_err(StudyError::from)?))
    };
    let noise_multiplier = least_of_sites(budget, rounds, |multiplier| Ok(of(multiplier)?.0))?;
    let (noise, packing) = of(noise_multiplier)?;
    let spent = Spending::of_sites(&noise).epsilon(rounds, budget)?.into();
    Ok((NoisedSites { clip, noise_multiplier, value_bits, noise, packing }, spent))
}

impl NoisedSites {
    /// The mean of the sites' updates with the noise of all of them. Each site draws from a stream
    /// of its own in each round.
    ///
    /// # Errors
    /// An update that is not finite.
    pub(in crate::experiment) fn mean(
        &self,
        updates: &[Vec<f32>],
        model: &Weights,
        (seed, round): (u64, u32),
    ) -> anyhow::Result<Vec<f32>> {
        let layout = layout(model, self.clip);
        let mut sums = vec![0_u64; model.len()];
        for (place, update) in updates.iter().enumerate() {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            rng.set_stream((u64::from(round) << 32) | place as u64);
            let noised = self.noise.add(update, &layout, &self.packing, &mut rng)?;
            for (sum, value) in sums.iter_mut().zip(noised.expose()) {
                *sum += u64::from(value);
            }
        }
        Ok(quantize::mean(&sums, updates.len(), &layout, &self.packing))
    }
}
