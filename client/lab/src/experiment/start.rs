//! A warm start: the runs' first weights from a model file.

use std::path::Path;

use anyhow::{Context, ensure};
use ringfence_learning::TrainingPlan;
use ringfence_weights::Weights;
use serde::Serialize;

/// First weights that come from a file, and what they are.
#[derive(Debug, Serialize)]
pub(super) struct Start {
    /// BLAKE3 of names, shapes and values, in hexadecimal.
    digest: String,
    /// By which plan they were trained.
    plan: TrainingPlan,
    #[serde(skip)]
    pub(super) weights: Weights,
}

impl Start {
    /// Reads a model file with its plan.
    ///
    /// # Errors
    /// When it is no model file of Ringfence.
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        let (plan, weights) = TrainingPlan::load(path).context("--start")?;
        let digest = weights.digest().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { digest, plan, weights })
    }

    /// Checks that it is of the architecture that a plan trains.
    ///
    /// # Errors
    /// With the first tensor that differs.
    pub(super) fn check(&self, plan: &TrainingPlan) -> anyhow::Result<()> {
        let (expected, found) = (plan.initial_weights()?.shapes(), self.weights.shapes());
        let of = |tensor: Option<&(String, Vec<usize>)>| match tensor {
            Some((name, shape)) => format!("`{name}` {shape:?}"),
            None => "no further tensor".to_owned(),
        };
        let most = expected.len().max(found.len());
        let differs = (0..most).find(|place| expected.get(*place) != found.get(*place));
        ensure!(
            differs.is_none() && self.plan.model == plan.model,
            "--start: expected a model of the runs' architecture, {} on {}, with {}; found {} on {}, with {}",
            plan.model,
            plan.images(),
            of(expected.get(differs.unwrap_or(0))),
            self.plan.model,
            self.plan.images(),
            of(found.get(differs.unwrap_or(0)))
        );
        Ok(())
    }

    /// What it is, in a line.
    pub(super) fn summary(&self) -> String {
        let Self { digest, plan, .. } = self;
        format!(
            "every run starts from the model {digest}, trained as {} on {} for {} rounds with seed {}; whoever it was trained on is not protected here",
            plan.model,
            plan.images(),
            plan.rounds,
            plan.training.seed
        )
    }
}
