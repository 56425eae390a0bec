//! A round's training at all sites on this machine, and a federation in plaintext: for experiments,
//! and as what the encrypted one is compared with.

use crate::data::{Dataset, SiteData};
use crate::error::LearnError;
use crate::plan::TrainingPlan;
use crate::train::private::{NoiseSeed, PrivateOptions, PrivateProgress, PrivateTraining};
use crate::train::{Algorithm, Progress, TrainOptions, Training, evaluate};
use ringfence_weights::{MeanStepState, Weights};

/// What every site starts a round from.
#[derive(Clone, Copy, Debug)]
pub struct RoundStart<'a> {
    /// The study's training.
    pub plan: &'a TrainingPlan,
    /// The common model before the round.
    pub model: &'a Weights,
    /// The round, from 0.
    pub round: u32,
}

impl RoundStart<'_> {
    /// Trains at one site after the other: the update of each, `None` for a site that is absent.
    ///
    /// A site's place is its position among the dataset's sites. `absent` holds one value for each
    /// of them; sites beyond its end are there. `progress` is told the place that trains.
    ///
    /// # Errors
    /// As [`Training::run`].
    pub fn updates(
        &self,
        dataset: &Dataset,
        absent: &[bool],
        progress: &mut dyn FnMut(usize, Progress),
    ) -> Result<Vec<Option<Vec<f32>>>, LearnError> {
        let task = self.plan.task()?;
        let mut updates = Vec::with_capacity(dataset.sites.len());
        for (place, site) in dataset.sites.iter().enumerate() {
            if absent.get(place).is_some_and(|absent| *absent) {
                updates.push(None);
                continue;
            }
            let options = self.plan.at(place, self.round);
            let (task, start, samples) = (task.as_ref(), self.model, &site.train);
            let training = Training { task, start, samples, options: &options };
            let trained = training.run(&mut |step| progress(place, step))?;
            updates.push(Some(trained.difference(self.model)?.values().collect()));
        }
        Ok(updates)
    }

    /// The weights of a site that trains alone, after one round's worth of training: the same
    /// epochs at the same learning rates as in the federation, its own loss.
    ///
    /// # Errors
    /// As [`Training::run`].
    pub fn train_alone(
        &self,
        place: usize,
        site: &SiteData,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Weights, LearnError> {
        let task = self.plan.task()?;
        let at = self.plan.at(place, self.round);
        let options = TrainOptions { algorithm: Algorithm::FedAvg, ..at };
        let (task, start, samples) = (task.as_ref(), self.model, &site.train);
        Training { task, start, samples, options: &options }.run(progress)
    }
}

/// A site that trains alone, from the study's first weights: for as many epochs at the same learning
/// rates as in the federation. Of the rounds the one whose model does best on the site's own validation
/// samples counts, and the first of equals; the weights, and after how many rounds they were taken.
/// `after_round` is told each round that is done, from 0.
///
/// # Errors
/// As [`Training::run`].
pub fn alone(
    plan: &TrainingPlan,
    (place, site): (usize, &SiteData),
    initial: &Weights,
    after_round: &mut dyn FnMut(u32),
) -> Result<(Weights, u32), LearnError> {
    let task = plan.task()?;
    let mut weights = initial.clone();
    let mut best = (weights.clone(), 0);
    let mut score = evaluate(task.as_ref(), &weights, site.choosing())?;
    for round in 0..plan.rounds {
        let start = RoundStart { plan, model: &weights, round };
        weights = start.train_alone(place, site, &mut |_| ())?;
        let scores = evaluate(task.as_ref(), &weights, site.choosing())?;
        if scores.leading() > score.leading() {
            (best, score) = ((weights.clone(), round + 1), scores);
        }
        after_round(round);
    }
    Ok(best)
}

/// Private training at all sites, from one secret: for experiments, in which nobody's data are
/// protected by it.
#[derive(Clone, Copy)]
pub struct PrivateRound<'a> {
    /// What fixes the privacy, alike at every site.
    pub private: &'a PrivateOptions,
    /// What the chance of every site comes from.
    pub seed: &'a NoiseSeed,
    /// Which study it is. Sites and rounds are told apart beside it.
    pub of: &'a str,
}

