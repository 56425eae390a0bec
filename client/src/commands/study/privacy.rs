//! The privacy policy on the command line: from options to what the study pins.

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use ringfence_crypto::statement::{PrivacyPolicy, PrivacyUnit, RecordLevel, SiteLevel};
use ringfence_keys::study::draft::StudyDraft;
use ringfence_keys::study::spending::{least_noise, least_site_noise};
use ringfence_options::number;

/// Whom the opened sums must not tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PrivacyName {
    /// Each record (image) of each site: noise is added in training.
    Record,
    /// Each patient of each site, with all its records: noise is added in training.
    Patient,
    /// Each site, with all its data: noise is added to its update before encryption.
    Site,
    /// No noise; but a sum is over all or none of each group of c + 2 sites, so that sums of several
    /// rounds cannot be combined to single a site out. One site that misses a round takes its group
    /// with it.
    SetsApart,
}

/// Arguments that make a privacy policy.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct PrivacyArgs {
    /// Promise differential privacy for each record, patient or site, or hold the sets of the sums
    /// apart; neither unless given.
    #[arg(long, value_enum)]
    privacy: Option<PrivacyName>,
    /// Largest L2 norm of what is protected: of a record's or patient's gradient in a step, or of a
    /// site's update in a round.
    #[arg(long, value_name = "NORM", value_parser = number::<f32>)]
    privacy_clip: Option<f32>,
    /// Standard deviation of the noise over that norm; the least that keeps within --epsilon over
    /// the training plan's rounds unless given.
    #[arg(long, value_name = "Z", value_parser = number::<f32>)]
    noise_multiplier: Option<f32>,
    /// The chance of each record or patient to be in a step, by itself (Poisson sampling).
    #[arg(long, value_parser = number::<f32>)]
    rate: Option<f32>,
    /// Steps of a round at each site; the plan's epochs and batch size do not apply.
    #[arg(long)]
    steps: Option<u32>,
    /// What each step's noisy sum is divided by: a constant, such as rate times the records of an
    /// average site.
    #[arg(long, value_parser = number::<f32>)]
    normaliser: Option<f32>,
    /// Most records of one patient in one step, which are clipped together.
    #[arg(long, value_name = "K")]
    records_per_step: Option<u16>,
    /// The guarantee's delta: far below one over the records or patients of any site.
    #[arg(long, value_parser = number::<f32>)]
    delta: Option<f32>,
    /// The epsilon that the whole study may spend, of each record, patient or site.
    #[arg(long, value_parser = number::<f32>)]
    epsilon: Option<f32>,
}

impl PrivacyArgs {
    /// The policy, over so many rounds of the study's plan; none where no plan says how many.
    ///
    /// # Errors
    /// Options that lack, do not go together, or ask for what no noise gives.
    pub(super) fn policy(
        &self,
        draft: &StudyDraft,
        rounds: Option<u32>,
    ) -> anyhow::Result<PrivacyPolicy> {
        let Some(name) = self.privacy else {
            self.without("", &OF_ALL)?;
            return Ok(PrivacyPolicy::None);
        };
        let unit = match name {
            PrivacyName::Site => return self.site(draft, rounds),
            PrivacyName::SetsApart => {
                self.without("sets-apart", &OF_ALL)?;
                return Ok(PrivacyPolicy::SetsApart);
            }
            PrivacyName::Record => {
                self.without("record", &["--records-per-step"])?;
                PrivacyUnit::Record
            }
            PrivacyName::Patient => {
                let records_per_step =
                    needed("patient", "--records-per-step", self.records_per_step)?;
                PrivacyUnit::Patient { records_per_step }
            }
        };
        let of = if unit == PrivacyUnit::Record { "record" } else { "patient" };
        let mut policy = RecordLevel {
            unit,
            clip: needed(of, "--privacy-clip", self.privacy_clip)?,
            noise_multiplier: self.noise_multiplier.unwrap_or_default(),
            rate: needed(of, "--rate", self.rate)?,
            steps: needed(of, "--steps", self.steps)?,
            normaliser: needed(of, "--normaliser", self.normaliser)?,
            delta: needed(of, "--delta", self.delta)?,
            epsilon: needed(of, "--epsilon", self.epsilon)?,
        };
        if self.noise_multiplier.is_none() {
            policy.noise_multiplier = least_noise(&policy, rounds.context(NO_ROUNDS)?)?;
        }
        Ok(PrivacyPolicy::RecordLevel(policy))
    }

    fn site(&self, draft: &StudyDraft, rounds: Option<u32>) -> anyhow::Result<PrivacyPolicy> {
        self.without("site", &["--rate", "--steps", "--normaliser", "--records-per-step"])?;
        let mut policy = SiteLevel {
            clip: needed("site", "--privacy-clip", self.privacy_clip)?,
            noise_multiplier: self.noise_multiplier.unwrap_or_default(),
            delta: needed("site", "--delta", self.delta)?,
            epsilon: needed("site", "--epsilon", self.epsilon)?,
        };
        if self.noise_multiplier.is_none() {
            let rounds = rounds.context(NO_ROUNDS)?;
            policy.noise_multiplier = least_site_noise(draft, &policy, rounds)?;
        }
        Ok(PrivacyPolicy::SiteLevel(policy))
    }

    /// Refuses options that would change nothing.
    fn without(&self, privacy: &str, spare: &[&str]) -> anyhow::Result<()> {
        let given = [
            self.privacy_clip.is_some(),
            self.noise_multiplier.is_some(),
            self.rate.is_some(),
            self.steps.is_some(),
            self.normaliser.is_some(),
            self.records_per_step.is_some(),
            self.delta.is_some(),
            self.epsilon.is_some(),
        ];
        let found = OF_ALL.iter().zip(given).find(|(name, given)| *given && spare.contains(name));
        match (found, privacy) {
            (None, _) => Ok(()),
            (Some((name, _)), "") => bail!(
                "{name} says nothing without --privacy; add --privacy record, patient or site, or leave it out"
            ),
            (Some((name, _)), privacy) => {
                bail!("{name} says nothing with --privacy {privacy}; leave it out")
            }
        }
    }
}

const NO_ROUNDS: &str = "without a training plan nothing says how many rounds the noise must be enough for; give --noise-multiplier";

/// Every option but --privacy, in the order of the fields.
const OF_ALL: [&str; 8] = [
    "--privacy-clip",
    "--noise-multiplier",
    "--rate",
    "--steps",
    "--normaliser",
    "--records-per-step",
    "--delta",
    "--epsilon",
];

fn needed<T>(privacy: &str, name: &str, value: Option<T>) -> anyhow::Result<T> {
    value.with_context(|| {
        format!("--privacy {privacy} needs {name}; see `ringfence study new --help`")
    })
}
