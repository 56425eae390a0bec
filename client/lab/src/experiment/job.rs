//! A run to be made: a method with a seed, in plaintext or encrypted.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use ringfence_clock::Clock;
use ringfence_crypto::statement::Weighting;
use ringfence_federation::{Faults, Federation, FederationOptions, FederationSetup};
use ringfence_learning::shadow::Shadows;
use ringfence_learning::task::mean_for_choice;
use ringfence_learning::{
    Dataset, FineTuning, RoundStart, Simulation, SiteData, Task, TrainingPlan, compute, evaluate,
};
use ringfence_options::{pinned, progress_bar};
use ringfence_weights::Weights;

use super::method::MethodName;
use super::private::{Level, Private, Statement};
use super::progress::Progress;
use super::rounds::{ProtectedRounds, Rounds};
use super::run::{Key, PrivateRun, Run, SiteScores, Table};
use super::start::Start;
use crate::files;

/// What a run is made from.
pub(super) struct Job<'a> {
    /// Where its models and its report go.
    pub(super) folder: &'a Path,
    pub(super) key: Key,
    pub(super) plan: &'a TrainingPlan,
    pub(super) federation: &'a FederationOptions,
    pub(super) dataset: &'a Dataset,
    pub(super) progress: &'a Progress,
    /// What a run with a level does to hide a unit.
    pub(super) private: Option<Private>,
    /// Where first weights come from, if not from the plan's seed.
    pub(super) start: Option<&'a Start>,
    /// Whether sites train on images with the shadow defence's noise.
    pub(super) defended: bool,
}

/// The model of each site that counts.
pub(super) struct Outcome {
    pub(super) validation: Vec<f64>,
    pub(super) chosen: Vec<u32>,
    pub(super) models: Vec<Weights>,
    /// Where the last round counts, whatever its score: the one that does best on validation images.
    pub(super) best: Option<Best>,
}

