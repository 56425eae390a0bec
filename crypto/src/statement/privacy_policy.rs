//! The study's policy on what opened sums may show.
//!
//! What a policy promises is an `(epsilon, delta)` guarantee of differential privacy over all rounds
//! of the study. The numbers here are what is signed; the epsilon that they spend is computed
//! elsewhere, with accountants in floating point, and never decides whether a study is well formed.

use serde::{Deserialize, Serialize};

use super::privacy_check::PolicyError;
use super::study::Study;
use crate::wire::canonical::{Canonical, canonical};

/// What a study promises of its opened sums beside their encryption.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PrivacyPolicy {
    /// No noise: the opened sum is exact and may itself leak (see `docs/security.md`).
    None,
    /// Differential privacy for each unit of a site's training data. Each site adds all of the
    /// noise itself, in training, so that the guarantee holds against everybody.
    RecordLevel(RecordLevel),
    /// No noise, but a set holds all or none of each group of `c + 2` sites, so that no combination
    /// of sums is over fewer.
    SetsApart,
    /// Differential privacy for each site's whole update. The noise of the sum protects it, to
    /// which each site adds its part before it encrypts.
    SiteLevel(SiteLevel),
}

impl PrivacyPolicy {
    /// The epsilon and delta that the study may spend, where it promises a guarantee.
    pub fn budget(&self) -> Option<Budget> {
        match *self {
            Self::None | Self::SetsApart => None,
            Self::RecordLevel(RecordLevel { epsilon, delta, .. })
            | Self::SiteLevel(SiteLevel { epsilon, delta, .. }) => Some(Budget { epsilon, delta }),
        }
    }

    /// Refuses a policy that is none, or that the rest of its study does not allow. Whether the
    /// budget suffices for any round is not looked at.
    ///
    /// # Errors
    /// [`PolicyError`] with the first thing that does not fit.
    pub fn check(&self, study: &Study) -> Result<(), PolicyError> {
        let noise_bound = study.packing.noise_bound;
        match self {
            Self::SiteLevel(policy) => policy.check(study),
            _ if noise_bound != 0 => Err(PolicyError::NoiseBound { noise_bound }),
            Self::RecordLevel(policy) => policy.check(study),
            Self::None | Self::SetsApart => Ok(()),
        }
    }
}

impl Canonical for PrivacyPolicy {
    /// The number 2 stands for nothing.
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => 0u8.encode(out),
            Self::RecordLevel(policy) => {
                1u8.encode(out);
                policy.encode(out);
            }
            Self::SetsApart => 3u8.encode(out),
            Self::SiteLevel(policy) => {
                4u8.encode(out);
                policy.encode(out);
            }
        }
    }
}

/// What may be spent, over the whole study.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// The epsilon that may be spent.
    pub epsilon: f32,
    /// At this delta.
    pub delta: f32,
}

/// Whose presence in a site's data the sums must not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PrivacyUnit {
    /// One record: an image, a volume, a row.
    Record,
    /// All records of one patient together.
    Patient {
        /// At most so many records of one patient are in one step, clipped together.
        records_per_step: u16,
    },
}

impl Canonical for PrivacyUnit {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Record => 0u8.encode(out),
            Self::Patient { records_per_step } => {
                1u8.encode(out);
                records_per_step.encode(out);
            }
        }
    }
}

/// DP-SGD (Abadi et al., CCS 2016) at each site: a step's batch is a Poisson sample of units, each
/// unit's gradient is clipped, and noise is added to their sum. Neighbouring data sets differ in one
/// unit that is added or removed.
///
/// The steps and batches of a round are these; a training plan's own epochs and batch size do not
/// apply.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RecordLevel {
    /// Who is protected.
    pub unit: PrivacyUnit,
    /// Largest L2 norm of one unit's gradient.
    pub clip: f32,
    /// Standard deviation of the noise of each step, in units of `clip`.
    pub noise_multiplier: f32,
    /// The chance of each unit to be in a step, independent of all others.
    pub rate: f32,
    /// Steps of a round.
    pub steps: u32,
    /// What every step's noisy sum is divided by. A constant, never the size of the sample, which
    /// would tell of a unit more than is accounted for.
    pub normaliser: f32,
    /// The guarantee's delta.
    pub delta: f32,
    /// The epsilon that the whole study may spend, of each unit of each site.
    pub epsilon: f32,
}
canonical!(RecordLevel { unit, clip, noise_multiplier, rate, steps, normaliser, delta, epsilon });

/// The distributed discrete Gaussian mechanism (Kairouz, Liu and Steinke, ICML 2021). Neighbouring
/// inputs differ in one site's update, which a fixed one takes the place of.
///
/// What a dispute opens, one coefficient of every contributor at the noise of that site alone, is
/// spent beside the rounds' sums, wherever the threshold names culprits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SiteLevel {
    /// Largest L2 norm of a site's update.
    pub clip: f32,
    /// Standard deviation of the noise in the opened sum that `min_sites - c` sites give, in units of
    /// the sensitivity: as many honest contributors are in every sum.
    pub noise_multiplier: f32,
    /// The guarantee's delta.
    pub delta: f32,
    /// The epsilon that the whole study may spend, of each site.
    pub epsilon: f32,
}
canonical!(SiteLevel { clip, noise_multiplier, delta, epsilon });
