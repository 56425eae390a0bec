//! `ringfence init`: a model before its first round, with its training plan.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{bail, ensure};
use ringfence_learning::TaskName;
use ringfence_options::{AlgorithmChoice, PlanArgs};
use ringfence_site::model;

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
    /// Where to write the model with its plan.
    #[arg(long, default_value = "model.safetensors")]
    out: PathBuf,
}

impl Init {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        ensure!(
            self.plan.task == TaskName::Segmentation || self.classes.len() >= 2,
            "expected at least two classes, as in --classes normal,pneumonia; got {}",
            self.classes.len()
        );
        let classes: Vec<String> =
            self.classes.iter().map(|class| class.trim().to_owned()).collect();
        let mut folded = BTreeMap::new();
        for class in &classes {
            ensure!(!class.is_empty(), "expected names in --classes, got an empty one");
            if let Some(other) = folded.insert(class.to_lowercase(), class) {
                bail!(
                    "expected different classes, got --classes {other} and {class}, which differ at most in case"
                );
            }
        }
        let plan = self.plan.plan(&classes, self.algorithm)?;
        let weights = plan.initial_weights()?;
        plan.save(&weights, &self.out)?;
        println!(
            "{}: {} for {}, {} values at {} px; {} rounds of {} local epochs",
            self.out.display(),
            plan.model,
            plan.task,
            weights.len(),
            plan.side,
            plan.rounds,
            plan.training.epochs
        );
        println!("digest {}", model::id(&weights));
        println!(
            "next: `ringfence study new --model {}`, and every site runs `ringfence join`",
            self.out.display()
        );
        Ok(())
    }
}
