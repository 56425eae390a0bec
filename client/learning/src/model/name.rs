//! The models by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::task::name::TaskName;

/// The models that a study can choose from, as they are called on the command line and in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

    /// The model in a few words.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::UnetLight => "Segmentation: a U-Net of widths 8 to 64, 112,913 values",
            Self::Unet => "Segmentation: a U-Net of PPPML-HMI's widths 16 to 256, 1,811,489 values",
            Self::CnnLight => "Classification: four convolutions of widths 8 to 64",
            Self::Cnn => "Classification: four convolutions of widths 16 to 128",
            Self::Residual => {
                "Classification: a residual network of thirteen convolutions, widths 16 to 64"
            }
            Self::Dense => "Classification: one hidden layer without convolutions, the baseline",
        }
    }

    /// The task that the model serves.
    #[must_use]
    pub fn task(self) -> TaskName {
        match self {
            Self::UnetLight | Self::Unet => TaskName::Segmentation,
            Self::CnnLight | Self::Cnn | Self::Residual | Self::Dense => TaskName::Classification,
        }
    }

    /// The models that serve a task, the light one first: it is the default.
    #[must_use]
    pub fn for_task(task: TaskName) -> Vec<Self> {
        Self::ALL.into_iter().filter(|model| model.task() == task).collect()
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for ModelName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|name| name.name() == text).ok_or_else(|| {
            format!("expected one of {}, found {text}", Self::ALL.map(Self::name).join(", "))
        })
    }
}
