//! The rounds of a federation, in plaintext or through the aggregator.

use anyhow::{Context, bail};
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use rand_distr::{Distribution, Normal};
use ringfence_federation::Federation;
use ringfence_learning::private::NoiseSeed;
use ringfence_learning::simulation::mean;
use ringfence_learning::{Dataset, Own, PrivateRound, RoundStart, Simulation, TrainingPlan};
use ringfence_options::train_round;
use ringfence_weights::Weights;

use super::private::Protection;

/// A federation between two rounds.
pub(super) enum Rounds {
    /// In plaintext, with each site's factor in the mean.
    Plain(Box<Simulation>, Vec<f64>),
    /// In plaintext, with what the sites do to hide a unit.
    Protected(Box<ProtectedRounds>),
    /// Encrypted.
    Encrypted(Box<Federation>),
}

impl Rounds {
    /// The next round, which has this number.
    pub(super) async fn step(
        &mut self,
        plan: &TrainingPlan,
        dataset: &Dataset,
        round: u32,
    ) -> anyhow::Result<()> {
        match self {
            Self::Plain(simulation, weighting) => Ok(simulation.round(round, dataset, weighting)?),
            Self::Protected(rounds) => rounds.step(dataset, round),
            Self::Encrypted(federation) => {
                let start = RoundStart { plan, model: federation.model(), round };
                let updates = train_round(&start, dataset, &[], None)?;
                federation.round(&updates).await?;
                Ok(())
            }
        }
    }

    /// The next round of sites that have something of their own, which they keep in `own`.
    pub(super) async fn step_with_own(
        &mut self,
        plan: &TrainingPlan,
        dataset: &Dataset,
        (round, own): (u32, &mut [Own]),
    ) -> anyhow::Result<()> {
        let personal =
            plan.personal.as_ref().context("a plan without anything of the sites' own")?;
        let start = RoundStart { plan, model: self.model(), round };
        let mut updates = Vec::new();
        for ((place, site), own) in dataset.sites.iter().enumerate().zip(own) {
            let (update, next) = start.own_update(personal, (place, site), own, &mut |_| ())?;
            *own = next;
            updates.push(update);
        }
        match self {
            Self::Plain(simulation, weighting) => Ok(simulation.apply(&mean(&updates, weighting))?),
            Self::Encrypted(federation) => {
                let updates: Vec<_> = updates.into_iter().map(Some).collect();
                federation.round(&updates).await?;
                Ok(())
            }
            Self::Protected(_) => {
                bail!("expected ordinary training of sites that have something of their own")
            }
        }
    }

    /// The common model.
    pub(super) fn model(&self) -> &Weights {
        match self {
            Self::Plain(simulation, _) => simulation.model(),
            Self::Protected(rounds) => rounds.simulation.model(),
            Self::Encrypted(federation) => federation.model(),
        }
    }
}

/// A federation of sites that hide a unit, whose noise follows from a seed.
pub(super) struct ProtectedRounds {
    pub(super) simulation: Simulation,
    /// Each site's factor in the mean.
    pub(super) weighting: Vec<f64>,
    pub(super) protection: Protection,
    pub(super) seed: u64,
    /// Which run it is: other runs of this seed have other noise.
    pub(super) of: String,
}

impl ProtectedRounds {
    fn step(&mut self, dataset: &Dataset, round: u32) -> anyhow::Result<()> {
        let Self { simulation, weighting, protection, seed, of } = self;
        let private = match protection {
            Protection::None => return Ok(simulation.round(round, dataset, weighting)?),
            Protection::Gradients(private) => private,
            Protection::Updates(_) | Protection::Parameters(_) => {
                return self.noise_updates(dataset, round);
            }
        };
        // The secret that noise comes from, for anybody to repeat.
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let seed = &NoiseSeed::from_bytes(bytes);
        let how = PrivateRound { private, seed, of };
        Ok(simulation.private_round(round, dataset, weighting, how)?)
    }

    /// A round of ordinary training whose updates get noise before they are sent.
    fn noise_updates(&mut self, dataset: &Dataset, round: u32) -> anyhow::Result<()> {
        let start = self.simulation.start(round);
        let updates = start.updates(dataset, &[], &mut |_, _| ())?;
        let mut updates: Vec<Vec<f32>> = updates.into_iter().flatten().collect();
        let mean = match &self.protection {
            Protection::Updates(sites) => {
                sites.mean(&updates, self.simulation.model(), (self.seed, round))?
            }
            Protection::Parameters(deviation) => {
                let normal = Normal::new(0.0, *deviation)?;
                for (place, update) in updates.iter_mut().enumerate() {
                    let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
                    rng.set_stream((u64::from(round) << 32) | place as u64);
                    for value in update {
                        // A model and its update differ by what the server knows: noise on one is
                        // noise on the other.
                        *value += normal.sample(&mut rng) as f32;
                    }
                }
                mean(&updates, &self.weighting)
            }
            Protection::None | Protection::Gradients(_) => mean(&updates, &self.weighting),
        };
        Ok(self.simulation.apply(&mean)?)
    }
}
