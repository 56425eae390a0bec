//! Drafting a study: from what its author decides to a study file that can be signed.

use rand::CryptoRng;
use ringfence_crypto::id::{ModelId, UnixSeconds};
use ringfence_crypto::layout::Layout;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::ParameterSet;
use ringfence_crypto::signature::PublicKey;
use ringfence_crypto::statement::{
    CheckKeySeals, HexBytes, PrivacyPolicy, RosterEntry, SiteLevel, Study, StudyError, Training,
    Weighting,
};
use ringfence_crypto::threshold::Threshold;

use crate::encrypt::check::CheckKey;
use crate::share::seal::{Purpose, SealError, seal};
use crate::study::spending::SpendingError;
use crate::update::site_noise::parameters::{
    SiteNoise, SiteNoiseError, SiteNoiseRequest, check_delta, element_bound,
};

/// What the author of a study decides. Everything else follows from it.
#[derive(Clone, Debug)]
pub struct StudyDraft {
    /// For people.
    pub name: String,
    /// When the draft is made.
    pub created_at: UnixSeconds,
    /// The sites in ring order.
    pub roster: Vec<RosterEntry>,
    /// Verifies the aggregator's receipts and closings.
    pub aggregator_key: PublicKey,
    /// `(m, c, l)`, or none for the recommended window.
    pub threshold: Option<Threshold>,
    /// Fewest contributions, or none for `max(3, c + 2, ceil(2n/3))`; where sets are held apart for no
    /// more than are left without the largest group.
    pub min_sites: Option<u16>,
    /// Bits of a quantized value.
    pub value_bits: u8,
    /// Tensors and clip bounds.
    pub layout: Layout,
    /// The model before round 0.
    pub initial_model: ModelId,
    /// How contributions are weighted; counts in roster order.
    pub weighting: Weighting,
    /// What is promised of the opened sums.
    pub privacy: PrivacyPolicy,
    /// What all sites train alike, or that nothing pins it.
    pub training: Training,
    /// A manifest must leave at least this long.
    pub min_round_seconds: u32,
    /// A manifest may leave at most this long.
    pub longest_round_seconds: u32,
    /// How long holders have to review.
    pub review_seconds: u32,
    /// After this long the initiator's successor may step in.
    pub initiator_timeout_seconds: u32,
}

/// A draft that makes no study.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DraftError {
    /// The study would be refused.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// A site's KEM key is none.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Whole sites cannot be protected with these numbers.
    #[error(transparent)]
    SiteNoise(#[from] SiteNoiseError),
    /// No noise keeps within the budget.
    #[error(transparent)]
    Spending(#[from] SpendingError),
}

/// What follows from the roster and the author's choices.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    threshold: Threshold,
    min_sites: u16,
    packing: Packing,
}

impl StudyDraft {
    /// Derives thresholds, slots and sealed check keys, and checks the result.
    ///
    /// # Errors
    /// [`DraftError`] with the reason why the study could not run.
    pub fn into_study(self, rng: &mut impl CryptoRng) -> Result<Study, DraftError> {
        let Numbers { threshold, min_sites, packing } = self.numbers(self.privacy)?;
        let study = Study {
            check_key: seal_check_key(&self.roster, rng)?,
            name: self.name,
            created_at: self.created_at,
            roster: self.roster,
            aggregator_key: self.aggregator_key,
            parameters: ParameterSet::Std64,
            threshold,
            min_sites,
            packing,
            layout: self.layout,
            initial_model: self.initial_model,
            weighting: self.weighting,
            privacy: self.privacy,
            training: self.training,
            min_round_seconds: self.min_round_seconds,
            longest_round_seconds: self.longest_round_seconds,
            review_seconds: self.review_seconds,
            initiator_timeout_seconds: self.initiator_timeout_seconds,
        };
        study.check()?;
        Ok(study)
    }

    /// The noise of the study under a policy for whole sites, whatever the draft's own policy is.
    ///
    /// # Errors
    /// [`DraftError`] where such a study cannot be.
    pub fn site_noise(&self, policy: SiteLevel) -> Result<SiteNoise, DraftError> {
        let numbers = self.numbers(PrivacyPolicy::SiteLevel(policy))?;
        let noise = self.noise(policy, numbers.min_sites, numbers.threshold.collusion)?;
        Ok(noise.with_disputes(&numbers.threshold, numbers.packing.slots))
    }

    fn numbers(&self, privacy: PrivacyPolicy) -> Result<Numbers, DraftError> {
        let sites = self.roster.len();
        if sites < 3 {
            return Err(StudyError::Roster(sites).into());
        }
        let threshold = match self.threshold {
            Some(threshold) => threshold,
            None => Threshold::recommended(sites).map_err(StudyError::from)?,
        };
        let min_sites = self.min_sites.unwrap_or_else(|| match privacy {
            PrivacyPolicy::SetsApart => threshold.usual_min_sites_apart(sites),
            _ => threshold.usual_min_sites(sites),
        });
        // The largest magnitude of the noise that a site adds to a quantized value.
        let noise_bound = match privacy {
            PrivacyPolicy::SiteLevel(policy) => {
                check_delta(policy, sites)?;
                self.noise(policy, min_sites, threshold.collusion)?.noise_bound()
            }
            PrivacyPolicy::None | PrivacyPolicy::RecordLevel(_) | PrivacyPolicy::SetsApart => 0,
        };
        let packing = Packing::derive(self.value_bits, noise_bound, sites, threshold.collusion);
        Ok(Numbers { threshold, min_sites, packing: packing.map_err(StudyError::from)? })
    }

    fn noise(
        &self,
        policy: SiteLevel,
        min_sites: u16,
        collusion: u16,
    ) -> Result<SiteNoise, SiteNoiseError> {
        SiteNoise::derive(SiteNoiseRequest {
            values: self.layout.values(),
            value_bits: self.value_bits,
            element_bound: element_bound(&self.layout)?,
            policy,
            min_sites,
            collusion,
        })
    }
}

/// Seals a fresh check key to every site of a roster: what a study's author does once.
///
/// # Errors
/// [`SealError::Key`] when a site's KEM key is no X-Wing key.
pub fn seal_check_key(
    roster: &[RosterEntry],
    rng: &mut impl CryptoRng,
) -> Result<CheckKeySeals, SealError> {
    let key = CheckKey::generate(rng);
    let sealed = roster
        .iter()
        .map(|site| {
            let bytes = key.expose();
            seal(&site.kem_key, Purpose::CheckKey, &site.id, bytes, rng).map(HexBytes)
        })
        .collect::<Result<_, _>>()?;
    Ok(CheckKeySeals { commitment: key.commitment(), sealed })
}
