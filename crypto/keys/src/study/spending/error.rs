//! Why a study's budget does not suffice, or nothing can be said of it.

use ringfence_crypto::statement::{Budget, Spent};
use ringfence_privacy::Error;

use super::calibrate::LEAST_NOISE;
use crate::update::site_noise::parameters::SiteNoiseError;

/// A budget that does not suffice, or of which nothing can be said.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SpendingError {
    /// Numbers with which whole sites are not protected.
    #[error(transparent)]
    SiteNoise(#[from] SiteNoiseError),
    /// Noise that hides nothing.
    #[error(
        "the noise multiplier is {0}, expected at least {LEAST_NOISE}: less hides nothing, and what it spends is not computed"
    )]
    LittleNoise(f32),
    /// A budget that no noise keeps to.
    #[error(
        "no noise keeps {rounds} rounds within epsilon {} at delta {}: even a noise multiplier of {noise} spends {reached}; choose a larger epsilon or delta, a lower rate, fewer steps or fewer rounds",
        .budget.epsilon, .budget.delta
    )]
    Strict {
        /// Rounds that the study shall have.
        rounds: u32,
        /// What may be spent.
        budget: Budget,
        /// What they spend with the most noise.
        reached: f32,
        /// That noise.
        noise: f32,
    },
    /// A number that the accountant refuses.
    #[error("what the study spends of its privacy budget cannot be computed: {0}")]
    Accountant(#[from] Error),
    /// The study would spend more than it may.
    #[error(
        "{rounds} rounds spend epsilon {} at delta {}, and the study's budget is {}, enough for {most} rounds; choose a larger noise multiplier, fewer rounds, or a larger budget",
        .spent.epsilon, .spent.delta, .budget.epsilon
    )]
    Exceeded {
        /// Rounds that the study shall have.
        rounds: u32,
        /// What they spend.
        spent: Spent,
        /// What may be spent.
        budget: Budget,
        /// Rounds that the budget is enough for.
        most: u32,
    },
}
