//! What the opening of each round showed: beside the means on disk, and in the final report.

use ringfence_crypto::id::RoundNumber;
use ringfence_keys::update::precision::Precision;
use ringfence_site::{Done, Findings};
use serde::{Deserialize, Serialize};

/// One opened round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OpenedRound {
    pub(super) round: RoundNumber,
    /// How precise the mean is, over the sites that are in it.
    pub(super) precision: Precision,
    /// A bound on the probability that honest noise spoils such a sum, 0 where it cannot; none in
    /// rounds that earlier versions recorded.
    #[serde(default)]
    pub(super) noise_failure_probability: Option<f64>,
    /// What it found out about others; nothing in rounds that earlier versions recorded.
    #[serde(default)]
    pub(super) findings: Findings,
}

impl OpenedRound {
    pub(super) fn of(round: RoundNumber, done: &Done<'_>) -> Self {
        let noise_failure_probability = Some(done.opened.noise.failure_probability);
        let (precision, findings) = (done.precision(), done.findings());
        Self { round, precision, noise_failure_probability, findings }
    }
}
