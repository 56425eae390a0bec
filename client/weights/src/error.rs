//! What can be wrong with weights, and what to do about it.

use std::path::PathBuf;

use ringfence_durable::advice;

/// Why weights could not be read, written, built or combined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file could not be read or written.
    #[error("{}: cannot {verb} the weights: {source}{}", path.display(), advice(source))]
    File {
        /// The file.
        path: PathBuf,
        /// What was being done: `read` or `write`.
        verb: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not a safetensors file.
    #[error("{}: not a valid safetensors file ({source}); it may be cut short, fetch it again", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: safetensors::SafeTensorError,
    },
    /// A tensor of another number format than 32-bit floats.
    #[error("{}: tensor `{tensor}` is {dtype}, expected F32; convert the model to 32-bit floats first", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The number format found.
        dtype: String,
    },
    /// What a mean step remembers is of another model or rule.
    #[error("expected what the mean step remembers as {expected} numbers, got {got}")]
    Memory {
        /// As the rule and the model have it.
        expected: usize,
        /// As it came.
        got: usize,
    },
    /// What a mean step remembers is no memory of one.
    #[error(
        "what the mean step remembers holds {0}, expected finite numbers, and none below 0 among the mean squares"
    )]
    MemoryValue(f64),
    /// A tensor that only one of two models has.
    #[error(
        "tensor `{tensor}` is in the {present} weights but not in the {absent} ones; both must be of the same model"
    )]
    Missing {
        /// The tensor.
        tensor: String,
        /// The side that has it.
        present: &'static str,
        /// The side that lacks it.
        absent: &'static str,
    },
    /// A tensor whose shape differs between two models.
    #[error(
        "tensor `{tensor}`: expected shape {expected:?}, found {found:?}; both must be of the same model"
    )]
    Shape {
        /// The tensor.
        tensor: String,
        /// The shape expected.
        expected: Vec<usize>,
        /// The shape that came.
        found: Vec<usize>,
    },
    /// The flat vector is longer or shorter than the shapes say.
    #[error("the shapes hold {expected} values, but {found} came; the vector is of another model")]
    Count {
        /// How many values the shapes hold.
        expected: usize,
        /// How many values came.
        found: usize,
    },
    /// The names are not in strictly rising order, so that the flat order would be unclear.
    #[error(
        "tensor `{tensor}` is repeated or out of order; list the shapes sorted by name, each name once"
    )]
    Order {
        /// The first tensor that is not after the one before it.
        tensor: String,
    },
    /// A shape whose number of values exceeds the address space.
    #[error("tensor `{tensor}`: shape {shape:?} is too large; the layout is damaged")]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A value that is not a finite number.
    #[error(
        "tensor `{tensor}` holds {value} at index {index}; training diverged, lower the learning rate and start again from finite weights"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// Index of the first bad value, row-major within the tensor.
        index: usize,
        /// The value: NaN or an infinity.
        value: f32,
    },
}
