//! A federation in one process, in plaintext: for experiments, and as what the encrypted one is
//! compared with.

use super::data::{Dataset, SiteData};
use super::plan::TrainingPlan;
use super::server::ServerState;
use super::train::{Algorithm, TrainOptions, train};
use super::{LearnError, Progress, Task};
use ringfence_weights::Weights;

/// The common model between rounds.
pub struct Simulation {
    plan: TrainingPlan,
    task: Box<dyn Task>,
    model: Weights,
    server: ServerState,
}

impl Simulation {
    /// Before round 0.
    ///
    /// # Errors
    /// When the plan's model cannot be built.
    pub fn new(plan: &TrainingPlan) -> Result<Self, LearnError> {
        let task = plan.task()?;
        let model = plan.initial_weights()?;
        Ok(Self { plan: plan.clone(), task, model, server: ServerState::new(plan.server) })
    }

    /// The common model.
    #[must_use]
    pub fn model(&self) -> &Weights {
        &self.model
    }

    /// One round: every site trains, and the mean of their updates, weighted by `weights` (one for
    /// each site), goes into the common model.
    ///
    /// # Errors
    /// As [`train()`].
    pub fn round(
        &mut self,
        round: u32,
        dataset: &Dataset,
        weights: &[f64],
    ) -> Result<(), LearnError> {
        let total: f64 = weights.iter().sum();
        let mut mean = vec![0.0f64; self.model.len()];
        for (place, (site, weight)) in dataset.sites.iter().zip(weights).enumerate() {
            let options = self.plan.at(place, round);
            let task = self.task.as_ref();
            let trained = train(task, &self.model, &site.train, &options, &mut |_| ())?;
            let update = trained.difference(&self.model)?;
            for (mean, value) in mean.iter_mut().zip(update.values()) {
                *mean += f64::from(value) * weight / total;
            }
        }
        let mean = mean.into_iter().map(|value| value as f32).collect();
        let mean = Weights::from_values(&self.model.shapes(), mean)?;
        self.model = self.server.apply(&self.model, &mean)?;
        Ok(())
    }
}

/// One round's worth of training of a site that trains alone: the same epochs at the same learning
/// rates as in the federation, its own loss.
///
/// # Errors
/// As [`train()`].
pub fn train_alone(
    plan: &TrainingPlan,
    model: &Weights,
    site: &SiteData,
    (place, round): (usize, u32),
    progress: &mut dyn FnMut(Progress),
) -> Result<Weights, LearnError> {
    let options = TrainOptions { algorithm: Algorithm::FedAvg, ..plan.at(place, round) };
    train(plan.task()?.as_ref(), model, &site.train, &options, progress)
}
