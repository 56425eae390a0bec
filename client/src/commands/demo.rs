//! `ringfence demo`: a whole encrypted study on one machine, with real HTTP.
//!
//! What is simulated: the hospitals are tasks of one process, and without `--data` their images
//! are generated phantoms; the faults that `--drop`, `--mute`, `--spoil`, `--baddeal`, `--lie` and
//! `--flip` ask for are played. What is real: the aggregator is its own binary in its own process,
//! every contribution, endorsement and opening goes through it over HTTP, and the sites are told
//! nothing of the faults that they meet.

mod demo_round;
mod gain;
mod report;
mod ring;
mod train;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use ringfence_clock::Clock;
use ringfence_federation::{Fault, Faults, Federation, FederationSetup, site_id};
use ringfence_learning::data::{
    self,
    phantom::{self, PhantomOptions},
};
use ringfence_learning::picture::Heading;
use ringfence_learning::shadow::Shadows;
use ringfence_learning::task::remarks;
use ringfence_learning::{DataOptions, Dataset, FineTuning, TrainingPlan, evaluate, picture};
use ringfence_options::{
    AlgorithmChoice, DataArgs, DefenceArg, DeviceArgs, FederationArgs, ObjectArg, PlanArgs,
    UsualEpochs, pinned,
};
use ringfence_weights::Weights;
use ringfence_words::counted;

use crate::commands::best_model::{BestModel, OWN};
use crate::files::empty_folder;
use report::{Outcome, Report, SiteScores};
use train::{federate, local_only, personalise};

/// Simulated hospitals unless `--sites` says otherwise; data that name more keep theirs.
const DEFAULT_SITES: usize = 5;

/// Personalisation at each site unless `--fine-tune-epochs` and its rate say otherwise: a third of
/// the step size of training, at which it did better than at all of it (`docs/results.md`).
const FINE_TUNING: UsualEpochs = UsualEpochs { epochs: 8, learning_rate: Some(0.001) };

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
    object: ObjectArg,
    #[command(flatten)]
    federation: FederationArgs,
    #[command(flatten)]
    defence: DefenceArg,
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
    /// Folder for pictures, reports and the sites' state; it must be empty or new.
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
        empty_folder(&self.out)?;
        let mut dataset = self.load()?;
        call_as_roster(&mut dataset)?;
        self.object.name(self.plan.task, self.data.is_none())?;
        let plan = self.plan.plan(&dataset.classes, self.algorithm, FINE_TUNING)?;
        let task = plan.task()?;
        plan.check(&dataset)?;
        let shadows = self.defence.of(&plan)?.then(Shadows::new);
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
        println!("\nevery hospital trains alone first, to compare with ...");
        let local = local_only(&plan, &dataset, &initial)?;
        let mut federation = self.start(&plan, &dataset, initial).await?;
        let rounds = federate(&mut federation, &plan, &dataset, shadows).await?;
        let global = federation.model().clone();
        for ((scores, site), local) in sites.iter_mut().zip(&dataset.sites).zip(&local) {
            scores.local = Some(evaluate(task.as_ref(), local, &site.test)?);
            scores.federated = Some(evaluate(task.as_ref(), &global, &site.test)?);
        }
        if plan.fine_tuning.is_some() {
            println!("\nevery hospital fine-tunes the common model ...");
        }
        let personal = personalise(&plan, &dataset, &global)?;
        for ((scores, site), personal) in sites.iter_mut().zip(&dataset.sites).zip(&personal) {
            scores.personal = Some(evaluate(task.as_ref(), personal, &site.test)?);
        }
        for (place, (scores, site)) in sites.iter_mut().zip(&dataset.sites).enumerate() {
            let own = local.get(place).map(|model| (OWN, model));
            let personal = personal.get(place).map(|model| ("personalised", model));
            let models: Vec<_> =
                own.into_iter().chain([("federated", &global)]).chain(personal).collect();
            scores.best = Some(BestModel::of(task.as_ref(), site, &models)?);
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
        let models = Models { local: &local, global: &global, personal: &personal };
        self.pictures(&plan, &dataset, models)?;
        plan.save(&global, &self.out.join("model.safetensors"))?;
        for (site, personal) in dataset.sites.iter().zip(&personal) {
            plan.save(personal, &self.out.join(format!("model-{}.safetensors", site.site)))?;
        }
        report.save(&self.out)?;
        let personal =
            if personal.is_empty() { "" } else { ", model-*.safetensors (personalised)" };
        println!(
            "\nwritten to {}: report.json, ring.svg, predictions-*.png, model.safetensors{personal}",
            self.out.display()
        );
        Ok(())
    }

    fn load(&self) -> anyhow::Result<Dataset> {
        let (side, seed) = (self.plan.side, self.plan.seed());
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
            "model       {}, {} values; {}, {} of {}; {}",
            plan.model,
            initial.len(),
            self.algorithm,
            counted(plan.rounds.into(), "round"),
            counted(plan.training.epochs as u64, "local epoch"),
            plan.images()
        );
        if let Some(FineTuning { steps, epochs, .. }) = plan.fine_tuning {
            let parts = [(steps, "", "step"), (epochs, "up to ", "epoch")];
            let parts = parts.iter().filter(|(count, ..)| *count > 0);
            let parts: Vec<String> = parts
                .map(|(count, most, of)| format!("{most}{}", counted(*count as u64, of)))
                .collect();
            println!("            then {} of fine-tuning at each site", parts.join(", "));
        }
        for site in &dataset.sites {
            println!("  {:<24} {}", site.site, site.summary(&dataset.classes));
        }
    }

    /// Prediction sheets of every site: image, truth, and what its own model, the federated one
    /// and, where there is one, the personalised one make of it.
    fn pictures(
        &self,
        plan: &TrainingPlan,
        dataset: &Dataset,
        Models { local, global, personal }: Models<'_>,
    ) -> anyhow::Result<()> {
        let task = plan.task()?;
        let object = self.object.name(plan.task, self.data.is_none())?;
        for (position, (site, local)) in dataset.sites.iter().zip(local).enumerate() {
            let samples = picture::spread(&site.test, 4);
            let path = self.out.join(format!("predictions-{}.png", site.site));
            let personal = personal.get(position).map(|model| ("personalised", model));
            let models: Vec<(&str, &Weights)> = [("local only", local), ("federated", global)]
                .into_iter()
                .chain(personal)
                .collect();
            let title = picture::title(&site.site, self.data.is_none());
            let heading = Heading { title: &title, object };
            picture::save_sheet(&path, task.as_ref(), heading, &samples, &models)
                .with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// Gives sites one spelling in all that is printed and written, the roster's, and says where it is
/// another than the data's.
///
/// # Errors
/// Where two sites would be called alike.
fn call_as_roster(dataset: &mut Dataset) -> anyhow::Result<()> {
    let mut called = BTreeMap::new();
    for site in &mut dataset.sites {
        let id = site_id(&site.site)?.to_string();
        if id != site.site {
            println!("the data's site `{}` is called `{id}`", site.site);
        }
        let name = std::mem::replace(&mut site.site, id.clone());
        if let Some(other) = called.insert(id.clone(), name.clone()) {
            bail!(
                "the data's sites `{other}` and `{name}` would both be called `{id}` (32 letters a to z, digits and dashes); give them other names"
            );
        }
    }
    Ok(())
}

/// What a demo ends with; no personal models where there is no fine-tuning.
struct Models<'a> {
    /// Of each site alone.
    local: &'a [Weights],
    global: &'a Weights,
    /// Of each site.
    personal: &'a [Weights],
}
