//! The study's policy on what opened sums may show.

use serde::{Deserialize, Serialize};

use crate::wire::canonical::{Canonical, canonical};

/// What a study promises of its opened sums beside their encryption. This version enforces
/// [`PrivacyPolicy::None`] only: [`Study::check`](super::Study::check) refuses the others, which
/// have their places so that a version that enforces them needs no other format.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PrivacyPolicy {
    /// No noise: the opened sum is exact and may itself leak (see `docs/security.md`).
    None,
    /// Differential privacy for each record of the training data.
    RecordLevel(Guarantee),
    /// Differential privacy for all records of a patient together.
    PatientLevel(Guarantee),
    /// No noise, and certified sets are equal or differ in at least `c + 2` sites.
    SetsApart,
}

impl PrivacyPolicy {
    /// Whether this version does what the policy asks for.
    pub fn is_enforced(&self) -> bool {
        matches!(self, Self::None)
    }
}

impl Canonical for PrivacyPolicy {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => 0u8.encode(out),
            Self::RecordLevel(guarantee) => {
                1u8.encode(out);
                guarantee.encode(out);
            }
            Self::PatientLevel(guarantee) => {
                2u8.encode(out);
                guarantee.encode(out);
            }
            Self::SetsApart => 3u8.encode(out),
        }
    }
}

/// The numbers of a differential-privacy guarantee, over the whole study.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guarantee {
    /// Largest L2 norm of what one record or patient adds to an update.
    pub clip: f32,
    /// Standard deviation of the sum's noise, in units of `clip`.
    pub noise_multiplier: f32,
    /// The guarantee's delta.
    pub delta: f32,
    /// The epsilon that may be spent.
    pub epsilon: f32,
}
canonical!(Guarantee { clip, noise_multiplier, delta, epsilon });
