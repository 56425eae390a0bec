//! Training with differential privacy for each record or patient: DP-SGD (Abadi et al., "Deep
//! Learning with Differential Privacy", 2016).
//!
//! Each step every unit, a record or a patient, takes part independently with probability `rate`.
//! The gradient of each is clipped to the length `clip`, and the clipped ones are added. Gaussian
//! noise of deviation `noise_multiplier * clip` is added to the sum, and it is divided by a
//! constant. What epsilon that makes follows from `noise_multiplier`, `rate` and the number of
//! steps alone, and is no business of this module.
//!
//! # What makes it true
//!
//! - Batches are true Poisson samples, of any size down to none, and every step adds its noise.
//! - The divisor is `normaliser`, a constant of the study: the sampled size would tell who is in.
//! - A unit's loss depends on no other unit: losses are taken image by image, models normalise
//!   within an image, and each image is brought to mean 0 and variance 1 by itself.
//! - A unit whose gradient is not finite adds nothing. The step goes on: to stop would tell of it.
//! - No epoch is chosen by a score, and training never stops early: the last weights count.
//! - The first weights, classes and settings come from the plan and not from the data.
//!
//! # What stays at the site
//!
//! The [`NoiseSeed`], the [`PrivateProgress`] (losses and sizes of batches are not private), the
//! checkpoints beside it, and scores on the site's images. How long a step takes tells about its
//! batch: nobody else should learn more than when a round's training was over.

mod chance;
mod clip;
mod noise;
mod options;
mod recorded;
mod training;
mod units;

pub use chance::NoiseSeed;
pub use clip::{ClippedSum, clipped_sum_one_by_one};
pub use options::{PrivacyUnit, PrivateOptions};
pub use recorded::clipped_sum;
pub use training::{PrivateProgress, PrivateTraining};
