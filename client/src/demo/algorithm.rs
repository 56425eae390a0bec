//! Which federated algorithm the demo runs.

use crate::learning::{Algorithm, MetaGradient, ServerOptimizer};

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

/// Arguments that choose the algorithm.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AlgorithmOptions {
    /// What a site descends.
    #[arg(long, value_enum, default_value_t = AlgorithmName::Fedavg)]
    algorithm: AlgorithmName,
    /// FedProx: pull to the common model.
    #[arg(long, default_value_t = 0.01)]
    mu: f64,
    /// Step size of fine-tuning, and of PerFedAvg's inner step.
    #[arg(long, default_value_t = 0.01)]
    alpha: f64,
    /// Fine-tuning steps at each site after the last round; 1 for PerFedAvg, else 0, unless given.
    #[arg(long)]
    fine_tune_steps: Option<usize>,
    /// What becomes of the mean update.
    #[arg(long, value_enum, default_value_t = ServerName::Mean)]
    server: ServerName,
    /// FedAdam's step size.
    #[arg(long, default_value_t = 0.01)]
    server_rate: f64,
}

/// Displacement of the Hessian-free form's central difference: of the order of the cube root of
/// 32-bit floats' precision (4e-3), where rounding and the curvature's change balance.
const DELTA: f64 = 0.01;

impl AlgorithmOptions {
    pub(super) fn local(&self) -> Algorithm {
        let alpha = self.alpha;
        match self.algorithm {
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

    pub(super) fn server(&self) -> ServerOptimizer {
        match self.server {
            ServerName::Mean => ServerOptimizer::Mean,
            ServerName::Adam => ServerOptimizer::adam(self.server_rate),
        }
    }

    /// Step size and number of fine-tuning steps; `None` without any.
    pub(super) fn fine_tuning(&self) -> Option<(f64, usize)> {
        let usual = usize::from(self.local().inner_step().is_some());
        let steps = self.fine_tune_steps.unwrap_or(usual);
        (steps > 0).then_some((self.alpha, steps))
    }

    /// As written in the report.
    pub(super) fn name(&self) -> String {
        use clap::ValueEnum;
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let (local, server) =
            (name(self.algorithm.to_possible_value()), name(self.server.to_possible_value()));
        if server == "mean" { local } else { format!("{local}, server {server}") }
    }
}
