//! The rules by which a gradient moves the parameters.

use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How a step follows from gradients `g`, with step size `r`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// `v <- momentum * v + g; w <- w - r * v` (Sutskever et al., 2013, in PyTorch's form).
    Sgd {
        /// Share of the last step that is kept; 0 is plain gradient descent.
        momentum: f64,
    },
    /// Adam (Kingma and Ba, 2015, algorithm 1) with its defaults, 0.9, 0.999 and 1e-8.
    Adam,
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// An optimiser's state. It never leaves the site, since it follows from the site's data. So it starts
/// from zero with every training, unless the site carries it over itself ([`super::Carried`]).
#[derive(Debug)]
pub(super) struct Stepper {
    rule: Optimizer,
    learning_rate: f64,
    variables: Vec<Var>,
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    steps: i32,
    /// By variable: whether it stays where it is.
    held: Vec<bool>,
}

impl Stepper {
    pub(super) fn new(rule: Optimizer, learning_rate: f64, variables: Vec<Var>) -> Result<Self> {
        let zeros =
            || variables.iter().map(|variable| variable.zeros_like()).collect::<Result<Vec<_>>>();
        let (first, second) = (zeros()?, zeros()?);
        let held = vec![false; variables.len()];
        Ok(Self { rule, learning_rate, variables, first, second, steps: 0, held })
    }

    /// First and second moments and the number of steps, for a checkpoint.
    pub(super) fn state(&self) -> (&[Tensor], &[Tensor], i32) {
        (&self.first, &self.second, self.steps)
    }

    /// Goes on from a checkpoint's state.
    pub(super) fn restore(&mut self, first: Vec<Tensor>, second: Vec<Tensor>, steps: i32) {
        (self.first, self.second, self.steps) = (first, second, steps);
    }

    /// From here on the variables that are marked stay where they are, and their moments, too.
    pub(super) fn hold(&mut self, held: Vec<bool>) {
        self.held = held;
    }

    /// One step; `gradients` are in the order of the variables.
    pub(super) fn step(&mut self, gradients: &[Tensor]) -> Result<()> {
        self.steps += 1;
        let correct1 = 1.0 - BETA1.powi(self.steps);
        let correct2 = 1.0 - BETA2.powi(self.steps);
        let (rule, rate) = (self.rule, self.learning_rate);
        let moments = self.first.par_iter_mut().zip(&mut self.second);
        let moved = self.variables.par_iter().zip(moments).zip(gradients).zip(&self.held);
        moved.filter(|(_, held)| !**held).try_for_each(|(((variable, (first, second)), g), _)| {
            let step = match rule {
                Optimizer::Sgd { momentum } => {
                    *first = ((&*first * momentum)? + g)?;
                    first.clone()
                }
                Optimizer::Adam => {
                    *first = ((&*first * BETA1)? + (g * (1.0 - BETA1))?)?;
                    *second = ((&*second * BETA2)? + (g.sqr()? * (1.0 - BETA2))?)?;
                    let root = ((&*second / correct2)?.sqrt()? + EPSILON)?;
                    ((&*first / correct1)? / root)?
                }
            };
            variable.set(&(variable.as_tensor() - (step * rate)?)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Steps of `f(w) = w^2 / 2`, whose gradient is `w`, from 1.
    fn path(rule: Optimizer, learning_rate: f64, steps: usize) -> Vec<f32> {
        let variable = Var::new(&[1.0_f32], &Device::Cpu).unwrap();
        let mut stepper = Stepper::new(rule, learning_rate, vec![variable.clone()]).unwrap();
        (0..steps)
            .map(|_| {
                stepper.step(&[variable.as_tensor().copy().unwrap()]).unwrap();
                variable.to_vec1::<f32>().unwrap()[0]
            })
            .collect()
    }

    #[test]
    fn steps_by_hand() {
        let close = |found: Vec<f32>, expected: &[f32]| {
            assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-6), "{found:?}");
        };
        close(path(Optimizer::Sgd { momentum: 0.0 }, 0.5, 2), &[0.5, 0.25]);
        // v: 1, 0.5 * 1 + 0.9 = 1.4; w: 1 - 0.1 = 0.9, 0.9 - 0.1 * 1.4 = 0.76.
        close(path(Optimizer::Sgd { momentum: 0.5 }, 0.1, 2), &[0.9, 0.76]);
        // Adam's first step is the learning rate itself, whatever the gradient. In the second,
        // m/c1 = (0.09 + 0.09) / 0.19 = 0.947368, v/c2 = (0.000999 + 0.00081) / 0.001999 =
        // 0.904952.
        close(path(Optimizer::Adam, 0.1, 2), &[0.9, 0.9 - 0.1 * 0.947_368_4 / 0.951_290]);
    }
}
