//! How updates are weighted, quantized and exchanged when this machine plays all sites.

use std::time::Duration;

use ringfence_crypto::ring::packing::VALUE_BITS;
use ringfence_crypto::statement::Weighting;
use ringfence_federation::FederationOptions;
use ringfence_learning::{Dataset, SiteData};

use crate::counts::{at_least_one, number};
use crate::retired::{Retired, renamed};

/// How the sites' updates are weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum WeightingName {
    /// All the same.
    Equal,
    /// By their numbers of training images, which the study makes public.
    Samples,
}

/// Arguments of a federation whose sites are all on this machine.
#[derive(Clone, Debug, clap::Args)]
pub struct FederationArgs {
    /// How the sites' updates are weighted.
    #[arg(long, value_enum, default_value_t = WeightingName::Equal)]
    weighting: WeightingName,
    /// Bits of a quantized value.
    #[arg(long, default_value_t = 16, value_parser = bits)]
    bits: u8,
    /// Updates are clipped to [-CLIP, CLIP].
    #[arg(long, default_value_t = 0.5, value_parser = number::<f32>)]
    clip: f32,
    /// Seconds that a round stays open for contributions.
    #[arg(long, default_value_t = 15, value_parser = at_least_one::<u32>)]
    round_seconds: u32,
    /// Seconds to wait for missing key holders.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// The name that --weighting had.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "",
        value_parser = renamed("--weights", "--weighting"))]
    weights: Option<Retired>,
}

/// The range that a study's encoding has, told before any training.
fn bits(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(bits) if VALUE_BITS.contains(&bits) => Ok(bits),
        _ => Err(format!(
            "expected {} to {} bits a value, got {text}",
            VALUE_BITS.start(),
            VALUE_BITS.end()
        )),
    }
}

impl FederationArgs {
    /// The federation of these sites.
    #[must_use]
    pub fn options(&self, dataset: &Dataset) -> FederationOptions {
        FederationOptions {
            bits: self.bits,
            clip: self.clip,
            weighting: self.weighting(dataset),
            round_seconds: self.round_seconds,
            patience: Duration::from_secs(self.patience),
        }
    }

    fn weighting(&self, dataset: &Dataset) -> Weighting {
        let count = |site: &SiteData| u32::try_from(site.train.len()).unwrap_or(u32::MAX);
        match self.weighting {
            WeightingName::Equal => Weighting::Equal,
            WeightingName::Samples => {
                Weighting::SampleCounts(dataset.sites.iter().map(count).collect())
            }
        }
    }
}
