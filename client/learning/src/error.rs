//! What can go wrong while a model is built, trained or judged.

use crate::data::error::DataError;
use crate::model::name::ModelName;
use ringfence_weights::WeightsError;

/// Why training, prediction or scoring stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// The data cannot be read or are not fit for the task.
    #[error(transparent)]
    Data(Box<DataError>),
    /// The weights are of another model, or not finite.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A model that cannot be built as asked.
    #[error("the model cannot be built: {0}")]
    Model(String),
    /// An option outside its range.
    #[error("training option `{option}`: expected {expected}, found {found}")]
    Option {
        /// The option.
        option: &'static str,
        /// The values it may take.
        expected: &'static str,
        /// The value that came.
        found: String,
    },
    /// There is nothing to train on, to score or to draw.
    #[error("there is no sample to {0}; check the site's data")]
    NoSamples(&'static str),
    /// A sample that the task cannot use.
    #[error("sample `{sample}`: the task `{task}` expected {expected}, found {found}")]
    Sample {
        /// Name of the sample.
        sample: String,
        /// The task.
        task: &'static str,
        /// What the task needs.
        expected: String,
        /// What the sample has.
        found: String,
    },
    /// A step of training takes more memory than is free.
    #[error(
        "expected {needed} MiB of free memory to train `{model}` on {side} x {side} pixels in batches of {batch}, found {free} MiB; free memory, take fewer threads (RAYON_NUM_THREADS), or train by a plan of smaller images (its --side), smaller batches (--batch) or a lighter model"
    )]
    Memory {
        /// The model.
        model: ModelName,
        /// Height and width of the images.
        side: usize,
        /// Images a step.
        batch: usize,
        /// What a step takes, in MiB.
        needed: u64,
        /// What is free, in MiB.
        free: u64,
    },
    /// A GPU that is not there, or that its driver does not give.
    #[error(
        "GPU {number} cannot be used: {reason}; see whether `nvidia-smi` lists it, or train on the CPU (--device cpu)"
    )]
    Device {
        /// Its number.
        number: usize,
        /// What the driver says.
        reason: String,
    },
    /// The operating system gives no random bytes.
    #[error("the operating system gave no random bytes for a secret: {0}; try again")]
    Randomness(String),
    /// The tensor library refused an operation.
    #[error("tensor computation failed: {0}; the weights may be of another model than the task's")]
    Tensor(#[from] candle_core::Error),
}

impl From<DataError> for LearnError {
    fn from(error: DataError) -> Self {
        Self::Data(Box::new(error))
    }
}
