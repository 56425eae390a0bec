//! One run: a method with a seed, in plaintext or encrypted.

use std::fmt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use ringfence_crypto::statement::WeightPolicy;
use serde::{Deserialize, Serialize};

use super::method::MethodName;
use ringfence_options::{FederationArgs, name};
use crate::demo::{Faults, Federation, progress_bar};
use ringfence_learning::compute;
use ringfence_learning::{
    Dataset, FineTuning, Simulation, SiteData, Task, TrainingPlan, evaluate, train_alone,
};
use ringfence_weights::Weights;

/// Which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) method: MethodName,
    pub(super) seed: u64,
    pub(super) encrypted: bool,
}

impl Key {
    /// The run's row in a table, without its seed.
    pub(super) fn row(&self) -> String {
        let encrypted = if self.encrypted { "-encrypted" } else { "" };
        format!("{}{encrypted}", name(self.method))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-seed-{}", self.row(), self.seed))
    }
}

/// A site's test scores, by the scores' names, the primary one first.
pub(super) type Table = Vec<(String, Vec<(String, f64)>)>;

/// What a run gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) key: Key,
    /// Everything that the run follows from, beside the images.
    settings: serde_json::Value,
    /// Primary score on validation images after each round, mean of the sites; round 0 is before
    /// the first.
    pub(super) validation: Vec<f64>,
    /// Rounds after which the models were taken: one number, or one for each site alone.
    pub(super) chosen: Vec<u32>,
    /// Test scores of each site's own or of the common model.
    pub(super) test: Table,
    /// Test scores after fine-tuning the common model at each site.
    pub(super) personalised: Option<Table>,
    pub(super) seconds: f64,
}

/// Everything that a run follows from, beside the images.
pub(super) fn settings(
    plan: &TrainingPlan,
    federation: &FederationArgs,
    dataset: &Dataset,
) -> serde_json::Value {
    let sizes = |site: &SiteData| {
        let (train, validation) = (site.train.len(), site.validation.len());
        serde_json::json!([site.site, train, validation, site.test.len()])
    };
    serde_json::json!({
        "plan": plan,
        "device": compute::kind(),
        "weights": federation.policy(dataset),
        "bits": federation.bits,
        "clip": federation.clip,
        "sites": dataset.sites.iter().map(sizes).collect::<Vec<_>>(),
    })
}

impl Run {
    /// A finished run from its folder.
    pub(super) fn load(
        folder: &Path,
        key: &Key,
        settings: &serde_json::Value,
    ) -> anyhow::Result<Option<Self>> {
        let path = folder.join("run.json");
        let Ok(bytes) = std::fs::read(&path) else { return Ok(None) };
        let run: Self = serde_json::from_slice(&bytes).with_context(|| {
            format!("{} is no finished run; delete it, and it is repeated", path.display())
        })?;
        ensure!(
            run.key == *key && run.settings == *settings,
            "{} is a run with other settings or data; use another folder with --out",
            path.display()
        );
        Ok(Some(run))
    }

    /// The model that a site ends with: its own, the common one, or the common one fine-tuned.
    pub(super) fn model(&self, out: &Path, site: &str) -> anyhow::Result<Weights> {
        let folder = out.join("runs").join(self.key.to_string());
        let own = folder.join(format!("model-{site}.safetensors"));
        let path = if own.exists() { own } else { folder.join("model.safetensors") };
        Ok(Weights::load(&path)?)
    }

    /// The mean of the sites' primary test scores.
    pub(super) fn headline(&self) -> String {
        let name = self.test.first().and_then(|(_, scores)| scores.first());
        let name = name.map(|(name, _)| name.clone()).unwrap_or_default();
        let personal = match &self.personalised {
            Some(table) => format!(", fine-tuned {:.3}", mean(table, &name)),
            None => String::new(),
        };
        format!("{name} {:.3}{personal}", mean(&self.test, &name))
    }
}

