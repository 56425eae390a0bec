//! `ringfence demo`: a whole encrypted study on one machine, with real HTTP.
//!
//! What is simulated: the hospitals are tasks of one process, and without `--data` their images
//! are generated phantoms; the faults that `--drop`, `--mute`, `--spoil`, `--baddeal`, `--lie` and
//! `--flip` ask for are played. What is real: the aggregator is its own binary in its own process,
//! every contribution, endorsement and opening goes through it over HTTP, and the sites are told
//! nothing of the faults that they meet.

mod demo_round;
mod report;
mod ring;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};
use ringfence_clock::Clock;
use ringfence_federation::{Fault, Faults, Federation, FederationSetup, site_id};
use ringfence_learning::data::{
    self,
    phantom::{self, PhantomOptions},
};
use ringfence_learning::task::remarks;
use ringfence_learning::{DataOptions, Dataset, RoundStart, TrainingPlan, evaluate, picture};
use ringfence_options::{
    AlgorithmChoice, DataArgs, DeviceArgs, FederationArgs, PlanArgs, pinned, progress_bar,
    train_round,
};
use ringfence_weights::Weights;

use demo_round::DemoRound;
use report::{Outcome, Report, SiteScores};

/// Simulated hospitals unless `--sites` says otherwise; data that name more keep theirs.
const DEFAULT_SITES: usize = 5;

/// Arguments of `ringfence demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// An image folder with labels.csv, or a MedMNIST .npz; generated phantoms unless given.
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    algorithm: AlgorithmChoice,
    #[command(flatten)]
    images: DataArgs,
    #[command(flatten)]
    federation: FederationArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Site k (from 0, or its name) vanishes in round r: K@R before contributing, K@R:after after.
    #[arg(long, value_name = "K@R")]
    drop: Vec<Fault>,
    /// Key holder k never answers in round r: K@R.
    #[arg(long, value_name = "K@R")]
    mute: Vec<Fault>,
    /// Contributor k adds noise beyond any bound to its body in round r: K@R.
    #[arg(long, value_name = "K@R")]
    spoil: Vec<Fault>,
    /// Contributor k deals wrong shares to c key holders in round r, and none to one more: K@R.
    #[arg(long, value_name = "K@R")]
    baddeal: Vec<Fault>,
    /// Key holder k opens random words in round r: K@R.
    #[arg(long, value_name = "K@R")]
    lie: Vec<Fault>,
    /// A bit of contributor k's body flips on the aggregator's disk in round r, after its receipt: K@R.
    #[arg(long, value_name = "K@R")]
    flip: Vec<Fault>,
    /// Folder for pictures, reports and the sites' state.
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

