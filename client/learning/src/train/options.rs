//! How a site trains.

use serde::{Deserialize, Serialize};

use super::algorithm::Algorithm;
use super::augment::Augmentation;
use super::optimizer::Optimizer;
use crate::error::LearnError;
use crate::task::name::TaskName;

/// How a site trains between two versions of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainOptions {
    /// What is descended.
    pub algorithm: Algorithm,
    /// Passes over the site's training samples. An algorithm whose steps take several batches
    /// passes over them with each.
    pub epochs: usize,
    /// Samples a step.
    pub batch: usize,
    /// Step size.
    pub learning_rate: f64,
    /// The rule for a step.
    pub optimizer: Optimizer,
    /// How images differ each time they are seen.
    #[serde(alias = "flip")]
    pub augmentation: Augmentation,
    /// Fixes the order of samples and how they are augmented. Give every site and round another
    /// one.
    pub seed: u64,
}

impl TrainOptions {
    /// One round's training at a site. Segmentation: two passes in batches of two by Adam at
    /// 0.003, for about sixteen rounds. Classification: one pass in batches of eight at 0.002, for
    /// ten rounds or more.
    ///
    /// Segmentation was chosen on generated CT at five sites (`docs/results.md`). A site has some
    /// twenty images: batches of two make twice the steps of batches of four, and two passes
    /// exchanged often did better than four exchanged seldom. Much larger steps (0.01) drive the
    /// sites so far apart within a round that their mean predicts nothing, although each of them
    /// has learnt. So do longer rounds in classification where the sites have different classes
    /// (PneumoniaMNIST by Dirichlet 0.5): after two or three passes each names its own commonest
    /// class, and the mean never leaves that.
    #[must_use]
    pub fn for_task(task: TaskName) -> Self {
        let (epochs, batch, learning_rate) = match task {
            TaskName::Classification => (1, 8, 0.002),
            TaskName::Segmentation => (2, 2, 0.003),
        };
        Self {
            algorithm: Algorithm::FedAvg,
            epochs,
            batch,
            learning_rate,
            optimizer: Optimizer::Adam,
            augmentation: Augmentation::FLIP,
            seed: 1,
        }
    }

    /// These options for round `round` of `rounds`, from 0: the learning rate falls by half a
    /// cosine (Loshchilov and Hutter, "SGDR", 2017), `rate * (1 + cos(pi round / rounds)) / 2`, so
    /// that the sites' last steps are small and their mean is close to each of them; and the seed
    /// is another one each round. A site that trains alone for comparison should do the same.
    #[must_use]
    pub fn at_round(&self, round: usize, rounds: usize) -> Self {
        let share = round as f64 / rounds.max(1) as f64;
        let learning_rate = self.learning_rate * (1.0 + (std::f64::consts::PI * share).cos()) / 2.0;
        // An odd factor keeps neighbouring seeds' rounds apart (the golden ratio in 64 bits).
        let step = (round as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { learning_rate, seed: self.seed.wrapping_add(step), ..self.clone() }
    }

    /// Checks every option's range.
    ///
    /// # Errors
    /// [`LearnError::Option`] naming the option.
    pub fn check(&self) -> Result<(), LearnError> {
        self.algorithm.check()?;
        self.augmentation.check()?;
        let refuse = |option, expected, found| Err(LearnError::Option { option, expected, found });
        if self.epochs == 0 {
            return refuse("epochs", "at least 1", "0".to_string());
        }
        if self.batch == 0 {
            return refuse("batch", "at least 1 sample", "0".to_string());
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return refuse("learning_rate", "a positive number", self.learning_rate.to_string());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_falls_by_half_a_cosine_and_never_to_zero() {
        let options = TrainOptions::for_task(TaskName::Segmentation);
        let rate = |round| options.at_round(round, 6).learning_rate / options.learning_rate;
        assert!((rate(0) - 1.0).abs() < 1e-12);
        assert!((rate(2) - 0.75).abs() < 1e-12);
        assert!((rate(3) - 0.5).abs() < 1e-12);
        assert!(rate(5) > 0.05);
        assert_eq!(options.at_round(0, 6), options);
        assert_ne!(options.at_round(1, 6).seed, options.seed);
    }
}
