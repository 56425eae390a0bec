//! `ringfence-lab experiment`: methods side by side on one set of data, over several seeds.
//!
//! Checkpoints are chosen on validation images: of each run the round whose model does best there,
//! on the mean of the sites. Test images are scored once, with that model. Every run is kept in a
//! file of its own, and a run that is there already is not repeated. With `--epsilons` the last round
//! counts instead.

mod job;
mod method;
mod own;
mod private;
mod progress;
mod report;
mod rounds;
mod run;
mod start;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use ringfence_crypto::statement::Weighting;
use ringfence_learning::data::phantom::{self, PhantomOptions};
use ringfence_learning::task::remarks;
use ringfence_learning::{Dataset, SiteData, TaskName, TrainingPlan, data};
use ringfence_options::{
    DataArgs, DefenceArg, DeviceArgs, FederationArgs, ObjectArg, PlanArgs, UsualEpochs, duration,
    each_once, name, number,
};
use ringfence_words::counted;

use crate::files::{make_folder, result_folder};
use job::Job;
use method::MethodName;
use private::{Private, PrivateArgs, Protection};
use progress::Progress;
use run::{Key, Run};
use start::Start;

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
    /// What is compared; local, fedavg and perfedavg unless given, and fedavg alone with
    /// --epsilons.
    #[arg(long, value_enum, value_delimiter = ',')]
    methods: Vec<MethodName>,
    /// Seeds of divisions, initial weights and training; --seed is not used.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3])]
    seeds: Vec<u64>,
    /// Run every federated method a second time through the aggregator, encrypted.
    #[arg(long)]
    encrypted: bool,
    /// A model file of the same architecture whose weights every run starts from, instead of
    /// weights from its seed. What it was trained on is not protected by --epsilons: take a model of
    /// public images or phantoms.
    #[arg(long, value_name = "MODEL")]
    start: Option<PathBuf>,
    /// Ditto: how strongly each site's own model is pulled to the common one.
    #[arg(long, value_name = "PULL", default_value_t = 0.1, value_parser = number::<f64>)]
    ditto: f64,
    #[command(flatten)]
    private: PrivateArgs,
    #[command(flatten)]
    federation: FederationArgs,
    #[command(flatten)]
    defence: DefenceArg,
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

/// What was said of the data: the same of every seed, unless its division differs.
#[derive(Debug, Default)]
struct Said(BTreeSet<String>);

impl Said {
    /// The lines that no seed before had, below a line that names the seed where there was one.
    fn news(&mut self, seed: u64, lines: impl IntoIterator<Item = String>) -> Vec<String> {
        let is_first = self.0.is_empty();
        let mut news: Vec<String> =
            lines.into_iter().filter(|line| self.0.insert(line.clone())).collect();
        if !is_first && !news.is_empty() {
            news.insert(0, format!("with seed {seed} otherwise:"));
        }
        news
    }
}

