//! The rounds of a federation, in plaintext or through the aggregator.

use ringfence_federation::Federation;
use ringfence_learning::{Dataset, RoundStart, Simulation, TrainingPlan};
use ringfence_options::train_round;
use ringfence_weights::Weights;

/// A federation between two rounds.
pub(super) enum Rounds {
    /// In plaintext, with each site's factor in the mean.
    Plain(Box<Simulation>, Vec<f64>),
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
            Self::Encrypted(federation) => {
                let start = RoundStart { plan, model: federation.model(), round };
                let updates = train_round(&start, dataset, &[])?;
                federation.round(&updates).await?;
                Ok(())
            }
        }
    }

    /// The common model.
    pub(super) fn model(&self) -> &Weights {
        match self {
            Self::Plain(simulation, _) => simulation.model(),
            Self::Encrypted(federation) => federation.model(),
        }
    }
}
