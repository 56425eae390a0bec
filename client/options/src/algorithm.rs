//! Which federated algorithm runs.

use std::fmt;

use ringfence_learning::{Algorithm, FineTuning, MetaGradient};
use ringfence_weights::MeanStep;

use crate::names::name;
use crate::retired::{Retired, renamed};

/// What a site descends in its rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AlgorithmName {
    /// Its own loss.
    Fedavg,
    /// Its own loss, pulled to the common model by --mu.
    Fedprox,
    /// The loss after one fine-tuning step of --alpha, its derivative to first order.
    Perfedavg,
    /// The same with the whole derivative, Hessian-free: twice the work.
    PerfedavgHf,
}

/// How the mean of the sites' updates changes the common model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum MeanStepName {
    /// It is added.
    Add,
    /// FedAdam with step size --mean-step-rate, computed alike at every site.
    Adam,
}

/// The algorithm of a study.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct AlgorithmChoice {
    /// What a site descends.
    #[arg(long, value_enum, default_value_t = AlgorithmName::Fedavg)]
    algorithm: AlgorithmName,
    /// What becomes of the mean update.
    #[arg(long, value_enum, default_value_t = MeanStepName::Add)]
    mean_step: MeanStepName,
    /// The name that --mean-step had.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "",
        value_parser = renamed("--server", "--mean-step"))]
    server: Option<Retired>,
}

impl AlgorithmChoice {
    /// This algorithm with this step.
    #[must_use]
    pub fn new(algorithm: AlgorithmName, mean_step: MeanStepName) -> Self {
        Self { algorithm, mean_step, server: None }
    }
}

/// Settings of the algorithms.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct AlgorithmSettings {
    /// FedProx: pull to the common model.
    #[arg(long, default_value_t = 0.01)]
    mu: f64,
    /// Step size of fine-tuning, and of PerFedAvg's inner step.
    #[arg(long, default_value_t = 0.01)]
    alpha: f64,
    /// Fine-tuning steps at each site after the last round; 1 for PerFedAvg, else 0, unless given.
    #[arg(long)]
    fine_tune_steps: Option<usize>,
    /// Epochs of training at each site after these steps; the one that does best on the site's own
    /// validation images is kept.
    #[arg(long, default_value_t = 0)]
    fine_tune_epochs: usize,
    /// FedAdam's step size.
    #[arg(long, default_value_t = 0.01)]
    mean_step_rate: f64,
    /// The name that --mean-step-rate had.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "",
        value_parser = renamed("--server-rate", "--mean-step-rate"))]
    server_rate: Option<Retired>,
}

/// Displacement of the Hessian-free form's central difference: of the order of the cube root of
/// 32-bit floats' precision (4e-3), where rounding and the curvature's change balance.
const DELTA: f64 = 0.01;

impl AlgorithmSettings {
    /// What a site descends.
    pub(crate) fn local(&self, choice: AlgorithmChoice) -> Algorithm {
        let alpha = self.alpha;
        match choice.algorithm {
            AlgorithmName::Fedavg => Algorithm::FedAvg,
            AlgorithmName::Fedprox => Algorithm::FedProx { mu: self.mu },
            AlgorithmName::Perfedavg => {
                Algorithm::PerFedAvg { alpha, meta: MetaGradient::FirstOrder }
            }
            AlgorithmName::PerfedavgHf => {
                let meta = MetaGradient::HessianFree { delta: DELTA };
                Algorithm::PerFedAvg { alpha, meta }
            }
        }
    }

    /// What becomes of the mean update.
    pub(crate) fn mean_step(&self, choice: AlgorithmChoice) -> MeanStep {
        match choice.mean_step {
            MeanStepName::Add => MeanStep::Add,
            MeanStepName::Adam => MeanStep::adam(self.mean_step_rate),
        }
    }

    /// Personalisation after the last round: where the algorithm is made for it, unless its steps
    /// are given.
    pub(crate) fn fine_tuning(&self, choice: AlgorithmChoice) -> Option<FineTuning> {
        self.fine_tuning_usually(usize::from(self.local(choice).inner_step().is_some()))
    }

    /// Personalisation of so many steps, unless they are given.
    #[must_use]
    pub fn fine_tuning_usually(&self, usual: usize) -> Option<FineTuning> {
        let steps = self.fine_tune_steps.unwrap_or(usual);
        let Self { alpha, fine_tune_epochs: epochs, .. } = *self;
        (steps > 0 || epochs > 0).then_some(FineTuning { alpha, steps, epochs })
    }
}

impl fmt::Display for AlgorithmChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(self.algorithm))?;
        match self.mean_step {
            MeanStepName::Add => Ok(()),
            step => write!(f, ", mean step {}", name(step)),
        }
    }
}
