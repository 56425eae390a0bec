//! The study file: everything that must not change between rounds.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::check_key::CheckKeySeals;
use super::kem_key::{KemKeyError, check_kem_key};
use super::privacy_check::PolicyError;
use super::privacy_policy::PrivacyPolicy;
use super::roster_entry::RosterEntry;
use super::training::{Training, TrainingError};
use super::weighting::{Weighting, WeightingError};
use crate::dealing::Trust;
use crate::id::{ModelId, RoundNumber, SiteId, StudyId, UnixSeconds};
use crate::layout::{Layout, LayoutError};
use crate::ring::packing::{Packing, PackingError};
use crate::ring::params::{MAX_SITES, ParameterSet};
use crate::signature::{PublicKey, SignatureError, Statement};
use crate::threshold::{MAX_FUNCTIONALS, Threshold, ThresholdError};
use crate::wire::canonical::canonical;

/// The most seconds that a study may let a round take contributions: 90 days.
pub const MAX_ROUND_SECONDS: u32 = 90 * 24 * 3600;

/// Of many sites that have not signed, so many are named; of the others their number says enough.
pub const MOST_NAMED: usize = 10;

/// Everything that the roster agrees on before the first round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// For people.
    pub name: String,
    /// When the file was made.
    pub created_at: UnixSeconds,
    /// The sites in ring order.
    pub roster: Vec<RosterEntry>,
    /// Verifies receipts and closings.
    pub aggregator_key: PublicKey,
    /// The cipher's parameter set.
    pub parameters: ParameterSet,
    /// `(m, c, l, Q, t)`.
    pub threshold: Threshold,
    /// Fewest contributions a sum is opened for.
    pub min_sites: u16,
    /// Bits, room for noise, slots, scale and wire words.
    pub packing: Packing,
    /// The model's tensors and clip bounds.
    pub layout: Layout,
    /// The model before round 0.
    pub initial_model: ModelId,
    /// How contributions are weighted. Files and vectors of version 1 call it `weights`.
    #[serde(rename = "weights")]
    pub weighting: Weighting,
    /// What is promised of the opened sums, and the noise that sites add for it.
    pub privacy: PrivacyPolicy,
    /// What all sites train alike, or that nothing pins it.
    pub training: Training,
    /// A manifest must leave at least this long for contributions.
    pub min_round_seconds: u32,
    /// A manifest may leave at most this long for contributions: nobody holds a round open for
    /// longer.
    pub longest_round_seconds: u32,
    /// How long holders have to review the envelopes after the deadline.
    pub review_seconds: u32,
    /// After this long without a new round the initiator's successor on the ring may open it.
    pub initiator_timeout_seconds: u32,
    /// The key of the check words.
    pub check_key: CheckKeySeals,
}
canonical!(Study {
    name,
    created_at,
    roster,
    aggregator_key,
    parameters,
    threshold,
    min_sites,
    packing,
    layout,
    initial_model,
    weighting,
    privacy,
    training,
    min_round_seconds,
    longest_round_seconds,
    review_seconds,
    initiator_timeout_seconds,
    check_key,
});

impl Statement for Study {
    const LABEL: &'static str = "study";
    type Id = StudyId;
}

/// A study that cannot run or is not signed by its roster.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StudyError {
    /// Too few or too many sites.
    #[error(
        "expected 3 to {MAX_SITES} sites, got {0}: with two sites each could subtract its own update from the sum"
    )]
    Roster(usize),
    /// A site or a key stands twice.
    #[error(
        "site {0} or one of its keys stands twice in the roster; every site has a name and keys of its own"
    )]
    Twice(SiteId),
    /// A KEM key that nobody could seal to.
    #[error("the KEM key of {site} {source}; use `ringfence keygen`")]
    KemKey {
        /// Whose key.
        site: SiteId,
        /// What is wrong with it.
        source: KemKeyError,
    },
    /// Thresholds that do not work.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
    /// Too few sites for a safe sum.
    #[error(
        "min_sites is {got}, expected {floor} to {ceiling}: a sum over fewer would leave less than two honest sites in it, and more could not come while up to c sites spoil their contributions and accuse others"
    )]
    MinSites {
        /// As stated.
        got: u16,
        /// `max(3, c + 2)`.
        floor: u16,
        /// `n - 2c + 1`; `n` where a spoiled round names nobody.
        ceiling: usize,
    },
    /// Disputes could reveal too much of a key.
    #[error(
        "c l^2 is {got}, expected at most {MAX_FUNCTIONALS}: the disputes of a study may give so many equations of each key; lower --packing"
    )]
    Functionals {
        /// As it follows.
        got: u32,
    },
    /// Sums would overflow.
    #[error(transparent)]
    Packing(#[from] PackingError),
    /// A layout that no model has.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A weighting that is not the roster's.
    #[error(transparent)]
    Weighting(#[from] WeightingError),
    /// A longest round that is shorter than the shortest, or longer than any study may have.
    #[error(
        "longest_round_seconds is {longest}, expected {min} (min_round_seconds) to {MAX_ROUND_SECONDS} (90 days)"
    )]
    RoundSeconds {
        /// `min_round_seconds`.
        min: u32,
        /// As stated.
        longest: u32,
    },
    /// A training plan that cannot be pinned.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// A privacy policy that is none, or does not go with the rest of the study.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Check keys are missing.
    #[error("expected one sealed check key for each of {sites} sites, got {got}")]
    CheckKeys {
        /// Roster size.
        sites: usize,
        /// Sealed keys in the file.
        got: usize,
    },
    /// A name too long.
    #[error("expected a study name of 1 to 200 bytes, got {0}")]
    Name(usize),
    /// A signature is missing.
    #[error("the study lacks the signatures of {}; each runs `ringfence study sign`", few(.0))]
    Unsigned(Vec<SiteId>),
    /// A signature by nobody on the roster, or a second one.
    #[error("the study carries a signature by {0}, who is not on the roster or signed already")]
    Signer(SiteId),
    /// A signature that does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// The first few names, and how many there are more.
