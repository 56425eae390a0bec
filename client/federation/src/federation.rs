//! The running study: every site with its own keys, state and connection.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use ringfence_clock::Clock;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{PrivacyPolicy, SignedStudy, Study, Training, Weighting};
use ringfence_keys::identity::Identity;
use ringfence_keys::study::draft::StudyDraft;
use ringfence_site::transport::Transport;
use ringfence_site::{Membership, Site, model};
use ringfence_weights::{MeanStep, MeanStepState, Weights};

use crate::aggregator::Aggregator;
use crate::fault::{Fate, Faults};
use crate::report::RoundReport;

/// A round takes contributions for at least so many seconds, unless fewer are asked for.
const MIN_ROUND_SECONDS: u32 = 5;
/// Seconds that key holders have to review envelopes, for a few sites and for every 20 of many.
const REVIEW_SECONDS: u32 = 5;
/// Seconds after which the next site on the ring may open a round.
const INITIATOR_TIMEOUT_SECONDS: u32 = 2;

/// How the sites encrypt, weight and wait.
#[derive(Clone, Debug)]
pub struct FederationOptions {
    /// Bits of a quantized value.
    pub bits: u8,
    /// Largest absolute value of an update that is not clipped.
    pub clip: f32,
    /// How contributions are weighted.
    pub weighting: Weighting,
    /// Seconds that contributions may take.
    pub round_seconds: u32,
    /// How long each step waits for other sites.
    pub patience: Duration,
}

/// What a federation starts from.
#[derive(Clone, Debug)]
pub struct FederationSetup {
    /// The sites' names as the data have them, in roster order; at least three.
    pub names: Vec<String>,
    /// The model before the first round.
    pub initial: Weights,
    /// The step that an opened mean makes.
    pub mean_step: MeanStep,
    /// The training plan that the study pins.
    pub training: Training,
    /// How the sites encrypt, weight and wait.
    pub options: FederationOptions,
    /// What befalls sites on purpose.
    pub faults: Faults,
    /// Rounds that are planned; a fault beyond them is a mistake.
    pub rounds: u32,
    /// What tells the time and how long to wait, for every site.
    pub clock: Clock,
}

/// The running study: every site with its own keys, state and connection, and the aggregator.
#[derive(Debug)]
pub struct Federation {
    pub(crate) aggregator: Aggregator,
    pub(crate) study: Study,
    pub(crate) sites: Vec<Site>,
    pub(crate) clock: Clock,
    pub(crate) model: Weights,
    pub(crate) mean_step: MeanStepState,
    pub(crate) round_seconds: u32,
    pub(crate) rounds: Vec<RoundReport>,
    /// Keys of the sites that misbehave in some round.
    pub(crate) liars: BTreeMap<SiteId, Identity>,
    faults: Faults,
}

