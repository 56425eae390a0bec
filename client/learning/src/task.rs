//! What is learnt: a task joins a model, a loss, scores and a picture.
//!
//! Training, evaluation and pictures know tasks only through [`Task`], so that a new one is a
//! new type and nothing else changes.

mod auc;
mod classification;
mod contract;
pub(crate) mod input;
pub(crate) mod name;
mod overlap;
mod own_size;
pub(crate) mod panel;
mod remarks;
mod score;
mod segmentation;

pub use classification::Classification;
pub use contract::Task;
pub use name::TaskName;
pub use overlap::Overlap;
pub use own_size::{DICE_AT_OWN_SIZE, JACCARD_AT_OWN_SIZE, inside_at_own_size};
pub use panel::{Caption, Panel, Prediction, Tint, rgb_pixels, tinted};
pub use remarks::remarks;
pub use score::{Score, Scores, mean_for_choice};
pub use segmentation::Segmentation;
