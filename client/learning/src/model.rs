//! The networks by name: U-Nets for segmentation; CNNs, a residual network and a dense baseline for
//! classification.
//!
//! All that normalise do so by groups of channels within one image, never over a batch: batch
//! statistics of several sites do not average to those of their union, and they tie images
//! together, which differential privacy forbids. Their operations are those of `ringfence-nn`: images
//! have their channels last between the first layer and the logits.

mod classifier;
mod cnn;
mod dense;
pub(crate) mod layers;
mod residual;
mod unet;

use std::fmt;

pub use classifier::Classifier;
use serde::{Deserialize, Serialize};
pub use unet::UNet;

use super::LearnError;

/// The models that a study can choose from, as they are called on the command line and in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelName {
    /// Segmentation: a U-Net of widths 8 to 64, 112,913 values.
    UnetLight,
    /// Segmentation: a U-Net of PPPML-HMI's widths 16 to 256, 1,811,489 values.
    Unet,
    /// Classification: four convolutions of widths 8 to 64.
    CnnLight,
    /// Classification: four convolutions of widths 16 to 128.
    Cnn,
    /// Classification: a residual network of thirteen convolutions, widths 16 to 64.
    Residual,
    /// Classification: one hidden layer without convolutions, the baseline.
    Dense,
}

impl ModelName {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::UnetLight, Self::Unet, Self::CnnLight, Self::Cnn, Self::Residual, Self::Dense];

    /// The name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnetLight => "unet-light",
            Self::Unet => "unet",
            Self::CnnLight => "cnn-light",
            Self::Cnn => "cnn",
            Self::Residual => "residual",
            Self::Dense => "dense",
        }
    }

    /// Whether the model serves the task of this name (see [`Task::name`](super::Task::name)).
    #[must_use]
    pub fn fits(self, task: &str) -> bool {
        task == match self {
            Self::UnetLight | Self::Unet => "segmentation",
            Self::CnnLight | Self::Cnn | Self::Residual | Self::Dense => "classification",
        }
    }

    /// The models that serve the task of this name, the light one first: it is the default.
    #[must_use]
    pub fn for_task(task: &str) -> Vec<Self> {
        Self::ALL.into_iter().filter(|model| model.fits(task)).collect()
    }

    /// The refusal of this model for a task that it does not serve.
    pub(crate) fn misfit(self, task: &str) -> LearnError {
        let fitting: Vec<&str> = Self::for_task(task).into_iter().map(Self::name).collect();
        LearnError::Model(format!(
            "the task `{task}` expected one of the models {}, found `{self}`",
            fitting.join(", ")
        ))
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Checks channel widths: at least one, each a positive multiple of the number of groups.
fn check_widths(widths: &[usize], groups: usize) -> Result<(), LearnError> {
    if widths.is_empty() || widths.len() > 8 {
        let found = widths.len();
        return Err(LearnError::Model(format!("expected 1 to 8 channel widths, found {found}")));
    }
    match widths.iter().find(|width| **width == 0 || !width.is_multiple_of(groups)) {
        None => Ok(()),
        Some(width) => Err(LearnError::Model(format!(
            "expected channel widths that are positive multiples of {groups}, found {width}"
        ))),
    }
}

/// Checks that images of this side can be halved as often as the model does.
pub(crate) fn check_side(side: usize, multiple: usize) -> Result<(), LearnError> {
    if side > 0 && side.is_multiple_of(multiple) {
        return Ok(());
    }
    Err(LearnError::Model(format!(
        "expected images whose side is a multiple of {multiple}, found {side}; resize them"
    )))
}

/// Checks that there is something to tell apart.
fn check_classes(classes: usize) -> Result<(), LearnError> {
    if classes >= 2 {
        return Ok(());
    }
    Err(LearnError::Model(format!("expected at least two classes, found {classes}")))
}