impl RoundStart<'_> {
    /// Trains privately at one site after the other: the update of each, which may leave the site.
    /// `progress` is told the place that trains.
    ///
    /// # Errors
    /// As [`PrivateTraining::run`].
    pub fn private_updates(
        &self,
        dataset: &Dataset,
        how: PrivateRound<'_>,
        progress: &mut dyn FnMut(usize, PrivateProgress),
    ) -> Result<Vec<Vec<f32>>, LearnError> {
        let task = self.plan.task()?;
        let PrivateRound { private, seed, of } = how;
        let mut updates = Vec::with_capacity(dataset.sites.len());
        for (place, site) in dataset.sites.iter().enumerate() {
            let of = format!("{of}, site {place}, round {}", self.round);
            let options = self.plan.at(place, self.round);
            let (task, start, samples) = (task.as_ref(), self.model, &site.train);
            let training =
                PrivateTraining { task, start, samples, options: &options, private, seed, of: &of };
            let trained = training.run(&mut |step| progress(place, step))?;
            updates.push(trained.difference(self.model)?.values().collect());
        }
        Ok(updates)
    }
}

/// The common model between rounds.
pub struct Simulation {
    plan: TrainingPlan,
    model: Weights,
    mean_step: MeanStepState,
}

impl Simulation {
    /// Before round 0.
    ///
    /// # Errors
    /// When the plan's model cannot be built.
    pub fn new(plan: &TrainingPlan) -> Result<Self, LearnError> {
        Ok(Self::from_model(plan, plan.initial_weights()?))
    }

    /// Before round 0, from other first weights than the plan's own.
    #[must_use]
    pub fn from_model(plan: &TrainingPlan, model: Weights) -> Self {
        Self { plan: plan.clone(), model, mean_step: MeanStepState::new(plan.mean_step) }
    }

    /// The common model.
    #[must_use]
    pub fn model(&self) -> &Weights {
        &self.model
    }

    /// What every site starts this round from.
    #[must_use]
    pub fn start(&self, round: u32) -> RoundStart<'_> {
        RoundStart { plan: &self.plan, model: &self.model, round }
    }

    /// One round: every site trains, and the mean of their updates, weighted by `weighting` (one
    /// factor for each site), goes into the common model.
    ///
    /// # Errors
    /// As [`Training::run`].
    pub fn round(
        &mut self,
        round: u32,
        dataset: &Dataset,
        weighting: &[f64],
    ) -> Result<(), LearnError> {
        let updates = self.start(round).updates(dataset, &[], &mut |_, _| ())?;
        let updates: Vec<Vec<f32>> = updates.into_iter().flatten().collect();
        self.apply(&mean(&updates, weighting))
    }

    /// The same with private training.
    ///
    /// # Errors
    /// As [`PrivateTraining::run`].
    pub fn private_round(
        &mut self,
        round: u32,
        dataset: &Dataset,
        weighting: &[f64],
        how: PrivateRound<'_>,
    ) -> Result<(), LearnError> {
        let updates = self.start(round).private_updates(dataset, how, &mut |_, _| ())?;
        self.apply(&mean(&updates, weighting))
    }

    /// Ends a round: a mean update goes into the common model.
    ///
    /// # Errors
    /// [`LearnError::Weights`] when it is of another length or not finite.
    pub fn apply(&mut self, mean: &[f32]) -> Result<(), LearnError> {
        let mean = Weights::from_values(&self.model.shapes(), mean.to_vec())?;
        self.model = self.mean_step.apply(&self.model, &mean)?;
        Ok(())
    }
}

/// The mean of updates of equal length, with a factor for each.
#[must_use]
pub fn mean(updates: &[Vec<f32>], weighting: &[f64]) -> Vec<f32> {
    let total: f64 = weighting.iter().sum();
    let mut mean = vec![0.0f64; updates.first().map_or(0, Vec::len)];
    for (update, factor) in updates.iter().zip(weighting) {
        for (mean, value) in mean.iter_mut().zip(update) {
            *mean += f64::from(*value) * factor / total;
        }
    }
    mean.into_iter().map(|value| value as f32).collect()
}
