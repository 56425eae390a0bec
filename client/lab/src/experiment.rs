//! `ringfence-lab experiment`: methods side by side on one set of data, over several seeds.
//!
//! Checkpoints are chosen on validation images: of each run the round whose model does best there,
//! on the mean of the sites. Test images are scored once, with that model. Every run is kept in a
//! file of its own, and a run that is there already is not repeated.

mod job;
mod method;
mod progress;
mod report;
mod rounds;
mod run;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use ringfence_learning::data::phantom::{self, PhantomOptions};
use ringfence_learning::task::remarks;
use ringfence_learning::{Dataset, TrainingPlan, data};
use ringfence_options::{
    DataArgs, DeviceArgs, FederationArgs, ObjectArg, PlanArgs, UsualEpochs, duration, each_once,
    name,
};
use ringfence_words::counted;

use crate::files::{make_folder, result_folder};
use job::Job;
use method::MethodName;
use progress::Progress;
use run::{Key, Run};

/// Arguments of `ringfence-lab experiment`.
#[derive(Debug, clap::Args)]
pub(crate) struct Experiment {
    /// An image folder with labels.csv, or a MedMNIST .npz; generated phantoms unless given.
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(flatten)]
    images: DataArgs,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    object: ObjectArg,
    /// What is compared.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [
        MethodName::Local, MethodName::Fedavg, MethodName::Perfedavg,
    ])]
    methods: Vec<MethodName>,
    /// Seeds of divisions, initial weights and training; --seed is not used.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3])]
    seeds: Vec<u64>,
    /// Run every federated method a second time through the aggregator, encrypted.
    #[arg(long)]
    encrypted: bool,
    #[command(flatten)]
    federation: FederationArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Seconds between two lines of progress where standard error is no terminal.
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..))]
    progress_seconds: u64,
    /// Folder for runs, report, charts and pictures. Started again, an experiment keeps the runs that
    /// are there and writes the rest anew.
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

impl Experiment {
    /// Runs what is not there yet, and reports on all.
    ///
    /// # Errors
    /// When the data cannot be used, or the folder holds runs of another experiment.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        self.device.choose()?;
        let object = self.object.name(self.plan.task, self.data.is_none())?;
        ensure!(!self.seeds.is_empty() && !self.methods.is_empty(), "nothing to compare");
        each_once("--seeds", &self.seeds)?;
        each_once("--methods", self.methods.iter().map(|method| name(*method)))?;
        result_folder(&self.out)?;
        let runs = self.out.join("runs");
        make_folder(&runs)?;
        let keys = self.keys();
        let to_make = keys.iter().filter(|key| !Run::is_kept(&runs.join(key.to_string())));
        let progress = Progress::new(to_make.count(), Duration::from_secs(self.progress_seconds));
        let (started, mut done) = (Instant::now(), Vec::new());
        let mut said = BTreeSet::new();
        for seed in &self.seeds {
            let dataset = self.dataset(*seed)?;
            let task = self.plan_of(MethodName::Local, *seed, &dataset)?.task()?;
            // The same of every seed, unless its division differs.
            let sites = dataset.sites.iter();
            let sites = sites.map(|site| format!("  {:<24} {}", site.site, site.summary()));
            for line in sites.chain(remarks(task.as_ref(), &dataset)) {
                if said.insert(line.clone()) {
                    println!("{line}");
                }
            }
            for key in keys.iter().filter(|key| key.seed == *seed) {
                let plan = self.plan_of(key.method, *seed, &dataset)?;
                plan.check(&dataset)?;
                done.push(self.one(*key, &plan, &dataset, &progress).await?);
            }
        }
        println!(
            "\n{} in all; this start took {}",
            counted(done.len() as u64, "run"),
            duration(started.elapsed())
        );
        report::write(&self.out, self.plan.task, &done)?;
        // Pictures of the first seed's models.
        if let Some(seed) = self.seeds.first() {
            let dataset = self.dataset(*seed)?;
            let of_seed: Vec<&Run> = done.iter().filter(|run| run.key.seed == *seed).collect();
            let plan = self.plan_of(MethodName::Fedavg, *seed, &dataset)?;
            report::pictures(&self.out, &plan, &dataset, &of_seed, (object, self.data.is_none()))?;
        }
        Ok(())
    }

    /// The runs, by seed.
    fn keys(&self) -> Vec<Key> {
        let ways: &[bool] = if self.encrypted { &[false, true] } else { &[false] };
        let mut keys = Vec::new();
        for seed in &self.seeds {
            for method in &self.methods {
                let ways = ways.iter().filter(|way| !**way || method.is_federated());
                keys.extend(ways.map(|way| Key { method: *method, seed: *seed, encrypted: *way }));
            }
        }
        keys
    }

    /// A run from its file, or anew.
    async fn one(
        &self,
        key: Key,
        plan: &TrainingPlan,
        dataset: &Dataset,
        progress: &Progress,
    ) -> anyhow::Result<Run> {
        let folder = self.out.join("runs").join(key.to_string());
        let federation = &self.federation.options(dataset);
        let job = Job { folder: &folder, key, plan, federation, dataset, progress };
        if let Some(run) = Run::load(&folder, key, &job.settings())? {
            println!("{key:<28} kept      {}", run.headline());
            return Ok(run);
        }
        progress.run(key);
        let run = job.run().await?;
        println!("{key:<28} {:>6.0} s  {}", run.seconds, run.headline());
        progress.ended(key, Duration::from_secs_f64(run.seconds));
        progress.say_left();
        Ok(run)
    }

    fn plan_of(
        &self,
        method: MethodName,
        seed: u64,
        dataset: &Dataset,
    ) -> anyhow::Result<TrainingPlan> {
        let mut args = self.plan.clone();
        args.seed = seed;
        let mut plan = args.plan(&dataset.classes, method.choice(), UsualEpochs::default())?;
        // Every common model is fine-tuned, too: otherwise what fine-tuning does and what the
        // algorithm does could not be told apart.
        plan.fine_tuning = self.plan.settings.fine_tuning_usually(1, UsualEpochs::default())?;
        Ok(plan)
    }

    fn dataset(&self, seed: u64) -> anyhow::Result<Dataset> {
        let side = self.plan.side;
        let Some(path) = &self.data else {
            self.images.check_without_data()?;
            self.plan.check_without_data()?;
            let sites = self.images.sites.unwrap_or(PhantomOptions::default().sites);
            let options = PhantomOptions { side, sites, seed, ..PhantomOptions::default() };
            return Ok(phantom::generate(&options)?);
        };
        Ok(data::load(path, &self.images.options((side, self.plan.channels()), seed, &[])?)?)
    }
}
