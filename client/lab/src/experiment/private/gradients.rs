//! DP-SGD at each site: the noise that a study of so many steps needs for its budget.

use anyhow::{Context, ensure};
use ringfence_crypto::statement::{PrivacyUnit as StudyUnit, RecordLevel};
use ringfence_keys::study::spending::{ACCOUNTANT, least_noise};
use ringfence_learning::{Dataset, TrainingPlan};
use ringfence_options::private_options;
use ringfence_privacy::{Mechanism, delta_below_one_over_records, epsilon};

use super::{Private, PrivateArgs, Protection, Statement, Unit};

impl PrivateArgs {
    /// The least noise that keeps the study within its budget, as a study of the protocol has it.
    pub(super) fn gradients(
        &self,
        budget: f64,
        plan: &TrainingPlan,
        dataset: &Dataset,
    ) -> anyhow::Result<Private> {
        let (rounds, all_steps) = (plan.rounds, self.private_steps.unwrap_or(0));
        ensure!(
            all_steps > 0 && all_steps % rounds == 0,
            "--private-steps {all_steps}: expected a multiple of the {rounds} rounds (--rounds), such as {}",
            all_steps.div_ceil(rounds).max(1) * rounds
        );
        let (largest, mean) = self.sizes(dataset)?;
        let delta = self.private_delta.unwrap_or(0.1 / largest as f32);
        delta_below_one_over_records(delta.into(), largest as u64)
            .context("--private-delta: records are the units of the largest site")?;
        let rate = self.private_rate.unwrap_or(1.0);
        let policy = RecordLevel {
            unit: match self.unit() {
                Unit::Patient => {
                    StudyUnit::Patient { records_per_step: self.records_per_step.unwrap_or(1) }
                }
                _ => StudyUnit::Record,
            },
            clip: self.private_clip.unwrap_or(1.0),
            noise_multiplier: 1.0,
            rate,
            steps: all_steps / rounds,
            // What a step samples on average at a site: alike at all of them.
            normaliser: rate * mean as f32,
            delta,
            epsilon: budget as f32,
        };
        let noise = least_noise(&policy, rounds).context("--epsilons")?;
        let private = private_options(&RecordLevel { noise_multiplier: noise, ..policy });
        plan.check_private(&private, largest)?;
        let step = Mechanism::gaussian(private.noise_multiplier, private.rate);
        let spent = epsilon(&[(step, all_steps.into())], delta.into(), ACCOUNTANT)?;
        let statement = Statement::Private {
            noise_multiplier: private.noise_multiplier,
            epsilon: spent,
            delta: delta.into(),
            unit: match self.unit() {
                Unit::Patient => "patient".to_owned(),
                Unit::Image => "image, not patient".to_owned(),
                Unit::Record | Unit::Site => "image".to_owned(),
            },
        };
        Ok(Private { protection: Protection::Gradients(private), statement })
    }

    /// Units of the largest site, and of a site on average.
    fn sizes(&self, dataset: &Dataset) -> anyhow::Result<(usize, f64)> {
        let units = dataset.sites.iter().map(|site| site.training_groups().len());
        let units: Vec<usize> = units.collect();
        let images: usize = dataset.sites.iter().map(|site| site.train.len()).sum();
        let all: usize = units.iter().sum();
        ensure!(
            self.unit() != Unit::Record || all == images,
            "--private-unit record: expected data in which nobody has two images, found {images} training images of {all} patients or volumes; hide patients (--private-unit patient), or say that images are counted whoever they are of (--private-unit image)"
        );
        let largest = units.iter().copied().max().unwrap_or(0);
        Ok((largest, all as f64 / units.len().max(1) as f64))
    }
}
