//! `ringfence init`: a model before its first round, with its training plan.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use ringfence_keys::CryptoRng;
use ringfence_learning::TaskName;
use ringfence_learning::data::check_class_names;
use ringfence_options::{AlgorithmChoice, PlanArgs, UsualEpochs};
use ringfence_site::model;
use ringfence_weights::Weights;
use ringfence_words::counted;

use crate::files::Replacing;

/// Arguments of `ringfence init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    algorithm: AlgorithmChoice,
    /// Names of the classes, in the order of their labels: the same for all sites.
    #[arg(long, value_delimiter = ',')]
    classes: Vec<String>,
    /// Begin with the values of this model (safetensors) of the same layout, such as the last one of
    /// another study, instead of values drawn by the seed. Only its values are taken, not its plan.
    #[arg(long)]
    from: Option<PathBuf>,
    /// Where to write the model with its plan.
    #[arg(long, default_value = "model.safetensors")]
    out: PathBuf,
    #[command(flatten)]
    replacing: Replacing,
}

impl Init {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        ensure!(
            self.plan.task == TaskName::Segmentation || self.classes.len() >= 2,
            "expected at least two classes, as in --classes normal,pneumonia; got {}",
            self.classes.len()
        );
        ensure!(
            self.plan.task == TaskName::Classification || self.classes.is_empty(),
            "--classes would change nothing: the task is segmentation; add --task classification, or leave it out"
        );
        let classes: Vec<String> =
            self.classes.iter().map(|class| class.trim().to_owned()).collect();
        check_class_names(&classes).context("--classes")?;
        // A seed that studies had in common would give them one initial model, from which a site
        // contributes once in all of them.
        let seed = match self.plan.seed {
            Some(seed) => seed,
            None => drawn_seed(&mut ringfence_keys::system_rng().context("no randomness")?),
        };
        let mut plan = self.plan;
        plan.seed = Some(seed);
        let plan = plan.plan(&classes, self.algorithm, UsualEpochs::default())?;
        self.replacing.check(&self.out)?;
        let drawn = plan.initial_weights()?;
        let weights = match &self.from {
            None => drawn,
            Some(path) => begun_from(path, &drawn)?,
        };
        plan.save(&weights, &self.out)?;
        println!(
            "{}: {} for {}, {} values at {}; {} of {}; seed {seed}",
            self.out.display(),
            plan.model,
            plan.task,
            weights.len(),
            plan.images(),
            counted(plan.rounds.into(), "round"),
            counted(plan.training.epochs as u64, "local epoch")
        );
        println!("digest {}", model::id(&weights));
        println!(
            "next: `ringfence study new --model {}`, and every site runs `ringfence join`",
            self.out.display()
        );
        Ok(())
    }
}

/// A seed that no other study has, but for one in four thousand million; short enough to be typed
/// again.
fn drawn_seed(rng: &mut impl CryptoRng) -> u64 {
    rng.next_u32().into()
}

/// The values of a model that has the layout of the plan's own.
fn begun_from(path: &Path, drawn: &Weights) -> anyhow::Result<Weights> {
    let weights = Weights::load(path)?;
    weights.check_finite().with_context(|| path.display().to_string())?;
    let (expected, got) = (drawn.shapes(), weights.shapes());
    let differs = expected.iter().zip(&got).find(|(expected, got)| expected != got);
    let differs = differs.map_or(String::new(), |((name, shape), (other, of))| {
        format!(": its tensor {other} {of:?} stands where {name} {shape:?} is expected")
    });
    ensure!(
        expected == got,
        "{} has {} tensors, the plan's model has {}{differs}; --from takes a model of the same --model, --side and number of --classes",
        path.display(),
        got.len(),
        expected.len()
    );
    Ok(weights)
}
