//! What a site does to its own training images.

use ringfence_learning::shadow::Shadow;
use ringfence_learning::{LearnError, TrainingPlan};

/// A defence against whoever rebuilds images from gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DefenceName {
    /// Noise where a shadow of an attacker rebuilds an image best, less of it where the diagnosis is.
    Shadow,
}

/// The defence of a site, or of all sites of an experiment.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct DefenceArg {
    /// Train on images with noise that makes it harder to rebuild them from an update: for
    /// classification models with convolutions. It is NO differential-privacy guarantee, which private
    /// training alone gives, and costs some of the model's quality. A study does not say whether a site
    /// does it.
    #[arg(long, value_enum)]
    pub defence: Option<DefenceName>,
}

impl DefenceArg {
    /// Whether images get noise; refuses a plan that the defence does not fit.
    ///
    /// # Errors
    /// [`LearnError::Option`] with the models that it fits.
    pub fn of(self, plan: &TrainingPlan) -> Result<bool, LearnError> {
        match self.defence {
            None => Ok(false),
            Some(DefenceName::Shadow) => Shadow::check(plan.task, plan.model).map(|()| true),
        }
    }
}
