//! Training and judging: weights in, weights or scores out.

mod algorithm;
mod augment;
mod carried;
mod checkpoint;
mod derivation;
mod gradient;
pub(crate) mod memory;
mod mixture;
mod optimizer;
mod options;
mod personalise;
mod predict;
pub mod private;
mod probe;
pub mod shadow;
mod training;
mod units;

pub use algorithm::{Algorithm, MetaGradient};
pub use augment::Augmentation;
pub use carried::Carried;
pub use checkpoint::{Checkpoint, KeptCheckpoint, TrainingName};
pub use mixture::Mixture;
pub use optimizer::Optimizer;
pub use options::TrainOptions;
pub use personalise::fine_tune;
pub use predict::{evaluate, predict};
pub use probe::{Probe, Probed, Sought, batch_gradient, cosine, model_input};
pub use training::{Progress, Training};
