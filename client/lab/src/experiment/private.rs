//! Differential privacy as a further axis of the runs: `--epsilons` and what belongs to it.
//!
//! The noise of a run follows from its seed, so that a run can be repeated, and whoever knows the
//! seed can take it off again: it shows what privacy costs, and protects nobody.

mod gradients;
mod level;
mod sites;

use anyhow::{bail, ensure};
use ringfence_learning::private::PrivateOptions;
use ringfence_learning::{Dataset, Optimizer, TrainingPlan};
use ringfence_options::{each_once, name};
use serde::Serialize;

use super::method::MethodName;
pub(super) use level::{Level, Statement};
pub(super) use sites::NoisedSites;

/// Who is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Unit {
    /// One image, of data in which nobody has two.
    Record,
    /// One image, even where a patient has several: of such a patient epsilon says next to nothing.
    /// It is what published experiments on slices and tiles count.
    Image,
    /// A patient with all images, or a volume with all slices.
    Patient,
    /// A site with all of its patients: its whole update is clipped, and noise added to it.
    Site,
}

/// Arguments of experiments with differential privacy.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Differential privacy (for experiments only)")]
pub(super) struct PrivateArgs {
    /// Run every method at each of these budgets of the whole study: epsilons such as 1, 10 or 1e9,
    /// and `none` for ordinary training. The last round's model counts, of `none` too: no round is
    /// chosen by a score. The noise comes from the run's seed: whoever knows it can take the noise
    /// off, so such a model protects nobody.
    #[arg(long, value_delimiter = ',', value_name = "EPSILONS")]
    epsilons: Vec<Level>,
    /// Who is hidden; `record` unless given.
    #[arg(long, value_enum, requires = "epsilons")]
    private_unit: Option<Unit>,
    /// Length that a unit's gradient, or a site's update, is clipped to; 1 unless given.
    #[arg(long, requires = "epsilons")]
    private_clip: Option<f32>,
    /// Steps of the whole study at each site, the same number in every round.
    #[arg(long, requires = "epsilons")]
    private_steps: Option<u32>,
    /// Probability with which each unit takes part in a step, above 0 and up to 1.
    #[arg(long, requires = "epsilons")]
    private_rate: Option<f32>,
    /// The guarantee's delta, below 1 over the units of the largest site; a tenth of that unless
    /// given.
    #[arg(long, requires = "epsilons")]
    private_delta: Option<f32>,
    /// Images of one patient in a step at most, where patients are hidden.
    #[arg(long, requires = "epsilons")]
    records_per_step: Option<u16>,
    /// Step size of the first round in private runs; --learning-rate unless given.
    #[arg(long, value_name = "RATE", requires = "epsilons")]
    private_learning_rate: Option<f64>,
    /// Momentum of private runs, which train by SGD then; the optimizer of `none` unless given.
    #[arg(long, value_name = "MOMENTUM", requires = "epsilons")]
    private_momentum: Option<f64>,
    /// Run every method with noise of these deviations on every value that a site sends, without
    /// clipping (FedDP's recipe). What is not clipped has no epsilon.
    #[arg(long, value_delimiter = ',', value_name = "DEVIATIONS", requires = "epsilons")]
    parameter_noise: Vec<f64>,
}

/// What a run does to hide a unit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Protection {
    /// Nothing.
    None,
    /// DP-SGD at each site.
    Gradients(PrivateOptions),
    /// Updates are clipped, and every site adds noise.
    Updates(NoisedSites),
    /// Noise of this deviation on every value that a site sends.
    Parameters(f64),
}

/// A run's protection, and what it amounts to.
#[derive(Debug)]
pub(super) struct Private {
    pub(super) protection: Protection,
    pub(super) statement: Statement,
}

impl PrivateArgs {
    /// The budgets that are run, each a level of the axis; none where there is no such axis.
    pub(super) fn levels(&self) -> Vec<Level> {
        let unclipped = self.parameter_noise.iter().map(|deviation| Level::Unclipped(*deviation));
        self.epsilons.iter().copied().chain(unclipped).collect()
    }

    /// Whether there is such an axis.
    pub(super) fn is_asked_for(&self) -> bool {
        !self.epsilons.is_empty()
    }

    fn unit(&self) -> Unit {
        self.private_unit.unwrap_or(Unit::Record)
    }

