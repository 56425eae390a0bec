//! A level of the axis, and what is said of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How private a run is to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::experiment) enum Level {
    /// Within this epsilon, over the whole study.
    Epsilon(f64),
    /// Not at all.
    None,
    /// Noise of this deviation on every value that a site sends, without clipping: no epsilon.
    Unclipped(f64),
}

/// As in a run's name.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epsilon(epsilon) => write!(f, "epsilon-{}", plain(*epsilon)),
            Self::None => f.write_str("not-private"),
            Self::Unclipped(deviation) => write!(f, "no-epsilon-noise-{}", plain(*deviation)),
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::None);
        }
        match text.parse() {
            // As a study has it: float32.
            Ok(epsilon) if epsilon > 0.0 && epsilon <= f64::from(f32::MAX) => {
                Ok(Self::Epsilon(epsilon))
            }
            _ => Err(format!("expected an epsilon above 0, or `none`, got `{text}`")),
        }
    }
}

/// A number as people write it: `1e9`, `0.5`, `12`.
fn plain(number: f64) -> String {
    match (1e-4..1e4).contains(&number) {
        true => number.to_string(),
        false => format!("{number:e}"),
    }
}

/// What a run's privacy amounts to, over the whole study. Never an epsilon without its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::experiment) enum Statement {
    /// Ordinary training.
    NotPrivate,
    /// Noise on what was not clipped.
    NoEpsilon {
        /// Its deviation.
        deviation: f64,
    },
    /// Differential privacy.
    Private {
        /// Deviation of the noise of a step or round, in units of the clip.
        noise_multiplier: f64,
        /// What is spent, not what was asked for.
        epsilon: f64,
        /// At this delta.
        delta: f64,
        /// Whose: `image`.
        unit: String,
    },
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPrivate => f.write_str("not private"),
            Self::NoEpsilon { deviation } => {
                write!(f, "noise {} on each value, unclipped: no epsilon", plain(*deviation))
            }
            Self::Private { noise_multiplier, epsilon, delta, unit } => {
                let noise = significant(*noise_multiplier);
                let epsilon = significant(*epsilon);
                write!(f, "noise {noise}, epsilon {epsilon} at delta {delta:.2e} for each {unit}")
            }
        }
    }
}

/// Four digits.
fn significant(number: f64) -> String {
    match number {
        number if (1e-3..1.0).contains(&number) => format!("{number:.4}"),
        number if (1.0..1e4).contains(&number) => {
            let whole = number.log10().floor() as usize;
            format!("{number:.*}", 3_usize.saturating_sub(whole))
        }
        _ => format!("{number:.3e}"),
    }
}
