//! A model's weights as plain numbers: named `f32` tensors in the order of their names.
//!
//! This is the only form in which the learning side and the cipher side meet. Nothing here
//! knows of a tensor library or of encryption. The order is the names' byte order, so that
//! two sites which hold the same model flatten it to the same vector.
#![forbid(unsafe_code)]

mod digest;
mod error;
mod file;
pub mod mean_step;
mod tensors;

pub use digest::hash_values;
pub use error::WeightsError;
pub use mean_step::{MeanStep, MeanStepState};
pub use tensors::Weights;
