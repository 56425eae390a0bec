//! What memory a step of training takes: asked before any time is spent on it.

use super::options::TrainOptions;
use super::private::{PrivacyUnit, PrivateOptions};
use super::units::units;
use crate::compute::device;
use crate::error::LearnError;
use crate::memory::free;
use crate::model::ModelName;
use crate::plan::TrainingPlan;

/// Copies of the model's values beside one gradient for each unit that runs at once: the start, the
/// first weights, the variables, the optimiser's two moments, the step's direction and temporaries.
const COPIES: u64 = 10;

/// Bytes of a value of an image that waits for its turn, or of its mask.
const VALUE_BYTES: u64 = 4;

/// Bytes of a pixel of an image in work for each channel beyond the first: the image is copied,
/// brought to mean 0 and to channels last.
const CHANNEL_BYTES: u64 = 32;

/// Heap in bytes for each pixel of each image in work, at the peak of a step forward and back:
/// up to twice what a step was measured to take (`client/learning/tests/memory.rs` measures it
/// again).
fn bytes_a_pixel(model: ModelName) -> u64 {
    match model {
        ModelName::UnetLight => 1000,
        ModelName::Unet => 2000,
        ModelName::CnnLight => 400,
        ModelName::Cnn => 640,
        ModelName::Residual => 700,
        ModelName::Dense => 32,
    }
}

/// The same of a step of private training, which keeps what every layer got and gave until the
/// gradients are clipped: up to a seventh more was measured.
fn private_bytes_a_pixel(model: ModelName) -> u64 {
    bytes_a_pixel(model) * 5 / 4
}

/// Deviations of the size of a Poisson sample above its mean that a step is checked for. The
/// sizes of a site's samples are above that once in a thousand million steps.
const DEVIATIONS: f64 = 6.0;

/// Images in a private step at nearly most, of a site of so many units.
fn most_images(private: &PrivateOptions, units: usize) -> usize {
    let PrivateOptions { unit, rate, .. } = *private;
    let mean = units as f64 * rate;
    let most = (mean + DEVIATIONS * (mean * (1.0 - rate)).sqrt()).ceil();
    let most = (most as usize).min(units);
    match unit {
        PrivacyUnit::Record => most,
        PrivacyUnit::Patient { records_per_step } => most.saturating_mul(records_per_step),
    }
}

impl TrainingPlan {
    /// Bytes of memory that a step of private training takes on this machine's processors at a site
    /// of so many units: at most, but for samples that hardly ever come.
    ///
    /// # Errors
    /// As [`TrainingPlan::task`].
    pub fn private_memory(
        &self,
        private: &PrivateOptions,
        units: usize,
    ) -> Result<u64, LearnError> {
        let training = self.sampled(private, units);
        Ok(self.private_step(&training)?.bytes(rayon::current_num_threads()))
    }

    /// Checks a study's private training against free memory before any time is spent on it.
    /// `units`: those of the largest site.
    ///
    /// # Errors
    /// [`LearnError::Option`] for an option outside its range, [`LearnError::Memory`].
    pub fn check_private(&self, private: &PrivateOptions, units: usize) -> Result<(), LearnError> {
        private.check_with(&self.training)?;
        let training = self.sampled(private, units);
        self.private_step(&training)?.check(rayon::current_num_threads(), free())
    }

    /// The training with a private step's batch.
    fn sampled(&self, private: &PrivateOptions, units: usize) -> TrainOptions {
        TrainOptions { batch: most_images(private, units).max(1), ..self.training.clone() }
    }

    fn private_step<'a>(&self, training: &'a TrainOptions) -> Result<Step<'a>, LearnError> {
        let (model, values) = (self.model, self.initial_weights()?.len());
        let Self { side, channels, .. } = *self;
        Ok(Step { model, values, side, channels, training, private: true })
    }
}

/// A step of training, as far as its memory depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    /// The model.
    pub(crate) model: ModelName,
    /// Values of the model.
    pub(crate) values: usize,
    /// Height and width of the images.
    pub(crate) side: usize,
    /// Channels of the images.
    pub(crate) channels: usize,
    /// How is trained.
    pub(crate) training: &'a TrainOptions,
    /// Whether each image's gradient is clipped.
    pub(crate) private: bool,
}

impl Step<'_> {
    /// Heap in bytes that the step takes with so many threads on the CPU.
    pub(crate) fn bytes(&self, threads: usize) -> u64 {
        let TrainOptions { algorithm, batch, .. } = self.training;
        let pixels = self.side.saturating_mul(self.side);
        let (unit, units) = units(*batch, pixels);
        let at_once = (unit * units.min(threads.max(1))) as u64;
        let waiting = (batch.saturating_mul(algorithm.batches())) as u64;
        let channels = self.channels as u64;
        let of_model = if self.private { private_bytes_a_pixel } else { bytes_a_pixel };
        let in_work = of_model(self.model) + CHANNEL_BYTES * channels.saturating_sub(1);
        let a_pixel = at_once.saturating_mul(in_work);
        let sample = VALUE_BYTES * (channels + 1);
        let a_pixel = a_pixel.saturating_add(waiting.saturating_mul(sample));
        let a_value = 4 * (COPIES + units as u64);
        let values = a_value.saturating_mul(self.values as u64);
        (pixels as u64).saturating_mul(a_pixel).saturating_add(values)
    }

    /// Checks that the step fits into what is free, as far as that is known; a GPU's memory is not.
    ///
    /// # Errors
    /// [`LearnError::Memory`] when it does not.
    pub(crate) fn check(&self, threads: usize, free: Option<u64>) -> Result<(), LearnError> {
        let Some(free) = free.filter(|_| device().is_cpu()) else { return Ok(()) };
        let needed = self.bytes(threads);
        if needed <= free {
            return Ok(());
        }
        Err(LearnError::Memory {
            model: self.model,
            side: self.side,
            batch: self.training.batch,
            needed: needed.div_ceil(1 << 20),
            free: free >> 20,
        })
    }
}