    /// Refuses what can be told to be wrong without data.
    ///
    /// # Errors
    /// Naming the option, and what it may be.
    pub(super) fn check(&self, methods: &[MethodName], encrypted: bool) -> anyhow::Result<()> {
        if !self.is_asked_for() {
            return Ok(());
        }
        each_once("--epsilons and --parameter-noise", self.levels())?;
        for deviation in &self.parameter_noise {
            let holds = deviation.is_finite() && *deviation > 0.0;
            ensure!(holds, "--parameter-noise {deviation}: expected a deviation above 0");
        }
        ensure!(
            !encrypted,
            "--encrypted runs have no --epsilons: encryption changes no sum, so that the plain run says what privacy costs; leave one of them out"
        );
        for method in methods {
            let refused = match method {
                MethodName::Fedavg | MethodName::Fedprox | MethodName::Fedadam => continue,
                MethodName::Local => "a model that never leaves its site needs no noise",
                MethodName::Perfedavg | MethodName::PerfedavgHf => {
                    "each of its gradients is taken at weights that an unclipped gradient has moved, so that no unit's part is bounded"
                }
                _ => {
                    "what a site carries from round to round follows from its images without noise"
                }
            };
            bail!(
                "--methods {} has no --epsilons: {refused}; expected fedavg, fedprox or fedadam",
                name(*method)
            );
        }
        self.check_numbers()
    }

    fn check_numbers(&self) -> anyhow::Result<()> {
        if let Some(rate) = self.private_rate {
            let holds = rate > 0.0 && rate <= 1.0;
            ensure!(holds, "--private-rate {rate}: expected a probability above 0 and up to 1");
        }
        if let Some(clip) = self.private_clip {
            let holds = clip.is_finite() && clip > 0.0;
            ensure!(holds, "--private-clip {clip}: expected a length above 0");
        }
        let site = self.unit() == Unit::Site;
        let of_steps = [
            ("--private-steps", self.private_steps.is_some()),
            ("--private-rate", self.private_rate.is_some()),
        ];
        let given = |(option, given): &(&'static str, bool)| given.then_some(*option);
        if site {
            let own = [
                ("--private-learning-rate", self.private_learning_rate.is_some()),
                ("--private-momentum", self.private_momentum.is_some()),
            ];
            let given: Vec<_> = of_steps.iter().chain(&own).filter_map(given).collect();
            ensure!(
                given.is_empty(),
                "{} would change nothing: where sites are hidden, they train as usual and every site is in every round; leave it out",
                given.join(", ")
            );
        } else {
            let missing = of_steps.iter().find(|(_, given)| !given);
            if let Some((option, _)) = missing {
                bail!("{option} is missing: epsilon follows from steps, rate and noise");
            }
        }
        match (self.unit(), self.records_per_step) {
            (Unit::Patient, None | Some(0)) => {
                bail!("--records-per-step: expected at least 1 image of a patient in a step")
            }
            (Unit::Record | Unit::Image | Unit::Site, Some(_)) => {
                bail!("--records-per-step would change nothing: patients are not the unit")
            }
            _ => Ok(()),
        }
    }

    /// Makes every image a patient of its own where images are to be hidden, patients or not; the
    /// division into sites and splits is done by then, and stays.
    pub(super) fn regroup(&self, dataset: &mut Dataset) {
        if self.is_asked_for() && self.unit() == Unit::Image {
            for sample in dataset.sites.iter_mut().flat_map(|site| &mut site.train) {
                sample.group.clone_from(&sample.name);
            }
        }
    }

    /// The plan that a run of this level trains by.
    pub(super) fn adapt(&self, plan: &mut TrainingPlan, level: Level) {
        if !matches!(level, Level::Epsilon(_)) {
            return;
        }
        if let Some(momentum) = self.private_momentum {
            plan.training.optimizer = Optimizer::Sgd { momentum };
        }
        if let Some(rate) = self.private_learning_rate {
            plan.training.learning_rate = rate;
        }
    }

    /// What a run of this level does with these data, and what that amounts to.
    ///
    /// # Errors
    /// Data, targets and numbers that do not go together, with what would.
    pub(super) fn of(
        &self,
        level: Level,
        plan: &TrainingPlan,
        dataset: &Dataset,
    ) -> anyhow::Result<Private> {
        let epsilon = match level {
            Level::None => {
                let (protection, statement) = (Protection::None, Statement::NotPrivate);
                return Ok(Private { protection, statement });
            }
            Level::Unclipped(deviation) => {
                let protection = Protection::Parameters(deviation);
                return Ok(Private { protection, statement: Statement::NoEpsilon { deviation } });
            }
            Level::Epsilon(epsilon) => epsilon,
        };
        match self.unit() {
            Unit::Site => self.sites(epsilon, plan, dataset),
            Unit::Record | Unit::Image | Unit::Patient => self.gradients(epsilon, plan, dataset),
        }
    }
}

#[cfg(test)]
mod tests;
