//! The tasks by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskName {
    /// Outline what masks show (Dice).
    Segmentation,
    /// Name the class of the image (macro-F1, accuracy).
    Classification,
}

impl TaskName {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Segmentation, Self::Classification];

    /// The name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Segmentation => "segmentation",
            Self::Classification => "classification",
        }
    }

    /// The task in a few words.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Segmentation => "Outline what masks show (Dice)",
            Self::Classification => "Name the class of the image (macro-F1, accuracy)",
        }
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TaskName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|name| name.name() == text).ok_or_else(|| {
            format!("expected one of {}, found {text}", Self::ALL.map(Self::name).join(", "))
        })
    }
}