impl Job<'_> {
    /// Everything that the run follows from, beside the images.
    pub(super) fn settings(&self) -> serde_json::Value {
        let sizes = |site: &SiteData| {
            let (train, validation) = (site.train.len(), site.validation.len());
            serde_json::json!([site.site, train, validation, site.test.len()])
        };
        let mut settings = serde_json::json!({
            "plan": self.plan,
            "device": compute::kind(),
            "weighting": self.federation.weighting,
            "bits": self.federation.bits,
            "clip": self.federation.clip,
            "sites": self.dataset.sites.iter().map(sizes).collect::<Vec<_>>(),
        });
        // Runs without them keep the settings that they always had.
        if let Some(Private { protection, statement }) = &self.private {
            settings["private"] = serde_json::json!([protection, statement]);
        }
        if let Some(start) = self.start {
            settings["start"] = serde_json::json!(start);
        }
        if self.defended {
            settings["defence"] = serde_json::json!("shadow");
        }
        settings
    }

    /// Makes the run, and writes models and `run.json`.
    ///
    /// # Errors
    /// As training, and where files cannot be written.
    pub(super) async fn run(mut self) -> anyhow::Result<Run> {
        let Self { folder, key, plan, dataset, .. } = self;
        files::make_folder(folder)?;
        let settings = self.settings();
        let started = Instant::now();
        let statement = self.private.as_ref().map(|private| private.statement.clone());
        let outcome = match key.method {
            MethodName::Local => self.alone()?,
            MethodName::LocalTuned => self.alone_tuned()?,
            MethodName::Mixture => return self.mixture(started),
            _ if plan.personal.is_some() => self.together_with_own().await?,
            _ => self.together().await?,
        };
        let task = plan.task()?;
        let test = table(task.as_ref(), dataset, &outcome.models)?;
        let mut personalised = None;
        if key.method.is_federated() && plan.fine_tuning.is_some() {
            personalised = Some(self.personalise(task.as_ref(), &outcome.models)?);
        }
        match (key.method, outcome.models.first()) {
            (method, _) if !method.is_federated() || plan.personal.is_some() => {
                for (site, model) in dataset.sites.iter().zip(&outcome.models) {
                    plan.save(model, &self.model_of(site))?;
                }
            }
            (_, Some(common)) => plan.save(common, &folder.join("model.safetensors"))?,
            (_, None) => {}
        }
        let private = match statement {
            Some(statement) => Some(self.beside(statement, task.as_ref(), &outcome)?),
            None => None,
        };
        let Outcome { validation, chosen, .. } = outcome;
        let seconds = started.elapsed().as_secs_f64();
        let by_training = dataset.sites.iter().any(|site| site.validation.is_empty());
        let run = Run {
            key,
            settings,
            validation,
            chosen,
            by_training,
            test,
            personalised,
            shares: None,
            private,
            seconds,
        };
        files::write(&folder.join("run.json"), &serde_json::to_vec_pretty(&run)?)?;
        Ok(run)
    }

    /// What is kept of a run with a level beside the rest.
    fn beside(
        &self,
        statement: Statement,
        task: &dyn Task,
        outcome: &Outcome,
    ) -> anyhow::Result<PrivateRun> {
        let all = self.dataset.sites.iter().flat_map(|site| site.test.iter().cloned());
        let all: Vec<_> = all.collect();
        let common = outcome.models.first().context("a run without a model")?;
        let together = SiteScores::new("all images", &evaluate(task, common, &all)?);
        let mut chosen = None;
        if let (Some(Level::None), Some(best)) = (self.key.level, &outcome.best) {
            let models = vec![best.model.clone(); self.dataset.sites.len()];
            chosen = Some((best.round, table(task, self.dataset, &models)?));
        }
        Ok(PrivateRun { statement, together, chosen })
    }

    /// The weights before the first round.
    fn first(&self) -> anyhow::Result<Weights> {
        match self.start {
            Some(start) => Ok(start.weights.clone()),
            None => Ok(self.plan.initial_weights()?),
        }
    }

    /// Test scores after fine-tuning at each site; keeps the models of methods meant for it.
    fn personalise(&self, task: &dyn Task, models: &[Weights]) -> anyhow::Result<Table> {
        let mut table = Vec::new();
        for (site, model) in self.dataset.sites.iter().zip(models) {
            let Some(tuned) = self.plan.personalise(model, site)? else { continue };
            table.push(SiteScores::new(&site.site, &evaluate(task, &tuned, &site.test)?));
            if self.key.method.is_personal() {
                self.plan.save(&tuned, &self.model_of(site))?;
            }
        }
        Ok(table)
    }

    fn model_of(&self, site: &SiteData) -> PathBuf {
        self.folder.join(format!("model-{}.safetensors", site.site))
    }

    /// Where aggregator and sites of an encrypted run keep their state.
    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Every site alone: of each the round that does best on its own validation images.
    fn alone(&self) -> anyhow::Result<Outcome> {
        let Self { plan, dataset, .. } = *self;
        let task = plan.task()?;
        let bar = progress_bar("local");
        bar.set_length(dataset.sites.len() as u64 * u64::from(plan.rounds));
        // By round, each site's.
        let mut validation = vec![Vec::new(); plan.rounds as usize + 1];
        let (mut chosen, mut models) = (Vec::new(), Vec::new());
        for (place, site) in dataset.sites.iter().enumerate() {
            bar.set_message(site.site.clone());
            let mut weights = self.first()?;
            let mut best = Best::new(&weights);
            for round in 0..=plan.rounds {
                if let Some(before) = round.checked_sub(1) {
                    let start = RoundStart { plan, model: &weights, round: before };
                    weights = start.train_alone(place, site, &mut |_| ())?;
                    bar.inc(1);
                    self.progress.part(1.0 / (f64::from(plan.rounds) * dataset.sites.len() as f64));
                }
                let scores = evaluate(task.as_ref(), &weights, site.choosing())?;
                best.offer(round, mean_for_choice(std::slice::from_ref(&scores)), &weights);
                if let Some(of_round) = validation.get_mut(round as usize) {
                    of_round.push(scores);
                }
            }
            chosen.push(best.round);
            models.push(best.model);
        }
        bar.finish_and_clear();
        let validation = validation.iter().map(|scores| mean_for_choice(scores)).collect();
        Ok(Outcome { validation, chosen, models, best: None })
    }

    /// Clears what the aggregator and the sites kept of an encrypted run: hundreds of bodies, and nothing
    /// to learn.
    pub(super) fn clear(&self, rounds: Rounds) -> anyhow::Result<()> {
        if let Rounds::Encrypted(federation) = rounds {
            drop(federation);
            std::fs::remove_dir_all(self.state()).context("cannot clear the run's state")?;
        }
        Ok(())
    }

    /// A federated method: the round whose model does best on the sites' validation images, on
    /// average, after fine-tuning where the method is meant for it (its plain steps only: epochs
    /// after every round would cost more than the rounds). With a level, the last round: to choose
    /// one by a score would tell more than epsilon says.
    async fn together(&mut self) -> anyhow::Result<Outcome> {
        let Self { key, plan, dataset, .. } = *self;
        let task = plan.task()?;
        let mut rounds = self.rounds().await?;
        let bar = progress_bar("federated");
        bar.set_length(u64::from(plan.rounds));
        let mut best = Best::new(rounds.model());
        let mut validation = Vec::new();
        let fine_tuning = plan.fine_tuning.filter(|_| key.method.is_personal());
        let fine_tuning = fine_tuning.map(|tuning| FineTuning { epochs: 0, ..tuning });
        let mut shadows = self.defended.then(Shadows::new);
        let judged = TrainingPlan { fine_tuning, ..plan.clone() };
        for round in 0..=plan.rounds {
            if let Some(before) = round.checked_sub(1) {
                let defended = match &mut shadows {
                    None => None,
                    Some(shadows) => {
                        let start = RoundStart { plan, model: rounds.model(), round: before };
                        Some(shadows.defended(&start, dataset, &[])?)
                    }
                };
                rounds.step(plan, defended.as_ref().unwrap_or(dataset), before).await?;
                bar.inc(1);
                self.progress.part(1.0 / f64::from(plan.rounds));
            }
            let mut scores = Vec::new();
            for site in &dataset.sites {
                let tuned = judged.personalise(rounds.model(), site)?;
                let model = tuned.as_ref().unwrap_or(rounds.model());
                scores.push(evaluate(task.as_ref(), model, site.choosing())?);
            }
            let score = mean_for_choice(&scores);
            best.offer(round, score, rounds.model());
            validation.push(score);
            bar.set_message(format!("{key}: validation {score:.3}"));
        }
        bar.finish_and_clear();
        let last = key.level.map(|_| rounds.model().clone());
        self.clear(rounds)?;
        let (round, model, best) = match last {
            Some(last) => (plan.rounds, last, Some(best)),
            None => (best.round, best.model, None),
        };
        let models = vec![model; dataset.sites.len()];
        Ok(Outcome { validation, chosen: vec![round], models, best })
    }

    /// The federation before its first round.
    pub(super) async fn rounds(&mut self) -> anyhow::Result<Rounds> {
        let Self { plan, dataset, key, .. } = *self;
        if self.key.encrypted {
            let setup = FederationSetup {
                names: dataset.sites.iter().map(|site| site.site.clone()).collect(),
                initial: self.first()?,
                mean_step: plan.mean_step,
                training: pinned(plan)?,
                options: self.federation.clone(),
                faults: Faults::default(),
                rounds: plan.rounds,
                clock: Clock::system(),
            };
            let federation = Federation::start(&self.state(), setup).await?;
            return Ok(Rounds::Encrypted(Box::new(federation)));
        }
        let weighting = match &self.federation.weighting {
            Weighting::Equal => vec![1.0; dataset.sites.len()],
            Weighting::SampleCounts(counts) => counts.iter().copied().map(f64::from).collect(),
        };
        let simulation = Simulation::from_model(plan, self.first()?);
        let Some(Private { protection, .. }) = self.private.take() else {
            return Ok(Rounds::Plain(Box::new(simulation), weighting));
        };
        let (seed, of) = (key.seed, key.to_string());
        let rounds = ProtectedRounds { simulation, weighting, protection, seed, of };
        Ok(Rounds::Protected(Box::new(rounds)))
    }
}

/// Every site's test scores of its model.
fn table(task: &dyn Task, dataset: &Dataset, models: &[Weights]) -> anyhow::Result<Table> {
    let mut table = Vec::new();
    for (site, model) in dataset.sites.iter().zip(models) {
        table.push(SiteScores::new(&site.site, &evaluate(task, model, &site.test)?));
    }
    Ok(table)
}

/// The best model so far, the first of equals.
pub(super) struct Best {
    pub(super) round: u32,
    score: f64,
    pub(super) model: Weights,
}

impl Best {
    pub(super) fn new(model: &Weights) -> Self {
        Self { round: 0, score: f64::NEG_INFINITY, model: model.clone() }
    }

    pub(super) fn offer(&mut self, round: u32, score: f64, model: &Weights) {
        if score > self.score {
            *self = Self { round, score, model: model.clone() };
        }
    }
}
