//! Units: what a privacy budget is kept for, and the sets of them that took part.

use std::fmt;
use std::str::FromStr;

use ringfence_crypto::Digest;
use ringfence_crypto::statement::{PrivacyPolicy, PrivacyUnit};
use serde::{Deserialize, Serialize};

use super::error::LedgerError;
use super::key::{CohortKey, Use};

/// Most units of a ledger: 32 MiB of digests.
pub const MOST_UNITS: usize = 1 << 20;

/// What one unit of privacy is. A ledger keeps account of one kind: an epsilon for each image says
/// nothing of a patient with several, so epsilons of two kinds do not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitKind {
    /// One record: an image.
    Record,
    /// All records of a patient together.
    Patient,
    /// The site as a whole.
    Site,
}

impl UnitKind {
    /// What a study's policy protects, where it has a budget.
    pub fn protected_by(policy: &PrivacyPolicy) -> Option<Self> {
        match policy {
            PrivacyPolicy::None | PrivacyPolicy::SetsApart => None,
            PrivacyPolicy::RecordLevel(policy) => Some(match policy.unit {
                PrivacyUnit::Record => Self::Record,
                PrivacyUnit::Patient { .. } => Self::Patient,
            }),
            PrivacyPolicy::SiteLevel(_) => Some(Self::Site),
        }
    }
}

impl fmt::Display for UnitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record => "record",
            Self::Patient => "patient",
            Self::Site => "site",
        })
    }
}

/// Text that names no kind of unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a unit of privacy (record, patient or site), got {0:?}")]
pub struct UnitKindError(String);

impl FromStr for UnitKind {
    type Err = UnitKindError;

    fn from_str(text: &str) -> Result<Self, UnitKindError> {
        let kinds = [Self::Record, Self::Patient, Self::Site];
        let named = kinds.into_iter().find(|kind| kind.to_string() == text);
        named.ok_or_else(|| UnitKindError(text.chars().take(80).collect()))
    }
}

/// The units that a site trains on, by their plain names: these never reach the ledger's folder.
///
/// A unit is known again, in whatever study, by its name to the byte. So a patient needs one spelling
/// in all tables of the hospital, and a record a name that says what it is (its image's digest) and
/// not where it lies: under a second name it would have a second budget.
#[derive(Clone, PartialEq, Eq)]
pub enum Units {
    /// Records, where the data name no patients.
    Records(Vec<String>),
    /// Patients.
    Patients(Vec<String>),
    /// The site as a whole: one unit, in every study the same.
    Site,
}

impl Units {
    /// Of which kind they are.
    pub fn kind(&self) -> UnitKind {
        match self {
            Self::Records(_) => UnitKind::Record,
            Self::Patients(_) => UnitKind::Patient,
            Self::Site => UnitKind::Site,
        }
    }

    fn names(&self) -> Vec<&[u8]> {
        match self {
            Self::Records(names) | Self::Patients(names) => {
                names.iter().map(String::as_bytes).collect()
            }
            Self::Site => vec![b""],
        }
    }

    /// No units of a kind: for what is charged to whoever there is. A site is always there.
    pub(crate) fn none(kind: UnitKind) -> Self {
        match kind {
            UnitKind::Record => Self::Records(Vec::new()),
            UnitKind::Patient => Self::Patients(Vec::new()),
            UnitKind::Site => Self::Site,
        }
    }
}

impl fmt::Debug for Units {
    /// Names of patients have no business in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the kind {}", self.names().len(), self.kind())
    }
}

/// A set of units by their keyed digests, sorted: what the disk sees of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot(Vec<Digest>);

impl Snapshot {
    /// The set of these units; a name that comes twice counts once.
    pub(super) fn of(units: &Units, key: &CohortKey) -> Result<Self, LedgerError> {
        let digest = |name| key.digest(Use::Unit, name);
        let mut digests: Vec<Digest> = units.names().into_iter().map(digest).collect();
        digests.sort_unstable();
        digests.dedup();
        match digests.len() {
            1..=MOST_UNITS => Ok(Self(digests)),
            got => Err(LedgerError::Units { got }),
        }
    }

    /// The set that a file holds, if it is one that this program writes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (digests, rest) = bytes.as_chunks::<32>();
        let digests: Vec<Digest> = digests.iter().map(|bytes| Digest(*bytes)).collect();
        let whole = rest.is_empty() && digests.is_sorted_by(|a, b| a < b);
        whole.then_some(Self(digests))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|digest| digest.0).collect()
    }

    /// What the set is named by.
    pub(super) fn name(&self, key: &CohortKey) -> Digest {
        key.digest(Use::Snapshot, &self.to_bytes())
    }

    pub(super) fn units(&self) -> &[Digest] {
        &self.0
    }

    /// Adds another set, if all of it together is not too much.
    pub(super) fn join(&mut self, other: &Self) -> Result<(), LedgerError> {
        self.0.extend_from_slice(&other.0);
        // Runs that are sorted already: a merge.
        self.0.sort();
        self.0.dedup();
        match self.0.len() {
            0..=MOST_UNITS => Ok(()),
            got => Err(LedgerError::Units { got }),
        }
    }
}
