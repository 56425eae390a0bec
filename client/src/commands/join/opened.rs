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
    precision: Precision,
    /// Bits between the largest noise and a wrong digit; none where there was no noise at all.
    noise_margin_bits: Option<f64>,
    /// What it found out about others; nothing in rounds that earlier versions recorded.
    #[serde(default)]
    findings: Findings,
}

impl OpenedRound {
    pub(super) fn of(round: RoundNumber, done: &Done<'_>) -> Self {
        let margin = done.opened.noise.margin_bits;
        let noise_margin_bits = Some(margin).filter(|margin| margin.is_finite());
        Self { round, precision: done.precision(), noise_margin_bits, findings: done.findings() }
    }

    pub(super) fn print(&self) {
        let Self { precision, noise_margin_bits, .. } = self;
        match noise_margin_bits {
            Some(bits) => {
                println!("  mean of {} sites opened, noise margin {bits:.1} bits", precision.sites);
            }
            None => println!("  mean of {} sites opened, without noise", precision.sites),
        }
        println!("  {precision}");
        if let Some(warning) = precision.warning() {
            println!("  {warning}");
        }
    }
}
