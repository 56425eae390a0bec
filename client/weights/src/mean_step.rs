//! The step that an opened mean makes: how the mean update changes the common model.
//!
//! Other systems call this rule the server's optimiser. Here the aggregator sees no mean, so every
//! site applies the rule for itself. Every site opens the same mean, bit for bit, and does with it
//! only additions, multiplications, divisions and square roots of doubles, which IEEE 754 rounds
//! alike on every machine. A site whose state differed would hold another model, and the next
//! manifest's digest would say so.

use serde::{Deserialize, Serialize};

use crate::error::WeightsError;
use crate::tensors::Weights;

/// The rule by which the mean of the sites' updates changes the common model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeanStep {
    /// `w <- w + d`, `d` the mean update: FedAvg.
    #[default]
    Add,
    /// FedAdam (Reddi et al., "Adaptive Federated Optimization", 2021, algorithm 2):
    /// `m <- b1 m + (1 - b1) d`, `v <- b2 v + (1 - b2) d^2`, `w <- w + rate m / (sqrt(v) + tau)`.
    Adam {
        /// Step size `rate`.
        rate: f64,
        /// `b1`: 0.9 in the paper.
        beta1: f64,
        /// `b2`: 0.99 in the paper.
        beta2: f64,
        /// `tau`, the degree of adaptivity; `v` starts at its square.
        tau: f64,
    },
}

impl MeanStep {
    /// FedAdam with the paper's constants and this step size.
    #[must_use]
    pub fn adam(rate: f64) -> Self {
        Self::Adam { rate, beta1: 0.9, beta2: 0.99, tau: 1e-3 }
    }
}

/// The rule with its memory of earlier rounds. A site that was away applies the means that it
/// missed, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanStepState {
    rule: MeanStep,
    /// `m` and `v`, one number for each weight in layout order; empty before the first round.
    first: Vec<f64>,
    second: Vec<f64>,
}

impl MeanStepState {
    /// Before the first round.
    #[must_use]
    pub fn new(rule: MeanStep) -> Self {
        Self { rule, first: Vec::new(), second: Vec::new() }
    }

