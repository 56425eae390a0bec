//! What a task must do.

use candle_core::Tensor;

use super::panel::{Panel, Prediction};
use super::score::Scores;
use crate::data::dataset::{Dataset, Sample};
use crate::error::LearnError;
use crate::parameters::Parameters;
use ringfence_weights::Weights;

/// What is learnt from samples.
pub trait Task: Send + Sync {
    /// Name of the task, as in configuration: `segmentation`, `classification`.
    fn name(&self) -> &'static str;

    /// First weights of the task's model, fixed by `seed`.
    ///
    /// # Errors
    /// Only if the model's layout is wrong.
    fn initial_weights(&self, seed: u64) -> Result<Weights, LearnError>;

    /// Checks that the task can use one sample: its size, and that it has what the task learns.
    ///
    /// # Errors
    /// [`LearnError::Sample`] saying what was expected and what the sample has.
    fn check_sample(&self, sample: &Sample) -> Result<(), LearnError>;

    /// Checks that the task's model can be applied to a sample, whatever is known of its truth.
    ///
    /// # Errors
    /// [`LearnError::Sample`] for an image of another size. Unless a task says otherwise, there is
    /// nothing to check.
    fn check_image(&self, _sample: &Sample) -> Result<(), LearnError> {
        Ok(())
    }

    /// Checks that the task can learn from a study's data, before training starts.
    ///
    /// # Errors
    /// The first sample's [`LearnError::Sample`], or what the data as a whole lack.
    fn check(&self, dataset: &Dataset) -> Result<(), LearnError> {
        let samples = dataset.sites.iter().flat_map(|site| site.samples());
        samples.into_iter().try_for_each(|(_, sample)| self.check_sample(sample))
    }

    /// The class that all these samples are of, where there is but one: scores that ask how well
    /// classes are told apart are undefined then. Unless a task says otherwise, there are none.
    fn one_class(&self, _samples: &[Sample]) -> Option<String> {
        None
    }

    /// The model's output for `images` `[b, c, side, side]`; the first dimension is `b`.
    ///
    /// # Errors
    /// When the parameters are of another model.
    fn logits(&self, parameters: &Parameters, images: &Tensor) -> candle_core::Result<Tensor>;

    /// What the model's last convolutional block gives for `images`: `[b, h, w, width]`. Unless a task
    /// says otherwise, its logits are no scores of classes, or follow from no such block: `None`.
    ///
    /// # Errors
    /// As [`Task::logits`].
    fn last_block(
        &self,
        _parameters: &Parameters,
        _images: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        Ok(None)
    }

    /// The logits that follow from what [`Task::last_block`] gives.
    ///
    /// # Errors
    /// As [`Task::logits`], and where there is no such block.
    fn logits_after(
        &self,
        _parameters: &Parameters,
        _block: &Tensor,
    ) -> candle_core::Result<Tensor> {
        candle_core::bail!(
            "expected a task with a last convolutional block, found `{}`",
            self.name()
        )
    }

    /// The loss of these logits for the samples they were computed from: a scalar, the mean of
    /// one loss a sample, so that it may be summed over parts of a batch.
    ///
    /// # Errors
    /// When a sample lacks what the task learns.
    fn loss(&self, logits: &Tensor, samples: &[&Sample]) -> Result<Tensor, LearnError>;

    /// Whether an image's output depends on no other image of the batch, and each of the model's
    /// tensors serves one of its layers: private training takes the gradients of many images at once
    /// then. Unless a task says so, it takes them one by one, which is slow and always true.
    fn images_are_independent(&self) -> bool {
        false
    }

    /// Scores of predictions: `logits[i]` is the model's flattened output for `samples[i]`.
    ///
    /// # Errors
    /// When a sample lacks what the task learns.
    fn scores(&self, samples: &[Sample], logits: &[Vec<f32>]) -> Result<Scores, LearnError>;

    /// What the model's flattened output says of an image: its numbers, unless a task knows better.
    fn prediction(&self, logits: &[f32]) -> Prediction {
        let number = |(index, value): (usize, &f32)| (index.to_string(), f64::from(*value));
        let values = logits.iter().enumerate().map(number).collect();
        Prediction { values, ..Prediction::default() }
    }

    /// A picture of one sample with the prediction, or with the truth if `logits` is `None`.
    ///
    /// # Errors
    /// When a sample lacks what the task learns.
    fn picture(&self, sample: &Sample, logits: Option<&[f32]>) -> Result<Panel, LearnError>;
}
