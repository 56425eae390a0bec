//! What stands in a ledger: its terms, its entries, and how many of them were acknowledged.

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::signature::PublicKey;
use ringfence_crypto::statement::RosterEntry;
use ringfence_keys::update::site_noise::inexact::Inexactness;
use ringfence_privacy::Release;
use serde::{Deserialize, Serialize};

use super::error::LedgerError;
use super::units::UnitKind;

/// The version of these files.
pub(super) const FORMAT: u32 = 1;

/// Most entries of a ledger: a thousand studies of a hundred rounds.
pub(super) const MOST_ENTRIES: usize = 100_000;

/// Most identities of one ledger.
const MOST_OWNERS: usize = 16;

/// Most mechanisms of one round.
const MOST_MECHANISMS: usize = 16;

/// What may be spent on each unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The largest epsilon.
    pub epsilon: f64,
    /// The delta at which it is reckoned.
    pub delta: f64,
}

impl Budget {
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        let Self { epsilon, delta } = *self;
        if !(epsilon.is_finite() && epsilon > 0.0) {
            return Err(LedgerError::Epsilon(epsilon));
        }
        // Also refuses what is no number.
        match delta > 0.0 && delta < 1.0 {
            true => Ok(()),
            false => Err(LedgerError::Delta(delta)),
        }
    }
}

/// A site that a ledger belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The site's name.
    pub site: SiteId,
    /// Verifies what it signs.
    pub signature_key: PublicKey,
}

impl From<&RosterEntry> for Owner {
    fn from(site: &RosterEntry) -> Self {
        Self { site: site.id.clone(), signature_key: site.signature_key }
    }
}

/// A ledger's terms, in `ledger.json`: they never change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The version of the files.
    pub(super) format: u32,
    /// When it was made.
    pub made_at: UnixSeconds,
    /// What it keeps account of.
    pub unit: UnitKind,
    /// What the hospital lets be spent on each unit, over all studies together.
    pub budget: Budget,
    /// Whose it is: one hospital's identities.
    pub owners: Vec<Owner>,
}

impl Terms {
    /// Terms of a new ledger: a budget for each unit of a kind, and whose it is.
    ///
    /// # Errors
    /// [`LedgerError::Epsilon`], [`LedgerError::Delta`] for a budget that is none;
    /// [`LedgerError::Owners`] for none, too many, or one twice.
    pub fn new(
        budget: Budget,
        unit: UnitKind,
        owners: &[RosterEntry],
        made_at: UnixSeconds,
    ) -> Result<Self, LedgerError> {
        budget.check()?;
        let owners: Vec<Owner> = owners.iter().map(Owner::from).collect();
        let twice = |owner| owners.iter().filter(|other| *other == owner).count() > 1;
        if !(1..=MOST_OWNERS).contains(&owners.len()) || owners.iter().any(twice) {
            return Err(LedgerError::Owners { got: owners.len(), most: MOST_OWNERS });
        }
        Ok(Self { format: FORMAT, made_at, unit, budget, owners })
    }
}

/// What an entry charges for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Charged {
    /// One round that the site takes part in.
    Round(RoundNumber),
    /// After a restore from a backup: all rounds up to one that are not charged yet, as if the site
    /// had contributed to each of them. It may have, and forgotten.
    Forgotten {
        /// The last of them; the site abstains through it.
        through: RoundNumber,
        /// How many they are, for each unit that the ledger knew.
        rounds: u32,
        /// How many they are for each unit that it did not know: it may have forgotten that unit. None
        /// in entries of before, for which it is as many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unseen: Option<u32>,
    },
}

/// One entry: a line of `entries`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Its place, from 1.
    pub number: u64,
    /// What names the line before; for the first entry that of the terms.
    pub before: Digest,
    /// When it was made, by the site's clock.
    pub at: UnixSeconds,
    /// The study.
    pub study: StudyId,
    /// Whose journal stands beside it: the site's name in the study, and its key.
    pub owner: Owner,
    /// Rounds.
    pub charged: Charged,
    /// What was done to the data in each of these rounds, each mechanism with how often.
    pub mechanisms: Vec<Release>,
    /// What the study does once, in whichever round: on the first entry of these units.
    pub once: Vec<Release>,
    /// How far the noise of each of these rounds is from the one that is accounted for.
    pub inexact: Inexactness,
    /// The budget of the study's policy.
    pub budget: Budget,
    /// Who took part: the name of a snapshot.
    pub units: Digest,
}

impl Entry {
    /// Rounds that it charges.
    pub(super) fn rounds(&self) -> u32 {
        match self.charged {
            Charged::Round(_) => 1,
            Charged::Forgotten { rounds, .. } => rounds,
        }
    }

    /// Rounds that it charges each unit outside its own set: one that was forgotten may be any.
    pub(super) fn rounds_unseen(&self) -> u32 {
        match self.charged {
            Charged::Round(_) => 0,
            Charged::Forgotten { rounds, unseen, .. } => unseen.unwrap_or(rounds),
        }
    }

    /// Whether a round is charged by it.
    pub(super) fn covers(&self, round: RoundNumber) -> bool {
        match self.charged {
            Charged::Round(charged) => charged == round,
            Charged::Forgotten { through, .. } => round <= through,
        }
    }
}

/// How much of the entries was acknowledged, in `head.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// So many entries.
    pub entries: u64,
    /// What names the last of them; with none, the terms.
    pub last: Digest,
}

/// Refuses lists of mechanisms that no round has.
pub(super) fn check_mechanisms(each: &[Release], once: &[Release]) -> Result<(), LedgerError> {
    for (mechanism, _) in each.iter().chain(once) {
        mechanism.check()?;
    }
    let right = (1..=MOST_MECHANISMS).contains(&each.len()) && once.len() <= MOST_MECHANISMS;
    match right && each.iter().chain(once).all(|(_, times)| *times > 0) {
        true => Ok(()),
        false => Err(LedgerError::Mechanisms { got: each.len(), most: MOST_MECHANISMS }),
    }
}
