//! Which federated algorithm runs.

use std::fmt;

use ringfence_learning::{Algorithm, FineTuning, LearnError, MetaGradient};
use ringfence_weights::MeanStep;

use crate::counts::number;
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

/// Epochs of personalisation where none are given.
#[derive(Clone, Copy, Debug, Default)]
pub struct UsualEpochs {
    /// How many.
    pub epochs: usize,
    /// Their step size; that of the first round where there is none.
    pub learning_rate: Option<f64>,
}

/// Settings of the algorithms.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct AlgorithmSettings {
    /// FedProx: pull to the common model.
    #[arg(long, default_value_t = 0.01, value_parser = number::<f64>)]
    mu: f64,
    /// Step size of fine-tuning, and of PerFedAvg's inner step.
    #[arg(long, default_value_t = 0.01, value_parser = number::<f64>)]
    alpha: f64,
    /// Fine-tuning steps at each site after the last round; unless given, 1 for PerFedAvg and in
    /// every federated method of `ringfence-lab experiment` without --epsilons, else 0.
    #[arg(long)]
    fine_tune_steps: Option<usize>,
    /// Epochs of training at each site after these steps, of which the one is kept that does best
    /// on the site's own validation images; 8 in the demo, else 0, unless given.
    #[arg(long)]
    fine_tune_epochs: Option<usize>,
    /// Step size in these epochs; 0.001 in the demo, else that of the first round, unless given.
    #[arg(long, value_name = "RATE", value_parser = number::<f64>)]
    fine_tune_learning_rate: Option<f64>,
    /// FedAdam's step size.
    #[arg(long, default_value_t = 0.01, value_parser = number::<f64>)]
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

    /// Personalisation after the last round: one step where the algorithm is made for it, and the
    /// usual epochs, unless they are given.
    pub(crate) fn fine_tuning(
        &self,
        choice: AlgorithmChoice,
        usual: UsualEpochs,
    ) -> Result<Option<FineTuning>, LearnError> {
        let steps = usize::from(self.local(choice).inner_step().is_some());
        self.fine_tuning_usually(steps, usual)
    }

    /// Personalisation of so many steps and epochs, unless they are given.
    ///
    /// # Errors
    /// [`LearnError::Option`] for a step size that is not a positive number, or one of no epochs.
    pub fn fine_tuning_usually(
        &self,
        steps: usize,
        usual: UsualEpochs,
    ) -> Result<Option<FineTuning>, LearnError> {
        let steps = self.fine_tune_steps.unwrap_or(steps);
        let epochs = self.fine_tune_epochs.unwrap_or(usual.epochs);
        if let (0, Some(rate)) = (epochs, self.fine_tune_learning_rate) {
            return Err(LearnError::Option {
                option: "--fine-tune-learning-rate",
                expected: "epochs that it is the step size of (--fine-tune-epochs)",
                found: rate.to_string(),
            });
        }
        let learning_rate = self.fine_tune_learning_rate.or(usual.learning_rate);
        let fine_tuning = FineTuning { alpha: self.alpha, steps, epochs, learning_rate };
        fine_tuning.check()?;
        Ok((steps > 0 || epochs > 0).then_some(fine_tuning))
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        settings: AlgorithmSettings,
    }

    fn fine_tuning(flags: &[&str], usual: UsualEpochs) -> Result<Option<FineTuning>, LearnError> {
        let arguments = ["program"].iter().chain(flags);
        let settings = Program::try_parse_from(arguments).unwrap().settings;
        settings.fine_tuning_usually(0, usual)
    }

    #[test]
    fn epochs_of_fine_tuning_are_the_usual_ones_unless_given() {
        let usual = UsualEpochs { epochs: 8, learning_rate: Some(0.001) };
        let epochs = |flags: &[&str], usual| {
            let fine_tuning = fine_tuning(flags, usual).unwrap();
            fine_tuning.map(|tuning| (tuning.steps, tuning.epochs, tuning.learning_rate))
        };
        assert_eq!(epochs(&[], usual), Some((0, 8, Some(0.001))));
        assert_eq!(epochs(&["--fine-tune-epochs", "0"], usual), None);
        assert_eq!(epochs(&["--fine-tune-epochs", "3"], usual), Some((0, 3, Some(0.001))));
        let rate = ["--fine-tune-learning-rate", "0.01"];
        assert_eq!(epochs(&rate, usual), Some((0, 8, Some(0.01))));
        assert_eq!(epochs(&[], UsualEpochs::default()), None);
        let own = ["--fine-tune-epochs", "3"];
        assert_eq!(epochs(&own, UsualEpochs::default()), Some((0, 3, None)));
    }

    #[test]
    fn a_step_size_without_use_or_sense_is_refused() {
        for (flags, expected) in [
            (&["--fine-tune-learning-rate", "0.01"][..], "--fine-tune-epochs"),
            (&["--fine-tune-epochs", "1", "--fine-tune-learning-rate", "0"], "a positive number"),
            (&["--fine-tune-steps", "1", "--alpha", "NaN"], "a positive number"),
        ] {
            let error = fine_tuning(flags, UsualEpochs::default()).unwrap_err().to_string();
            assert!(error.contains(expected), "{flags:?}: {error}");
        }
    }
}