impl Demo {
    /// Runs a whole study and prints what it shows.
    ///
    /// # Errors
    /// When the data cannot be used, or a round cannot be finished (too few key holders, say).
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let started = Instant::now();
        self.device.choose()?;
        let sites = self.images.sites.unwrap_or(DEFAULT_SITES);
        ensure!(
            sites >= 3,
            "expected at least 3 sites, got --sites {sites}: with two, each could subtract its own update from the sum"
        );
        if self.data.is_none() {
            self.images.check_without_data()?;
            self.plan.check_without_data()?;
        }
        let dataset = self.load()?;
        let plan = self.plan.plan(&dataset.classes, self.algorithm)?;
        let task = plan.task()?;
        plan.check(&dataset)?;
        let names = dataset.sites.iter().map(|site| site_id(&site.site));
        self.faults().check(&names.collect::<anyhow::Result<Vec<_>>>()?, plan.rounds)?;
        let initial = plan.initial_weights()?;
        self.print_study(&dataset, &plan, &initial);
        remarks(task.as_ref(), &dataset).iter().for_each(|line| println!("  {line}"));
        let mut sites = Vec::new();
        for site in &dataset.sites {
            let scores = evaluate(task.as_ref(), &initial, &site.test)?;
            sites.push(SiteScores::start(&site.site, scores));
        }
        let local = local_only(&plan, &dataset, &initial)?;
        let mut federation = self.start(&plan, &dataset, initial).await?;
        let rounds = federate(&mut federation, &plan, &dataset).await?;
        let global = federation.model().clone();
        for ((scores, site), local) in sites.iter_mut().zip(&dataset.sites).zip(&local) {
            scores.local = Some(evaluate(task.as_ref(), local, &site.test)?);
            scores.federated = Some(evaluate(task.as_ref(), &global, &site.test)?);
        }
        let personal = personalise(&plan, &dataset, &global)?;
        for ((scores, site), personal) in sites.iter_mut().zip(&dataset.sites).zip(&personal) {
            scores.personal = Some(evaluate(task.as_ref(), personal, &site.test)?);
        }
        let outcome = Outcome {
            data: self.data.as_deref(),
            plan: &plan,
            federation: &federation,
            rounds: &rounds,
            sites: &sites,
            elapsed: started.elapsed(),
        };
        let report = Report::of(&outcome);
        report.print();
        self.pictures(&plan, &dataset, &local, &global)?;
        plan.save(&global, &self.out.join("model.safetensors"))?;
        for (site, personal) in dataset.sites.iter().zip(&personal) {
            plan.save(personal, &self.out.join(format!("model-{}.safetensors", site.site)))?;
        }
        report.save(&self.out)?;
        println!(
            "\nwritten to {}: report.json, ring.svg, predictions-*.png, model.safetensors",
            self.out.display()
        );
        Ok(())
    }

    fn load(&self) -> anyhow::Result<Dataset> {
        let PlanArgs { side, seed, .. } = self.plan;
        if let Some(path) = &self.data {
            let options = self.images.options((side, self.plan.channels()), seed, &[])?;
            let options = DataOptions { least_sites: DEFAULT_SITES, ..options };
            return Ok(data::load(path, &options)?);
        }
        let sites = self.images.sites.unwrap_or(DEFAULT_SITES);
        let phantoms = PhantomOptions { side, sites, seed, ..PhantomOptions::default() };
        let mut dataset = phantom::generate(&phantoms)?;
        for site in &mut dataset.sites {
            site.train.truncate(self.images.max_per_site.unwrap_or(usize::MAX));
        }
        Ok(dataset)
    }

    /// Starts the aggregator and the sites.
    async fn start(
        &self,
        plan: &TrainingPlan,
        dataset: &Dataset,
        initial: Weights,
    ) -> anyhow::Result<Federation> {
        let setup = FederationSetup {
            names: dataset.sites.iter().map(|site| site.site.clone()).collect(),
            initial,
            mean_step: plan.mean_step,
            training: pinned(plan)?,
            options: self.federation.options(dataset),
            faults: self.faults(),
            rounds: plan.rounds,
            clock: Clock::system(),
        };
        let federation = Federation::start(&self.out.join("state"), setup).await?;
        let aggregator = federation.aggregator();
        println!(
            "\naggregator  pid {} at {} (its own process, real HTTP)",
            aggregator.pid(),
            aggregator.url()
        );
        println!("study       {}\n", federation.study_id());
        Ok(federation)
    }

    fn faults(&self) -> Faults {
        Faults {
            drop: self.drop.clone(),
            mute: self.mute.clone(),
            spoil: self.spoil.clone(),
            baddeal: self.baddeal.clone(),
            lie: self.lie.clone(),
            flip: self.flip.clone(),
        }
    }

    fn print_study(&self, dataset: &Dataset, plan: &TrainingPlan, initial: &Weights) {
        let source = match &self.data {
            Some(path) => format!("images of {}", path.display()),
            None => "generated lung-CT phantoms (simulated images)".to_owned(),
        };
        println!("Ringfence demo: {} on {source}, seed {}", plan.task, plan.training.seed);
        println!(
            "model       {}, {} values; {}, {} rounds of {} local epochs; {}",
            plan.model,
            initial.len(),
            self.algorithm,
            plan.rounds,
            plan.training.epochs,
            plan.images()
        );
        for site in &dataset.sites {
            println!("  {:<24} {}", site.site, site.summary());
        }
    }

    /// Prediction sheets of every site: image, truth, local-only model, federated model.
    fn pictures(
        &self,
        plan: &TrainingPlan,
        dataset: &Dataset,
        local: &[Weights],
        global: &Weights,
    ) -> anyhow::Result<()> {
        let task = plan.task()?;
        for (site, local) in dataset.sites.iter().zip(local) {
            let samples = picture::spread(&site.test, 4);
            let path = self.out.join(format!("predictions-{}.png", site.site));
            let models = [("local only", local), ("federated", global)];
            picture::save_sheet(&path, task.as_ref(), &samples, &models)
                .with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// All rounds: every site trains, then the federation adds up.
async fn federate(
    federation: &mut Federation,
    plan: &TrainingPlan,
    dataset: &Dataset,
) -> anyhow::Result<Vec<DemoRound>> {
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let round = federation.next_round();
        let absent: Vec<bool> = federation.fates(round).iter().map(|fate| fate.absent).collect();
        let started = Instant::now();
        let start = RoundStart { plan, model: federation.model(), round: round.0 };
        let updates = train_round(&start, dataset, &absent)?;
        let train_seconds = started.elapsed().as_secs_f64();
        let report = federation.round(&updates).await?.clone();
        let round = DemoRound { report, train_seconds };
        round.print();
        rounds.push(round);
    }
    Ok(rounds)
}

/// The common model fine-tuned at every site, where that is asked for.
fn personalise(
    plan: &TrainingPlan,
    dataset: &Dataset,
    global: &Weights,
) -> anyhow::Result<Vec<Weights>> {
    let tuned = dataset.sites.iter().map(|site| plan.personalise(global, site));
    Ok(tuned.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The baseline: every site alone, for as many epochs as it trains in all federated rounds.
fn local_only(
    plan: &TrainingPlan,
    dataset: &Dataset,
    initial: &Weights,
) -> anyhow::Result<Vec<Weights>> {
    let bar = progress_bar("local only");
    let epochs = plan.rounds as usize * plan.training.epochs;
    bar.set_length((dataset.sites.len() * epochs) as u64);
    let mut models = Vec::new();
    for (position, site) in dataset.sites.iter().enumerate() {
        let mut weights = initial.clone();
        bar.set_message(site.site.clone());
        // The same epochs at the same learning rates as in the federated rounds.
        for round in 0..plan.rounds {
            let before = position * epochs + round as usize * plan.training.epochs;
            let start = RoundStart { plan, model: &weights, round };
            weights = start.train_alone(position, site, &mut |step| {
                bar.set_position((before + step.epoch - 1) as u64);
            })?;
        }
        models.push(weights);
    }
    bar.finish_and_clear();
    Ok(models)
}
