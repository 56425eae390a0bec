//! What is compared.

use ringfence_options::{AlgorithmChoice, AlgorithmName, MeanStepName};

/// A way to train at several sites.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub(super) enum MethodName {
    /// Every site alone.
    Local,
    /// The sites' updates are averaged.
    Fedavg,
    /// FedAvg with a pull to the common model.
    Fedprox,
    /// FedAvg with an adaptive step of the common model.
    Fedadam,
    /// The common model is a start for fine-tuning, first order.
    Perfedavg,
    /// The same, Hessian-free.
    PerfedavgHf,
}

impl MethodName {
    pub(super) fn is_federated(self) -> bool {
        self != Self::Local
    }

    /// Whether the method's model is meant to be fine-tuned: then checkpoints are chosen after it.
    pub(super) fn is_personal(self) -> bool {
        matches!(self, Self::Perfedavg | Self::PerfedavgHf)
    }

    pub(super) fn choice(self) -> AlgorithmChoice {
        let (algorithm, mean_step) = match self {
            Self::Local | Self::Fedavg => (AlgorithmName::Fedavg, MeanStepName::Add),
            Self::Fedprox => (AlgorithmName::Fedprox, MeanStepName::Add),
            Self::Fedadam => (AlgorithmName::Fedavg, MeanStepName::Adam),
            Self::Perfedavg => (AlgorithmName::Perfedavg, MeanStepName::Add),
            Self::PerfedavgHf => (AlgorithmName::PerfedavgHf, MeanStepName::Add),
        };
        AlgorithmChoice::new(algorithm, mean_step)
    }
}
