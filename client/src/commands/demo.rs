//! `ringfence demo`: a whole encrypted study on one machine, with real HTTP.
//!
//! What is simulated: the hospitals are tasks of one process, and without `--data` their images
//! are generated phantoms. What is real: the aggregator is its own binary in its own process, and
//! every contribution, endorsement and opening goes through it over HTTP.

mod aggregator;
mod fault;
mod federation;
mod report;
mod ring;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use ringfence_options::{AlgorithmChoice, DataArgs, DeviceArgs, FederationArgs, PlanArgs};
use ringfence_learning::data::phantom::{self, PhantomOptions};
use ringfence_learning::{Dataset, Task, TaskName, TrainingPlan, evaluate, picture, train_alone};
use ringfence_weights::Weights;
pub use fault::Fault;
pub(crate) use fault::Faults;
pub(crate) use federation::Federation;
use report::{Report, SiteScores};

/// Simulated hospitals unless `--sites` says otherwise.
const DEFAULT_SITES: usize = 5;

/// Arguments of `ringfence demo`.
#[derive(Debug, clap::Args)]
pub struct DemoOptions {
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
    options.device.choose()?;
    let sites = options.images.sites.unwrap_or(DEFAULT_SITES);
    ensure!(
        sites >= 3,
        "expected at least 3 sites, got --sites {sites}: with two, each could subtract its own update from the sum"
    );
    let dataset = load(&options, sites)?;
    let plan = options.plan.plan(&dataset.classes, options.algorithm)?;
    let task = plan.task()?;
    plan.check(&dataset)?;
    let initial = plan.initial_weights()?;
    print_study(&options, &dataset, &plan, &initial);
    let mut sites = Vec::new();
    for site in &dataset.sites {
        sites.push(SiteScores::start(&site.site, evaluate(task.as_ref(), &initial, &site.test)?));
    }
    let local = local_only(&plan, &dataset, &initial)?;
    let mut federation = Federation::start(
        &options.out.join("state"),
        &options.federation,
        Faults { drop: options.drop.clone(), mute: options.mute.clone() },
        &plan,
        &dataset,
    )
    .await?;
    println!(
        "\naggregator  pid {} at {} (its own process, real HTTP)",
        federation.aggregator.pid(),
        federation.aggregator.url()
    );
    println!("study       {}\n", federation.digest());
    for round in 0..plan.rounds {
        let summary = federation.round(round, &dataset).await?;
        summary.print();
    }
    let global = federation.model().clone();
    for ((scores, site), local) in sites.iter_mut().zip(&dataset.sites).zip(&local) {
        scores.local = Some(evaluate(task.as_ref(), local, &site.test)?);
        scores.federated = Some(evaluate(task.as_ref(), &global, &site.test)?);
    }
    let personal = personalise(&plan, &dataset, &global)?;
    for ((scores, site), personal) in sites.iter_mut().zip(&dataset.sites).zip(&personal) {
        scores.personal = Some(evaluate(task.as_ref(), personal, &site.test)?);
    }
    let report = Report::new(&options, &plan, &federation, sites, started.elapsed());
    report.print();
    pictures(&options, task.as_ref(), &dataset, &local, &global)?;
    plan.save(&global, &options.out.join("model.safetensors"))?;
    for (site, personal) in dataset.sites.iter().zip(&personal) {
        plan.save(personal, &options.out.join(format!("model-{}.safetensors", site.site)))?;
    }
    report.save(&options.out)?;
    println!(
        "\nwritten to {}: report.json, ring.svg, predictions-*.png, model.safetensors",
        options.out.display()
    );
    Ok(())
}

fn load(options: &DemoOptions, sites: usize) -> anyhow::Result<Dataset> {
    let PlanArgs { side, seed, .. } = options.plan;
    if let Some(path) = &options.data {
        let mut images = options.images.clone();
        images.sites = Some(sites);
        return images.load(path, side, seed, &[]);
    }
    let phantoms = PhantomOptions { side, sites, seed, ..PhantomOptions::default() };
    let mut dataset = phantom::generate(&phantoms)?;
    for site in &mut dataset.sites {
        site.train.truncate(options.images.max_per_site.unwrap_or(usize::MAX));
    }
    Ok(dataset)
}

fn print_study(options: &DemoOptions, dataset: &Dataset, plan: &TrainingPlan, initial: &Weights) {
    let source = match &options.data {
        Some(path) => format!("images of {}", path.display()),
        None => "generated lung-CT phantoms (simulated images)".to_owned(),
    };
    println!("Ringfence demo: {} on {source}, seed {}", plan.task, plan.training.seed);
    println!(
        "model       {}, {} values; {}, {} rounds of {} local epochs; {} px",
        plan.model,
        initial.len(),
        options.algorithm,
        plan.rounds,
        plan.training.epochs,
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
    if plan.task == TaskName::Classification {
        for (site, note) in &dataset.notes {
            println!("  {site:<24} note: {note}");
        }
    }
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
            weights = train_alone(plan, &weights, site, (position, round), &mut |step| {
                bar.set_position((before + step.epoch - 1) as u64);
            })?;
        }
        models.push(weights);
    }
    bar.finish_and_clear();
    Ok(models)
}

/// A progress bar on standard error; silent when that is no terminal.
pub(crate) fn progress_bar(prefix: &'static str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:>12} [{bar:30}] {percent:>3}% {eta:>4} left  {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
    ProgressBar::new(1).with_style(style).with_prefix(prefix)
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
