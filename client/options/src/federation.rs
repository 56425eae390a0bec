//! How updates are weighted, quantized and exchanged when this machine plays all sites.

use ringfence_crypto::statement::WeightPolicy;

use ringfence_learning::{Dataset, SiteData};

/// How the sites' updates are weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum WeightsName {
    /// All the same.
    Equal,
    /// By their numbers of training images, which the study makes public.
    Samples,
}

/// Arguments of a federation whose sites are all on this machine.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FederationArgs {
    /// How the sites' updates are weighted.
    #[arg(long, value_enum, default_value_t = WeightsName::Equal)]
    weights: WeightsName,
    /// Bits of a quantized value.
    #[arg(long, default_value_t = 16)]
    pub(crate) bits: u8,
    /// Updates are clipped to [-CLIP, CLIP].
    #[arg(long, default_value_t = 0.5)]
    pub(crate) clip: f32,
    /// Seconds that a round stays open for contributions.
    #[arg(long, default_value_t = 15)]
    pub(crate) round_seconds: u32,
    /// Seconds to wait for missing key holders.
    #[arg(long, default_value_t = 60)]
    pub(crate) patience: u64,
}

impl FederationArgs {
    /// The study's weights for these sites.
    pub(crate) fn policy(&self, dataset: &Dataset) -> WeightPolicy {
        let count = |site: &SiteData| u32::try_from(site.train.len()).unwrap_or(u32::MAX);
        match self.weights {
            WeightsName::Equal => WeightPolicy::Equal,
            WeightsName::Samples => {
                WeightPolicy::SampleCounts(dataset.sites.iter().map(count).collect())
            }
        }
    }
}