impl Experiment {
    /// Runs what is not there yet, and reports on all.
    ///
    /// # Errors
    /// When the data cannot be used, or the folder holds runs of another experiment.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        self.device.choose()?;
        let object = self.object.name(self.plan.task, self.data.is_none())?;
        ensure!(!self.seeds.is_empty(), "nothing to compare");
        each_once("--seeds", &self.seeds)?;
        let methods = self.methods();
        each_once("--methods", methods.iter().map(|method| name(*method)))?;
        for method in &methods {
            let lacking = method.made_from().iter().find(|from| !methods.contains(from));
            if let Some(from) = lacking {
                bail!(
                    "--methods {}: expected {} among the methods, whose models it is made from",
                    name(*method),
                    name(*from)
                );
            }
        }
        let own = methods.iter().find(|method| method.personal(self.ditto).is_some());
        if let Some(own) = own.filter(|_| self.defence.defence.is_some()) {
            bail!(
                "--methods {}: expected methods without anything of a site's own with --defence; leave one out",
                name(*own)
            );
        }
        self.private.check(&methods, self.encrypted)?;
        let start = self.start.as_deref().map(Start::load).transpose()?;
        result_folder(&self.out)?;
        let runs = self.out.join("runs");
        make_folder(&runs)?;
        let keys = self.keys();
        let to_make = keys.iter().filter(|key| !Run::is_kept(&runs.join(key.to_string())));
        let progress = Progress::new(to_make.count(), Duration::from_secs(self.progress_seconds));
        let (started, mut done) = (Instant::now(), Vec::new());
        let mut said = Said::default();
        if let Some(start) = &start {
            println!("{}", start.summary());
        }
        for seed in &self.seeds {
            let dataset = self.dataset(*seed)?;
            let task = self.plan_of(MethodName::Local, *seed, &dataset)?.task()?;
            let sites = dataset.sites.iter();
            // What else a table says of an image is nothing to whoever marks pixels.
            let classes: &[String] = match self.plan.task {
                TaskName::Classification => &dataset.classes,
                TaskName::Segmentation => &[],
            };
            let line = |site: &SiteData| format!("  {:<24} {}", site.site, site.summary(classes));
            let lines = sites.map(line).chain(remarks(task.as_ref(), &dataset));
            said.news(*seed, lines).iter().for_each(|line| println!("{line}"));
            // All of a seed's runs are checked before the first of them trains.
            let mut ready = Vec::new();
            for key in keys.iter().filter(|key| key.seed == *seed) {
                ready.push((*key, self.ready(*key, start.as_ref(), &dataset)?));
            }
            for (key, (plan, private)) in ready {
                let folder = &self.out.join("runs").join(key.to_string());
                let federation = &self.federation.options(&dataset);
                let (plan, dataset, progress, start) = (&plan, &dataset, &progress, start.as_ref());
                // What trains alone sends nothing.
                let defended = key.method.is_federated() && self.defence.of(plan)?;
                let job = Job {
                    folder,
                    key,
                    plan,
                    federation,
                    dataset,
                    progress,
                    private,
                    start,
                    defended,
                };
                done.push(one(job).await?);
            }
        }
        println!(
            "\n{} in all; this start took {}",
            counted(done.len() as u64, "run"),
            duration(started.elapsed())
        );
        report::write(&self.out, self.plan.task, &done, start.as_ref())?;
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
            for method in &self.methods() {
                let ways = ways.iter().filter(|way| !**way || method.is_federated());
                for encrypted in ways {
                    let (method, seed, encrypted) = (*method, *seed, *encrypted);
                    let key = |level| Key { method, seed, encrypted, level };
                    match self.private.is_asked_for() {
                        true => keys.extend(self.private.levels().into_iter().map(Some).map(key)),
                        false => keys.push(key(None)),
                    }
                }
            }
        }
        keys
    }

    fn methods(&self) -> Vec<MethodName> {
        match (self.methods.is_empty(), self.private.is_asked_for()) {
            (false, _) => {
                // What is made from others' models comes after them.
                let mut methods = self.methods.clone();
                methods.sort_by_key(|method| method.is_derived());
                methods
            }
            (true, true) => vec![MethodName::Fedavg],
            (true, false) => vec![MethodName::Local, MethodName::Fedavg, MethodName::Perfedavg],
        }
    }

    /// A run's plan, and what it does to hide a unit, checked against the data.
    fn ready(
        &self,
        key: Key,
        start: Option<&Start>,
        dataset: &Dataset,
    ) -> anyhow::Result<(TrainingPlan, Option<Private>)> {
        let mut plan = self.plan_of(key.method, key.seed, dataset)?;
        if let Some(level) = key.level {
            self.private.adapt(&mut plan, level);
        }
        plan.check(dataset)?;
        self.defence.of(&plan)?;
        if let Some(start) = start {
            start.check(&plan)?;
        }
        let private = key.level.map(|level| self.private.of(level, &plan, dataset)).transpose()?;
        let weighting = self.federation.options(dataset).weighting;
        let of_sites = matches!(&private, Some(Private { protection: Protection::Updates(_), .. }));
        ensure!(
            !of_sites || weighting == Weighting::Equal,
            "--weighting samples: expected equal where sites are hidden, so that no site's part in the mean is larger than another's"
        );
        Ok((plan, private))
    }

    fn plan_of(
        &self,
        method: MethodName,
        seed: u64,
        dataset: &Dataset,
    ) -> anyhow::Result<TrainingPlan> {
        let mut args = self.plan.clone();
        args.seed = Some(seed);
        let mut plan = args.plan(&dataset.classes, method.choice(), UsualEpochs::default())?;
        // Every common model is fine-tuned, too: otherwise what fine-tuning does and what the
        // algorithm does could not be told apart. With --epsilons only where that is asked for.
        let steps = usize::from(!self.private.is_asked_for());
        plan.fine_tuning = self.plan.settings.fine_tuning_usually(steps, UsualEpochs::default())?;
        plan.personal = method.personal(self.ditto);
        Ok(plan)
    }

    fn dataset(&self, seed: u64) -> anyhow::Result<Dataset> {
        let side = self.plan.side;
        let Some(path) = &self.data else {
            self.images.check_without_data()?;
            self.plan.check_without_data()?;
            let sites = self.images.sites.unwrap_or(PhantomOptions::default().sites);
            let options = PhantomOptions { side, sites, seed, ..PhantomOptions::default() };
            let mut dataset = phantom::generate(&options)?;
            self.private.regroup(&mut dataset);
            return Ok(dataset);
        };
        let options = self.images.options((side, self.plan.channels()), seed, &[])?;
        let mut dataset = data::load(path, &options)?;
        self.private.regroup(&mut dataset);
        Ok(dataset)
    }
}

/// A run from its file, or anew.
async fn one(job: Job<'_>) -> anyhow::Result<Run> {
    let (key, progress) = (job.key, job.progress);
    if let Some(run) = Run::load(job.folder, key, &job.settings())? {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_seed_has_is_said_once_and_what_differs_with_its_seed() {
        let lines = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut said = Said::default();
        let first = lines(&["a 3 images", "left out: 2 images"]);
        assert_eq!(said.news(1, first.clone()), first);
        assert!(said.news(2, first).is_empty());
        let other = said.news(3, lines(&["a 3 images", "left out: 4 images"]));
        assert_eq!(other, ["with seed 3 otherwise:", "left out: 4 images"]);
    }
}