fn few(sites: &[SiteId]) -> String {
    let named: Vec<&str> = sites.iter().take(MOST_NAMED).map(SiteId::as_str).collect();
    let named = named.join(", ");
    match sites.len().saturating_sub(MOST_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

impl Study {
    /// Refuses a study whose numbers cannot be summed, shared, certified or opened.
    ///
    /// # Errors
    /// [`StudyError`] with the first thing that does not fit.
    pub fn check(&self) -> Result<(), StudyError> {
        let sites = self.roster.len();
        if !(3..=MAX_SITES).contains(&sites) {
            return Err(StudyError::Roster(sites));
        }
        if self.name.is_empty() || self.name.len() > 200 {
            return Err(StudyError::Name(self.name.len()));
        }
        let mut seen = BTreeSet::new();
        for site in &self.roster {
            let RosterEntry { id, signature_key, kem_key } = site;
            check_kem_key(kem_key)
                .map_err(|source| StudyError::KemKey { site: id.clone(), source })?;
            let fresh = [id.as_str().as_bytes(), signature_key.as_bytes(), &kem_key.0]
                .map(|bytes| seen.insert(bytes));
            if fresh.contains(&false) || *signature_key == self.aggregator_key {
                return Err(StudyError::Twice(id.clone()));
            }
        }
        self.threshold.check(sites)?;
        let got = self.threshold.functionals();
        if self.threshold.names() && got > MAX_FUNCTIONALS.into() {
            return Err(StudyError::Functionals { got });
        }
        let floor = self.threshold.min_sites_floor();
        let ceiling = self.threshold.min_sites_ceiling(sites);
        if self.min_sites < floor || usize::from(self.min_sites) > ceiling {
            return Err(StudyError::MinSites { got: self.min_sites, floor, ceiling });
        }
        self.packing.check(sites, self.threshold.collusion)?;
        self.layout.check()?;
        self.packing.blocks(self.layout.values())?;
        let (min, longest) = (self.min_round_seconds, self.longest_round_seconds);
        if !(min..=MAX_ROUND_SECONDS).contains(&longest) {
            return Err(StudyError::RoundSeconds { min, longest });
        }
        self.weighting.check(sites, self.packing.value_bits)?;
        self.training.check()?;
        self.privacy.check(self)?;
        if self.check_key.sealed.len() != sites {
            return Err(StudyError::CheckKeys { sites, got: self.check_key.sealed.len() });
        }
        Ok(())
    }

    /// Ring position of a site.
    pub fn position(&self, site: &SiteId) -> Option<usize> {
        self.roster.iter().position(|member| member.id == *site)
    }

    /// The roster's entry of a site.
    pub fn site(&self, site: &SiteId) -> Option<&RosterEntry> {
        self.roster.iter().find(|member| member.id == *site)
    }

    /// The key holders of a round: `m` consecutive sites from ring position `round mod n`.
    pub fn holders(&self, round: RoundNumber) -> impl Iterator<Item = &RosterEntry> + Clone {
        let (before, from) = self.roster.split_at(self.ring_start(round));
        from.iter().chain(before).take(self.threshold.holders.into())
    }

    /// The names of a round's key holders, in window order.
    pub fn window(&self, round: RoundNumber) -> Vec<SiteId> {
        self.holders(round).map(|holder| holder.id.clone()).collect()
    }

    /// `round mod n`: the ring position of a round's first key holder and of its initiator.
    pub(super) fn ring_start(&self, round: RoundNumber) -> usize {
        round.0 as usize % self.roster.len().max(1)
    }

    /// Window offset of a site among the holders of a round, if it is one.
    pub fn holder_offset(&self, round: RoundNumber, site: &SiteId) -> Option<usize> {
        self.holders(round).position(|holder| holder.id == *site)
    }

    /// The initiator of a round when `turns` predecessors on the ring stayed silent; a barred site's
    /// turn passes at once. None if there are no sites, or all are barred.
    pub fn initiator(
        &self,
        round: RoundNumber,
        turns: usize,
        trust: &Trust,
    ) -> Option<&RosterEntry> {
        let (before, from) = self.roster.split_at(self.ring_start(round));
        let ring = || from.iter().chain(before).filter(|site| !trust.bars(&site.id));
        ring().nth(turns % ring().count().max(1))
    }

    /// Blocks of a contribution's body.
    ///
    /// # Errors
    /// [`PackingError::TooLarge`], which [`Study::check`] has excluded.
    pub fn blocks(&self) -> Result<usize, PackingError> {
        self.packing.blocks(self.layout.values())
    }

    /// Bytes of a contribution's body.
    ///
    /// # Errors
    /// As for [`Study::blocks`].
    pub fn body_bytes(&self) -> Result<u64, PackingError> {
        self.packing.body_bytes(self.layout.values())
    }
}
