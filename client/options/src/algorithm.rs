//! Which federated algorithm runs.

use std::fmt;

use clap::ValueEnum;

use ringfence_learning::{Algorithm, FineTuning, MetaGradient, ServerOptimizer};

/// What a site descends in its rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AlgorithmName {
    /// Its own loss.
    Fedavg,
    /// Its own loss, pulled to the common model by --mu.
    Fedprox,
    /// The loss after one fine-tuning step of --alpha, its derivative to first order.
    Perfedavg,
    /// The same with the whole derivative, Hessian-free: twice the work.
    PerfedavgHf,
}

/// How the sites' updates change the common model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ServerName {
    /// Their mean is added.
    Mean,
    /// FedAdam with step size --server-rate, computed alike at every site.
    Adam,
}

/// The algorithm of a study.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct AlgorithmChoice {
    /// What a site descends.
    #[arg(long, value_enum, default_value_t = AlgorithmName::Fedavg)]
    pub(crate) algorithm: AlgorithmName,
    /// What becomes of the mean update.
    #[arg(long, value_enum, default_value_t = ServerName::Mean)]
    pub(crate) server: ServerName,
}

/// Settings of the algorithms.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct AlgorithmSettings {
    /// FedProx: pull to the common model.
    #[arg(long, default_value_t = 0.01)]
    mu: f64,
    /// Step size of fine-tuning, and of PerFedAvg's inner step.
    #[arg(long, default_value_t = 0.01)]
    alpha: f64,
    /// Fine-tuning steps at each site after the last round; 1 for PerFedAvg, else 0, unless given.
    #[arg(long)]
    pub(crate) fine_tune_steps: Option<usize>,
    /// Epochs of training at each site after these steps; the one that does best on the site's own
    /// validation images is kept.
    #[arg(long, default_value_t = 0)]
    fine_tune_epochs: usize,
    /// FedAdam's step size.
    #[arg(long, default_value_t = 0.01)]
    server_rate: f64,
}

/// Displacement of the Hessian-free form's central difference: of the order of the cube root of
/// 32-bit floats' precision (4e-3), where rounding and the curvature's change balance.
const DELTA: f64 = 0.01;

impl AlgorithmSettings {
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

    pub(crate) fn server(&self, choice: AlgorithmChoice) -> ServerOptimizer {
        match choice.server {
            ServerName::Mean => ServerOptimizer::Mean,
            ServerName::Adam => ServerOptimizer::adam(self.server_rate),
        }
    }

    pub(crate) fn fine_tuning(&self, choice: AlgorithmChoice) -> Option<FineTuning> {
        let usual = usize::from(self.local(choice).inner_step().is_some());
        self.fine_tuning_steps(self.fine_tune_steps.unwrap_or(usual))
    }

    pub(crate) fn fine_tuning_steps(&self, steps: usize) -> Option<FineTuning> {
        let Self { alpha, fine_tune_epochs: epochs, .. } = *self;
        (steps > 0 || epochs > 0).then_some(FineTuning { alpha, steps, epochs })
    }
}

impl fmt::Display for AlgorithmChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", name(self.algorithm))?;
        match self.server {
            ServerName::Mean => Ok(()),
            server => write!(f, ", server {}", name(server)),
        }
    }
}

/// A choice's name, as it stands on the command line.
pub(crate) fn name(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