/// The mean over sites of one score.
pub(super) fn mean(table: &Table, score: &str) -> f64 {
    let values: Vec<f64> = table
        .iter()
        .filter_map(|(_, scores)| scores.iter().find(|(name, _)| name == score).map(|(_, v)| *v))
        .collect();
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Runs it, and writes models and `run.json`.
pub(super) async fn run(
    folder: &Path,
    key: &Key,
    plan: &TrainingPlan,
    federation: &FederationArgs,
    dataset: &Dataset,
    settings: serde_json::Value,
) -> anyhow::Result<Run> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let started = Instant::now();
    let task = plan.task()?;
    let outcome = match key.method {
        MethodName::Local => alone(plan, dataset)?,
        _ => together(folder, key, plan, federation, dataset).await?,
    };
    let mut test = Vec::new();
    for (site, model) in dataset.sites.iter().zip(&outcome.models) {
        test.push((site.site.clone(), evaluate(task.as_ref(), model, &site.test)?.pairs()));
    }
    let mut personalised = None;
    if key.method.is_federated() && plan.fine_tuning.is_some() {
        let mut table = Vec::new();
        for (site, model) in dataset.sites.iter().zip(&outcome.models) {
            let Some(tuned) = plan.personalise(model, site)? else { continue };
            table.push((site.site.clone(), evaluate(task.as_ref(), &tuned, &site.test)?.pairs()));
            if key.method.is_personal() {
                plan.save(&tuned, &folder.join(format!("model-{}.safetensors", site.site)))?;
            }
        }
        personalised = Some(table);
    }
    match (key.method, outcome.models.first()) {
        (MethodName::Local, _) => {
            for (site, model) in dataset.sites.iter().zip(&outcome.models) {
                plan.save(model, &folder.join(format!("model-{}.safetensors", site.site)))?;
            }
        }
        (_, Some(common)) => plan.save(common, &folder.join("model.safetensors"))?,
        (_, None) => {}
    }
    let Outcome { validation, chosen, .. } = outcome;
    let seconds = started.elapsed().as_secs_f64();
    let run = Run { key: *key, settings, validation, chosen, test, personalised, seconds };
    let path = folder.join("run.json");
    crate::cli::write(&path, &serde_json::to_vec_pretty(&run)?)?;
    Ok(run)
}

/// The chosen model of each site.
struct Outcome {
    validation: Vec<f64>,
    chosen: Vec<u32>,
    models: Vec<Weights>,
}

/// Every site alone: of each the round that does best on its own validation images.
fn alone(plan: &TrainingPlan, dataset: &Dataset) -> anyhow::Result<Outcome> {
    let task = plan.task()?;
    let bar = progress_bar("local");
    bar.set_length(dataset.sites.len() as u64 * u64::from(plan.rounds));
    let mut validation = vec![0.0; plan.rounds as usize + 1];
    let (mut chosen, mut models) = (Vec::new(), Vec::new());
    for (place, site) in dataset.sites.iter().enumerate() {
        bar.set_message(site.site.clone());
        let mut weights = plan.initial_weights()?;
        let mut best = Best::new(&weights);
        for round in 0..=plan.rounds {
            if let Some(before) = round.checked_sub(1) {
                weights = train_alone(plan, &weights, site, (place, before), &mut |_| ())?;
                bar.inc(1);
            }
            let score = validate(task.as_ref(), &weights, site)?;
            best.offer(round, score, &weights);
            if let Some(sum) = validation.get_mut(round as usize) {
                *sum += score / dataset.sites.len() as f64;
            }
        }
        chosen.push(best.round);
        models.push(best.model);
    }
    bar.finish_and_clear();
    Ok(Outcome { validation, chosen, models })
}

