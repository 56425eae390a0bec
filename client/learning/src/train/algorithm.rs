//! The local part of a federated algorithm: the direction in which a site steps.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::gradient::gradients;
use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::parameters::Parameters;
use crate::task::Task;

/// What a site descends between two versions of the common model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// The site's own loss (McMahan et al., "Communication-Efficient Learning of Deep Networks
    /// from Decentralized Data", 2017): FedAvg where updates are averaged, and training alone
    /// where they are not.
    #[default]
    FedAvg,
    /// The loss plus `mu / 2 |w - w0|^2`, `w0` the round's first weights (Li et al., "Federated
    /// Optimization in Heterogeneous Networks", 2020).
    FedProx {
        /// Pull towards the common model; 0 is FedAvg.
        mu: f64,
    },
    /// The loss *after one gradient step of size `alpha`*: the common model learns to be a good
    /// start for each site's fine-tuning (Fallah et al., "Personalized Federated Learning with
    /// Theoretical Guarantees", 2020). With independent batches `D`, `D'`, `D''` of the site:
    /// `w' = w - alpha grad f(w; D)`, `g' = grad f(w'; D')`.
    PerFedAvg {
        /// Step size of the inner step, and of fine-tuning afterwards.
        alpha: f64,
        /// What of the inner step's derivative is kept.
        meta: MetaGradient,
    },
}

/// The gradient of `f(w - alpha grad f(w))` is `(1 - alpha H) g'`, `H` the Hessian at `w`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetaGradient {
    /// `g'`: the Hessian is left out.
    FirstOrder,
    /// `g' - alpha (grad f(w + d g'; D'') - grad f(w - d g'; D'')) / (2 d)`: the Hessian's product
    /// with `g'` by a central difference, with `d = delta / |g'|`.
    HessianFree {
        /// Length of the displacement: small against the curvature's changes, large against
        /// rounding (about 1e-2 for 32-bit floats).
        delta: f64,
    },
}

impl Algorithm {
    /// Independent batches that one step takes.
    pub(crate) fn batches(self) -> usize {
        match self {
            Self::FedAvg | Self::FedProx { .. } => 1,
            Self::PerFedAvg { meta: MetaGradient::FirstOrder, .. } => 2,
            Self::PerFedAvg { meta: MetaGradient::HessianFree { .. }, .. } => 3,
        }
    }

    /// The inner step size of personalisation, where the algorithm has one.
    #[must_use]
    pub fn inner_step(self) -> Option<f64> {
        match self {
            Self::PerFedAvg { alpha, .. } => Some(alpha),
            Self::FedAvg | Self::FedProx { .. } => None,
        }
    }

    /// The loss of the first batch before the step, and the direction to step against, for each
    /// variable in the order of their names. `start` are the round's first weights.
    pub(super) fn direction(
        self,
        task: &dyn Task,
        parameters: &Parameters,
        start: &[Tensor],
        batches: &[Vec<Sample>],
    ) -> Result<(f64, Vec<Tensor>), LearnError> {
        let batch = |index: usize| batches.get(index).map_or(&[][..], Vec::as_slice);
        let (loss, mut direction) = gradients(task, parameters, batch(0))?;
        match self {
            Self::FedAvg => {}
            Self::FedProx { mu } => {
                let variables = parameters.variables();
                for ((gradient, variable), start) in direction.iter_mut().zip(variables).zip(start)
                {
                    let away = (variable.as_tensor() - start)?;
                    *gradient = (&*gradient + (away * mu)?)?;
                }
            }
            Self::PerFedAvg { alpha, meta } => {
                let inner = parameters.shifted(&direction, -alpha)?;
                direction = gradients(task, &inner, batch(1))?.1;
                if let MetaGradient::HessianFree { delta } = meta {
                    let d = delta / norm(&direction)?.max(f64::MIN_POSITIVE);
                    let at = |d: f64| -> Result<Vec<Tensor>, LearnError> {
                        let moved = parameters.shifted(&direction, d)?;
                        Ok(gradients(task, &moved, batch(2))?.1)
                    };
                    let (ahead, behind) = (at(d)?, at(-d)?);
                    for ((gradient, ahead), behind) in direction.iter_mut().zip(ahead).zip(behind) {
                        let curved = ((ahead - behind)? * (alpha / (2.0 * d)))?;
                        *gradient = (&*gradient - curved)?;
                    }
                }
            }
        }
        Ok((loss, direction))
    }

    pub(super) fn check(self) -> Result<(), LearnError> {
        let positive = |option, value: f64| {
            if value.is_finite() && value > 0.0 {
                return Ok(());
            }
            let (expected, found) = ("a positive number", value.to_string());
            Err(LearnError::Option { option, expected, found })
        };
        match self {
            Self::FedAvg => Ok(()),
            Self::FedProx { mu: 0.0 } => Ok(()),
            Self::FedProx { mu } => positive("mu", mu),
            Self::PerFedAvg { alpha, meta } => {
                positive("alpha", alpha)?;
                match meta {
                    MetaGradient::FirstOrder => Ok(()),
                    MetaGradient::HessianFree { delta } => positive("delta", delta),
                }
            }
        }
    }
}

/// Euclidean length of all tensors together.
fn norm(tensors: &[Tensor]) -> Result<f64, LearnError> {
    let mut sum = 0.0;
    for tensor in tensors {
        sum += f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?);
    }
    Ok(sum.sqrt())
}
