//! What is compared.

use ringfence_learning::{Part, Personal};
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
    /// FedAvg whose sites keep their optimizer's state from round to round.
    FedavgMoments,
    /// FedAvg with each site's own normalisation.
    Fedbn,
    /// FedAvg with each site's own last layer, which is trained first in each round.
    Fedrep,
    /// FedAvg with each site's own normalisation, first and last layer.
    FedbnRep,
    /// Beside FedAvg each site trains a model of its own, pulled to the common one by --ditto.
    Ditto,
    /// The models of `local`, trained further as common ones are fine-tuned.
    LocalTuned,
    /// The outputs of `local`'s and `fedavg`'s models, averaged by a weight that validation images
    /// choose at each site.
    Mixture,
}

impl MethodName {
    pub(super) fn is_federated(self) -> bool {
        !matches!(self, Self::Local) && !self.is_derived()
    }

    /// Whether it makes something of other methods' models, and trains nothing together.
    pub(super) fn is_derived(self) -> bool {
        !self.made_from().is_empty()
    }

    /// The methods whose models it is made from, of the same experiment and seed.
    pub(super) fn made_from(self) -> &'static [Self] {
        match self {
            Self::LocalTuned => &[Self::Local],
            Self::Mixture => &[Self::Local, Self::Fedavg],
            _ => &[],
        }
    }

    /// What is each site's own, with this pull of Ditto.
    pub(super) fn personal(self, ditto: f64) -> Option<Personal> {
        let parts = |parts: &[Part]| Personal {
            parts: parts.to_vec(),
            keep_moments: true,
            ..Personal::default()
        };
        match self {
            Self::FedavgMoments => Some(parts(&[])),
            Self::Fedbn => Some(parts(&[Part::Norm])),
            Self::Fedrep => Some(Personal { first_epochs: 1, ..parts(&[Part::Head]) }),
            Self::FedbnRep => Some(parts(&[Part::Norm, Part::First, Part::Head])),
            Self::Ditto => Some(Personal { ditto: Some(ditto), ..parts(&[]) }),
            _ => None,
        }
    }

    /// Whether the method's model is meant to be fine-tuned: then checkpoints are chosen after it.
    pub(super) fn is_personal(self) -> bool {
        matches!(self, Self::Perfedavg | Self::PerfedavgHf)
    }

    pub(super) fn choice(self) -> AlgorithmChoice {
        let (algorithm, mean_step) = match self {
            Self::Local
            | Self::Fedavg
            | Self::FedavgMoments
            | Self::Fedbn
            | Self::Fedrep
            | Self::FedbnRep
            | Self::Ditto
            | Self::LocalTuned
            | Self::Mixture => (AlgorithmName::Fedavg, MeanStepName::Add),
            Self::Fedprox => (AlgorithmName::Fedprox, MeanStepName::Add),
            Self::Fedadam => (AlgorithmName::Fedavg, MeanStepName::Adam),
            Self::Perfedavg => (AlgorithmName::Perfedavg, MeanStepName::Add),
            Self::PerfedavgHf => (AlgorithmName::PerfedavgHf, MeanStepName::Add),
        };
        AlgorithmChoice::new(algorithm, mean_step)
    }
}