impl Federation {
    /// Starts the aggregator, makes identities and study, has every site sign, registers it.
    ///
    /// # Errors
    /// When a fault names no site or round, the aggregator does not start, or no sound study can be
    /// made of this setup: of fewer than three sites, for instance.
    pub async fn start(state: &Path, setup: FederationSetup) -> anyhow::Result<Self> {
        // A fresh study every time: state of an earlier run would rightly refuse the same model.
        if state.exists() {
            std::fs::remove_dir_all(state)
                .with_context(|| format!("cannot clear {}", state.display()))?;
        }
        let FederationSetup { names, initial, mean_step, training, options, faults, rounds, clock } =
            setup;
        let names = names.iter().map(|name| site_id(name)).collect::<anyhow::Result<Vec<_>>>()?;
        faults.check_names(&names, rounds)?;
        let aggregator = Aggregator::start(&state.join("aggregator"), clock.clone()).await?;
        let mut rng = ringfence_keys::system_rng().context("no randomness")?;
        let identities: Vec<Identity> = names
            .into_iter()
            .map(|site| Ok(Identity::generate(site, &mut rng)?))
            .collect::<anyhow::Result<_>>()?;
        let draft = StudyDraft {
            name: "one machine".into(),
            created_at: clock.now(),
            roster: identities.iter().map(Identity::public).collect(),
            aggregator_key: aggregator.public_key(),
            threshold: None,
            min_sites: None,
            value_bits: options.bits,
            layout: model::layout(&initial, options.clip),
            initial_model: model::id(&initial),
            weighting: options.weighting,
            privacy: PrivacyPolicy::None,
            training,
            min_round_seconds: options.round_seconds.min(MIN_ROUND_SECONDS),
            longest_round_seconds: options.round_seconds,
            review_seconds: REVIEW_SECONDS * u32::try_from(identities.len())?.div_ceil(20),
            initiator_timeout_seconds: INITIATOR_TIMEOUT_SECONDS,
        };
        let mut signed = SignedStudy::unsigned(draft.into_study(&mut rng)?);
        for identity in &identities {
            signed.sign(identity.site(), identity.signer())?;
        }
        let transport = Transport::new(aggregator.url(), false, clock.clone())?;
        transport.register(&signed, aggregator.token()).await?;
        let (mut sites, mut liars) = (Vec::new(), BTreeMap::new());
        for (place, identity) in identities.into_iter().enumerate() {
            if faults.misbehaves(place, identity.site().as_str()) {
                let copy = Identity::from_file(&identity.to_file())?;
                liars.insert(identity.site().clone(), copy);
            }
            let membership = Membership {
                study: signed.clone(),
                state: state.join(identity.site().as_str()),
                identity,
                transport: transport.clone(),
                patience: options.patience,
                clock: clock.clone(),
            };
            let site = Site::open(membership)?.keeping_sums();
            site.publish_round_keys().await?;
            sites.push(site);
        }
        Ok(Self {
            aggregator,
            study: signed.study,
            sites,
            clock,
            model: initial,
            mean_step: MeanStepState::new(mean_step),
            round_seconds: options.round_seconds,
            rounds: Vec::new(),
            liars,
            faults,
        })
    }

    /// The aggregator.
    pub fn aggregator(&self) -> &Aggregator {
        &self.aggregator
    }

    /// The sites in roster order.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The study that they signed.
    pub fn study(&self) -> &Study {
        &self.study
    }

    /// The study's id.
    pub fn study_id(&self) -> StudyId {
        self.study.id()
    }

    /// The model that every site holds after the last round.
    pub fn model(&self) -> &Weights {
        &self.model
    }

    /// What every round so far showed.
    pub fn rounds(&self) -> &[RoundReport] {
        &self.rounds
    }

    /// The number of the round that comes next.
    pub fn next_round(&self) -> RoundNumber {
        // A round takes seconds, so that the count stays far below the type's end.
        RoundNumber(self.rounds.len() as u32)
    }

    /// What befalls each site in a round, in roster order.
    pub fn fates(&self, round: RoundNumber) -> Vec<Fate> {
        let sites = self.sites.iter().enumerate();
        sites.map(|(place, site)| self.faults.fate(place, site.id().as_str(), round)).collect()
    }
}

/// A site's name in the protocol: what the data calls it, in lower case and dashes.
///
/// # Errors
/// When nothing is left of it.
pub fn site_id(name: &str) -> anyhow::Result<SiteId> {
    let mut id: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    id.truncate(32);
    id.trim_matches('-').parse().with_context(|| format!("the data's site {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_called_as_in_the_data_as_far_as_names_allow() {
        for (data, protocol) in [("a", "a"), ("Hospital 3", "hospital-3"), ("_x_", "x")] {
            assert_eq!(site_id(data).unwrap().as_str(), protocol);
        }
        let error = format!("{:#}", site_id("--").unwrap_err());
        assert!(error.contains("the data's site \"--\""), "{error}");
    }
}
