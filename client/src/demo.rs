//! `ringfence demo`: a whole encrypted study on one machine, with real HTTP.
//!
//! What is simulated: the hospitals are tasks of one process, and without `--data` their images
//! are generated phantoms. What is real: the aggregator is its own binary in its own process, and
//! every contribution, endorsement and opening goes through it over HTTP.

mod aggregator;
mod algorithm;
mod fault;
mod federation;
mod report;
mod ring;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::learning::data::phantom::{self, PhantomOptions};
use crate::learning::{
    Algorithm, Classification, DataOptions, Dataset, Segmentation, SiteData, Task, TrainOptions,
    data, evaluate, fine_tune, picture, train,
};
use crate::weights::Weights;
use algorithm::AlgorithmOptions;
pub use fault::Fault;
use federation::Federation;
use report::{Report, SiteScores};

/// What the sites learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TaskName {
    /// Outline the lesions (a light U-Net; Dice).
    Segmentation,
    /// Name the class of the image (a small CNN; accuracy, F1).
    Classification,
}

impl TaskName {
    /// Rounds after which the light models' scores have settled on the phantoms.
    fn default_rounds(self) -> u32 {
        match self {
            Self::Segmentation => 6,
            Self::Classification => 10,
        }
    }
}

/// Arguments of `ringfence demo`.
#[derive(Debug, clap::Args)]
pub struct DemoOptions {
    /// An image folder with labels.csv, or a MedMNIST .npz; generated phantoms unless given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// What is learnt.
    #[arg(long, value_enum, default_value_t = TaskName::Segmentation)]
    task: TaskName,
    /// Number of sites.
    #[arg(long, default_value_t = 5)]
    sites: usize,
    /// Number of federated rounds; 6 for segmentation, 10 for classification unless given.
    #[arg(long)]
    rounds: Option<u32>,
    /// Local epochs a round; chosen for the task unless given.
    #[arg(long)]
    epochs: Option<usize>,
    /// Seed of data, splits, initial weights and training (never of keys).
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Side of the square images, in pixels.
    #[arg(long, default_value_t = 64)]
    side: usize,
    /// Most training images a site; all unless given.
    #[arg(long)]
    max_per_site: Option<usize>,
    #[command(flatten)]
    algorithm: AlgorithmOptions,
    /// Bits of a quantized value.
    #[arg(long, default_value_t = 16)]
    bits: u8,
    /// Updates are clipped to [-CLIP, CLIP].
    #[arg(long, default_value_t = 0.5)]
    clip: f32,
    /// Site k (from 0, or its name) vanishes in round r: K@R before contributing, K@R:after after.
    #[arg(long, value_name = "K@R")]
    drop: Vec<Fault>,
    /// Key holder k never answers in round r: K@R.
    #[arg(long, value_name = "K@R")]
    mute: Vec<Fault>,
    /// Seconds that a round stays open for contributions.
    #[arg(long, default_value_t = 15)]
    round_seconds: u32,
    /// Seconds to wait for missing key holders.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// Folder for pictures, reports and the sites' state.
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

/// Runs a whole study and prints what it shows.
///
/// # Errors
/// When the data cannot be used, or a round cannot be finished (too few key holders, say).
pub async fn run(options: DemoOptions) -> anyhow::Result<()> {
    let started = std::time::Instant::now();
    let rounds = options.rounds.unwrap_or(options.task.default_rounds());
    ensure!(rounds > 0, "expected at least one round, got --rounds 0");
    ensure!(
        options.sites >= 3,
        "expected at least 3 sites, got --sites {}: with two, each could subtract its own update from the sum",
        options.sites
    );
    let dataset = load(&options)?;
    let task = task_for(options.task, options.side, &dataset)?;
    task.check(&dataset)?;
    let mut training = TrainOptions::for_task(task.as_ref());
    training.epochs = options.epochs.unwrap_or(training.epochs);
    training.seed = options.seed;
    training.algorithm = options.algorithm.local();

    let initial = task.initial_weights(options.seed)?;
    print_study(&options, &dataset, task.as_ref(), &initial, (rounds, &training));
    let mut sites = Vec::new();
    for site in &dataset.sites {
        sites.push(SiteScores::start(&site.site, evaluate(task.as_ref(), &initial, &site.test)?));
    }
    let local = local_only(task.as_ref(), &dataset, &initial, &training, rounds)?;
    let mut federation = Federation::start(&options, rounds, &dataset, &initial).await?;
    println!(
        "\naggregator  pid {} at {} (its own process, real HTTP)",
        federation.aggregator.pid(),
        federation.aggregator.url()
    );
    println!("study       {}\n", federation.digest());
    for round in 0..rounds {
        let summary = federation.round(round, task.as_ref(), &dataset, &training).await?;
        summary.print();
    }
    let global = federation.model().clone();
    for ((scores, site), local) in sites.iter_mut().zip(&dataset.sites).zip(&local) {
        scores.local = Some(evaluate(task.as_ref(), local, &site.test)?);
        scores.federated = Some(evaluate(task.as_ref(), &global, &site.test)?);
    }
    let personal = personalise(&options, task.as_ref(), &dataset, &global)?;
    for ((scores, site), personal) in sites.iter_mut().zip(&dataset.sites).zip(&personal) {
        scores.personal = Some(evaluate(task.as_ref(), personal, &site.test)?);
    }
    let report = Report::new(&options, &federation, sites, started.elapsed());
    report.print();
    pictures(&options, task.as_ref(), &dataset, &local, &global)?;
    global.save(&options.out.join("model.safetensors"))?;
    for (site, personal) in dataset.sites.iter().zip(&personal) {
        personal.save(&options.out.join(format!("model-{}.safetensors", site.site)))?;
    }
    report.save(&options.out)?;
    println!(
        "\nwritten to {}: report.json, ring.svg, predictions-*.png, model.safetensors",
        options.out.display()
    );
    Ok(())
}

fn load(options: &DemoOptions) -> anyhow::Result<Dataset> {
    let DemoOptions { data: path, sites, seed, side, max_per_site, .. } = options;
    match path {
        Some(path) => {
            let options = DataOptions {
                side: *side,
                sites: Some(*sites),
                seed: *seed,
                max_per_site: *max_per_site,
                ..DataOptions::default()
            };
            Ok(data::load(path, &options)?)
        }
        None => {
            let options =
                PhantomOptions { side: *side, sites: *sites, seed: *seed, ..Default::default() };
            let mut dataset = phantom::generate(&options)?;
            for site in &mut dataset.sites {
                site.train.truncate(max_per_site.unwrap_or(usize::MAX));
            }
            Ok(dataset)
        }
    }
}

fn task_for(name: TaskName, side: usize, dataset: &Dataset) -> anyhow::Result<Box<dyn Task>> {
    Ok(match name {
        TaskName::Segmentation => Box::new(Segmentation::light(side)?),
        TaskName::Classification => Box::new(Classification::light(side, &dataset.classes)?),
    })
}

fn print_study(
    options: &DemoOptions,
    dataset: &Dataset,
    task: &dyn Task,
    initial: &Weights,
    (rounds, training): (u32, &TrainOptions),
) {
    let source = match &options.data {
        Some(path) => format!("images of {}", path.display()),
        None => "generated lung-CT phantoms (simulated images)".to_owned(),
    };
    println!("Ringfence demo: {} on {source}, seed {}", task.name(), options.seed);
    println!(
        "model       {} values; {}, {} rounds of {} local epochs; {} px",
        initial.len(),
        options.algorithm.name(),
        rounds,
        training.epochs,
        dataset.side
    );
    for site in &dataset.sites {
        println!(
            "  {:<24} {:>4} training, {:>3} validation, {:>3} test images",
            site.site,
            site.train.len(),
            site.validation.len(),
            site.test.len()
        );
    }
    for (site, reason) in &dataset.left_out {
        println!("  {site:<24} left out: {reason}");
    }
    if options.task == TaskName::Classification {
        for (site, note) in &dataset.notes {
            println!("  {site:<24} note: {note}");
        }
    }
}

/// The common model fine-tuned at every site, where that is asked for.
fn personalise(
    options: &DemoOptions,
    task: &dyn Task,
    dataset: &Dataset,
    global: &Weights,
) -> anyhow::Result<Vec<Weights>> {
    let Some((alpha, steps)) = options.algorithm.fine_tuning() else {
        return Ok(Vec::new());
    };
    let tuned = |site: &SiteData| fine_tune(task, global, &site.train, alpha, steps);
    dataset.sites.iter().map(|site| Ok(tuned(site)?)).collect()
}

/// The baseline: every site alone, for as many epochs as it trains in all federated rounds.
fn local_only(
    task: &dyn Task,
    dataset: &Dataset,
    initial: &Weights,
    training: &TrainOptions,
    rounds: u32,
) -> anyhow::Result<Vec<Weights>> {
    let bar = progress_bar("local only");
    let steps = dataset.sites.len() * rounds as usize * training.epochs;
    bar.set_length(steps as u64);
    let mut models = Vec::new();
    for (position, site) in dataset.sites.iter().enumerate() {
        let mut weights = initial.clone();
        // The same epochs at the same learning rates as in the federated rounds.
        for round in 0..rounds {
            let plain = TrainOptions { algorithm: Algorithm::FedAvg, ..training.clone() };
            let options = at_round(&plain, position, round, rounds);
            bar.set_message(site.site.clone());
            weights = train(task, &weights, &site.train, &options, &mut |step| {
                let rounds_before = position * rounds as usize + round as usize;
                bar.set_position((rounds_before * step.epochs + step.epoch - 1) as u64);
            })?;
        }
        models.push(weights);
    }
    bar.finish_and_clear();
    Ok(models)
}

/// A progress bar on standard error; silent when that is no terminal.
fn progress_bar(prefix: &'static str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:>12} [{bar:30}] {percent:>3}% {eta:>4} left  {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
    ProgressBar::new(1).with_style(style).with_prefix(prefix)
}

/// A site's training in a round: the learning rate falls over the rounds, and every site shuffles
/// differently.
fn at_round(training: &TrainOptions, position: usize, round: u32, rounds: u32) -> TrainOptions {
    let seed = training.seed.wrapping_mul(1_000_003).wrapping_add(position as u64);
    TrainOptions { seed, ..training.clone() }.at_round(round as usize, rounds as usize)
}

/// Prediction sheets of every site: image, truth, local-only model, federated model.
fn pictures(
    options: &DemoOptions,
    task: &dyn Task,
    dataset: &Dataset,
    local: &[Weights],
    global: &Weights,
) -> anyhow::Result<()> {
    for (site, local) in dataset.sites.iter().zip(local) {
        let samples = picture::spread(&site.test, 4);
        let path = options.out.join(format!("predictions-{}.png", site.site));
        picture::save_sheet(&path, task, &samples, &[("local only", local), ("federated", global)])
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}