    /// The rule with what another site remembers after the same rounds: for one that has come later.
    ///
    /// # Errors
    /// [`WeightsError::Memory`] for another number of values than a model of `weights` weights has,
    /// [`WeightsError::MemoryValue`] for one that no memory holds.
    pub fn resume(
        rule: MeanStep,
        weights: usize,
        mut memory: Vec<f64>,
    ) -> Result<Self, WeightsError> {
        let expected = match rule {
            MeanStep::Add => 0,
            MeanStep::Adam { .. } => 2 * weights,
        };
        // Before the first round there is none.
        if !memory.is_empty() && memory.len() != expected {
            return Err(WeightsError::Memory { expected, got: memory.len() });
        }
        let second = memory.split_off(memory.len() / 2);
        let wrong = memory.iter().find(|value| !value.is_finite());
        let wrong = wrong.or(second.iter().find(|value| !(value.is_finite() && **value >= 0.0)));
        if let Some(value) = wrong {
            return Err(WeightsError::MemoryValue(*value));
        }
        Ok(Self { rule, first: memory, second })
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> MeanStep {
        self.rule
    }

    /// What it remembers, in its own order.
    #[must_use]
    pub fn memory(&self) -> Vec<f64> {
        self.first.iter().chain(&self.second).copied().collect()
    }

    /// The common model after a round whose opened mean update is `mean`.
    ///
    /// # Errors
    /// [`WeightsError`] when the mean is of another model, or mean or next model is not finite;
    /// nothing is remembered then.
    pub fn apply(&mut self, model: &Weights, mean: &Weights) -> Result<Weights, WeightsError> {
        mean.check_finite()?;
        let MeanStep::Adam { rate, beta1, beta2, tau } = self.rule else {
            return model.add(mean);
        };
        model.check_same(mean)?;
        let mut next = self.clone();
        next.first.resize(model.len(), 0.0);
        next.second.resize(model.len(), tau * tau);
        let moments = next.first.iter_mut().zip(&mut next.second);
        let values = model.values().zip(mean.values()).zip(moments);
        let values = values.map(|((weight, update), (first, second))| {
            let update = f64::from(update);
            *first = beta1 * *first + (1.0 - beta1) * update;
            *second = beta2 * *second + (1.0 - beta2) * (update * update);
            (f64::from(weight) + rate * *first / (second.sqrt() + tau)) as f32
        });
        let stepped = Weights::from_values(&model.shapes(), values.collect())?;
        stepped.check_finite()?;
        *self = next;
        Ok(stepped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(values: &[f32]) -> Weights {
        Weights::from_values(&[("w".into(), vec![values.len()])], values.to_vec()).unwrap()
    }

    #[test]
    fn the_mean_is_added() {
        let mut state = MeanStepState::new(MeanStep::Add);
        let model = state.apply(&weights(&[1.0, 2.0]), &weights(&[0.5, -0.25])).unwrap();
        assert_eq!(model, weights(&[1.5, 1.75]));
    }

    #[test]
    fn adam_by_hand() {
        let rule = MeanStep::Adam { rate: 0.1, beta1: 0.5, beta2: 0.75, tau: 0.5 };
        let mut state = MeanStepState::new(rule);
        // m = 0.5, v = 0.75 * 0.25 + 0.25 = 0.4375; w = 1 + 0.05 / (0.661438 + 0.5).
        let model = state.apply(&weights(&[1.0]), &weights(&[1.0])).unwrap();
        let expected = 1.0 + 0.05 / (0.4375f64.sqrt() + 0.5);
        assert_eq!(model, weights(&[expected as f32]));
        // m = 0.25 - 0.5 = -0.25, v = 0.328125 + 0.25.
        let next = state.apply(&model, &weights(&[-1.0])).unwrap();
        let expected = f64::from(expected as f32) - 0.025 / (0.578_125_f64.sqrt() + 0.5);
        assert_eq!(next, weights(&[expected as f32]));
    }

    #[test]
    fn who_comes_later_goes_on_as_the_others_do() {
        let rule = MeanStep::adam(0.1);
        let mut state = MeanStepState::new(rule);
        assert_eq!(MeanStepState::resume(rule, 1, state.memory()).unwrap(), state);
        let model = state.apply(&weights(&[1.0]), &weights(&[0.5])).unwrap();
        let mut late = MeanStepState::resume(rule, 1, state.memory()).unwrap();
        let mean = weights(&[-0.25]);
        assert_eq!(late.apply(&model, &mean).unwrap(), state.apply(&model, &mean).unwrap());
        assert_eq!(late, state);
        assert!(MeanStepState::resume(rule, 2, state.memory()).is_err());
        assert!(MeanStepState::resume(MeanStep::Add, 1, vec![0.0; 2]).is_err());
        // What another site says it remembers, and no mean step does: the next model would be no number.
        for wrong in [[f64::NAN, 1.0], [0.5, f64::INFINITY], [0.5, -1e-9]] {
            let refused = MeanStepState::resume(rule, 1, wrong.to_vec()).unwrap_err().to_string();
            assert!(refused.contains("expected finite numbers"), "{refused}");
        }
    }

    #[test]
    fn a_mean_of_another_model_is_refused_and_nothing_is_remembered() {
        let mut state = MeanStepState::new(MeanStep::adam(0.01));
        let before = state.clone();
        assert!(state.apply(&weights(&[1.0]), &weights(&[1.0, 2.0])).is_err());
        assert!(state.apply(&weights(&[1.0]), &weights(&[f32::NAN])).is_err());
        assert_eq!(state, before);
    }

    #[test]
    fn a_next_model_that_is_not_finite_is_refused_and_nothing_is_remembered() {
        let (largest, infinite) = (weights(&[0.0, f32::MAX]), weights(&[0.0, f32::INFINITY]));
        for rule in [MeanStep::Add, MeanStep::adam(1e39)] {
            let mut state = MeanStepState::new(rule);
            for (model, mean) in [(&largest, &largest), (&infinite, &weights(&[0.0, 1.0]))] {
                let refused = state.apply(model, mean);
                assert!(matches!(refused, Err(WeightsError::NotFinite { index: 1, .. })));
            }
            assert_eq!(state, MeanStepState::new(rule));
        }
    }

    #[test]
    fn plans_and_reports_name_the_rule() {
        let json = |rule| serde_json::to_string(&rule).unwrap();
        assert_eq!(json(MeanStep::Add), r#""add""#);
        let adam = r#"{"adam":{"rate":0.01,"beta1":0.9,"beta2":0.99,"tau":0.001}}"#;
        assert_eq!(json(MeanStep::adam(0.01)), adam);
        assert_eq!(serde_json::from_str::<MeanStep>(adam).unwrap(), MeanStep::adam(0.01));
    }
}
