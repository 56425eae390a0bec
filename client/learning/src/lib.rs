//! Training and judging models at a site, on plain data that never leaves it.
//!
//! [`data`] reads a site's images, a [`Task`] says what is learnt from them, a [`Training`] turns
//! [`Weights`](ringfence_weights::Weights) into better ones, [`evaluate`] scores them and
//! [`picture`] shows what they predict. Federation happens elsewhere, on weights alone.
//!
//! Everything is a function of its arguments and a seed: the same call gives the same bits on
//! the same machine, whatever the number of threads is busy with.

pub mod chart;
pub mod compute;
pub mod data;
mod error;
mod memory;
pub mod model;
mod parameters;
pub mod personal;
pub mod picture;
pub mod plan;
pub mod simulation;
pub mod task;
pub mod train;

pub use data::{DataError, DataOptions, Dataset, Sample, SiteData, Split};
pub use error::LearnError;
pub use model::ModelName;
pub use parameters::Parameters;
pub use personal::{Own, Part, Personal};
pub use plan::{FineTuning, PlanError, TrainingPlan};
pub use simulation::{PrivateRound, RoundStart, Simulation};
pub use task::{Classification, Score, Scores, Segmentation, Task, TaskName};
pub use train::{
    Algorithm, Augmentation, Carried, Checkpoint, KeptCheckpoint, MetaGradient, Mixture, Optimizer,
    Probe, Probed, Progress, Sought, TrainOptions, Training, TrainingName, batch_gradient, cosine,
    evaluate, fine_tune, model_input, predict, private, shadow,
};