/// A federated method: the round whose model does best on the sites' validation images, on average,
/// after fine-tuning where the method is meant for it (its plain steps only: epochs after every round
/// would cost more than the rounds).
async fn together(
    folder: &Path,
    key: &Key,
    plan: &TrainingPlan,
    args: &FederationArgs,
    dataset: &Dataset,
) -> anyhow::Result<Outcome> {
    let task = plan.task()?;
    let mut rounds = Rounds::start(folder, key, plan, args, dataset).await?;
    let bar = progress_bar("federated");
    bar.set_length(u64::from(plan.rounds));
    let mut best = Best::new(rounds.model());
    let mut validation = Vec::new();
    let fine_tuning = plan.fine_tuning.filter(|_| key.method.is_personal());
    let fine_tuning = fine_tuning.map(|tuning| FineTuning { epochs: 0, ..tuning });
    let judged = TrainingPlan { fine_tuning, ..plan.clone() };
    for round in 0..=plan.rounds {
        if let Some(before) = round.checked_sub(1) {
            rounds.step(before, dataset).await?;
            bar.inc(1);
        }
        let mut score = 0.0;
        for site in &dataset.sites {
            let tuned = judged.personalise(rounds.model(), site)?;
            let model = tuned.as_ref().unwrap_or(rounds.model());
            score += validate(task.as_ref(), model, site)? / dataset.sites.len() as f64;
        }
        best.offer(round, score, rounds.model());
        validation.push(score);
        bar.set_message(format!("{key}: validation {score:.3}"));
    }
    bar.finish_and_clear();
    if let Rounds::Encrypted(federation) = rounds {
        // What the aggregator and the sites kept of this run: hundreds of bodies, and nothing to learn.
        drop(federation);
        std::fs::remove_dir_all(folder.join("state")).context("cannot clear the run's state")?;
    }
    let models = vec![best.model; dataset.sites.len()];
    Ok(Outcome { validation, chosen: vec![best.round], models })
}

/// The rounds of a federation, in plaintext or through the aggregator.
enum Rounds {
    Plain(Box<Simulation>, Vec<f64>),
    Encrypted(Box<Federation>),
}

impl Rounds {
    async fn start(
        folder: &Path,
        key: &Key,
        plan: &TrainingPlan,
        args: &FederationArgs,
        dataset: &Dataset,
    ) -> anyhow::Result<Self> {
        if key.encrypted {
            let state = folder.join("state");
            let faults = Faults { drop: Vec::new(), mute: Vec::new() };
            let federation = Federation::start(&state, args, faults, plan, dataset).await?;
            return Ok(Self::Encrypted(Box::new(federation)));
        }
        let weights = match args.policy(dataset) {
            WeightPolicy::Equal => vec![1.0; dataset.sites.len()],
            WeightPolicy::SampleCounts(counts) => counts.into_iter().map(f64::from).collect(),
        };
        Ok(Self::Plain(Box::new(Simulation::new(plan)?), weights))
    }

    async fn step(&mut self, round: u32, dataset: &Dataset) -> anyhow::Result<()> {
        match self {
            Self::Plain(simulation, weights) => Ok(simulation.round(round, dataset, weights)?),
            Self::Encrypted(federation) => federation.round(round, dataset).await.map(|_| ()),
        }
    }

    fn model(&self) -> &Weights {
        match self {
            Self::Plain(simulation, _) => simulation.model(),
            Self::Encrypted(federation) => federation.model(),
        }
    }
}

/// The best model so far, the first of equals.
struct Best {
    round: u32,
    score: f64,
    model: Weights,
}

impl Best {
    fn new(model: &Weights) -> Self {
        Self { round: 0, score: f64::NEG_INFINITY, model: model.clone() }
    }

    fn offer(&mut self, round: u32, score: f64, model: &Weights) {
        if score > self.score {
            *self = Self { round, score, model: model.clone() };
        }
    }
}

/// The primary score on the images by which a site chooses.
fn validate(task: &dyn Task, model: &Weights, site: &SiteData) -> anyhow::Result<f64> {
    Ok(evaluate(task, model, site.choosing())?.primary().value)
}
