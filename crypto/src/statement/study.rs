//! The study file: everything that must not change between rounds, signed by the whole roster.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, Signer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::name::SiteId;
use super::signed::{PublicKey, SignatureError, Signed, Statement, signature_hex};
use super::weights::{WeightPolicy, WeightsError};
use crate::digest::Digest;
use crate::layout::{Layout, LayoutError};
use crate::packing::{Packing, PackingError};
use crate::params::{MAX_SITES, ParameterSet};
use crate::threshold::{Threshold, ThresholdError};
use crate::wire::canonical::{Canonical, canonical};

/// Bytes of an X-Wing encapsulation key.
pub const KEM_KEY_BYTES: usize = 1216;

/// Bytes shown as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl Canonical for HexBytes {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// One site of the roster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its name.
    pub id: SiteId,
    /// Verifies what it signs.
    pub signature_key: PublicKey,
    /// X-Wing encapsulation key: what is sealed to it.
    pub kem_key: HexBytes,
}
canonical!(Site { id, signature_key, kem_key });

/// The study's check key, sealed to every site and never to the aggregator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckKeySeals {
    /// Digest of the key, so that every site knows that all were given the same one.
    pub commitment: Digest,
    /// One sealed key a site, in roster order.
    pub sealed: Vec<HexBytes>,
}
canonical!(CheckKeySeals { commitment, sealed });

/// The study's differential-privacy policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyPolicy {
    /// No noise: the opened sum is exact and may itself leak (see `docs/security.md`).
    None,
}

impl Canonical for PrivacyPolicy {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => 0u8.encode(out),
        }
    }
}

/// Everything that the roster agrees on before the first round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// For people.
    pub name: String,
    /// Unix seconds at which the file was made.
    pub created_at: u64,
    /// The sites in ring order.
    pub roster: Vec<Site>,
    /// Verifies receipts and closings.
    pub aggregator_key: PublicKey,
    /// The cipher's parameter set.
    pub parameters: ParameterSet,
    /// `(m, c, l, Q, t)`.
    pub threshold: Threshold,
    /// Fewest contributions a sum is opened for.
    pub min_sites: u16,
    /// Bits, slots, scale and wire words.
    pub packing: Packing,
    /// The model's tensors and clip bounds.
    pub layout: Layout,
    /// Digest of the model before round 0.
    pub initial_model: Digest,
    /// How contributions are weighted.
    pub weights: WeightPolicy,
    /// Noise that sites add before encryption.
    pub privacy: PrivacyPolicy,
    /// A manifest must leave at least this long for contributions.
    pub min_round_seconds: u32,
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
    weights,
    privacy,
    min_round_seconds,
    review_seconds,
    initiator_timeout_seconds,
    check_key,
});

impl Canonical for ParameterSet {
    fn encode(&self, out: &mut Vec<u8>) {
        self.name().encode(out);
    }
}

impl Canonical for Threshold {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { holders, collusion, packing, opening, endorsements } = self;
        for number in [holders, collusion, packing, opening, endorsements] {
            number.encode(out);
        }
    }
}

impl Statement for Study {
    const LABEL: &'static str = "study";
}

/// What a site signs: the digest, so that checking a large roster hashes the study once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StudySignature {
    study: Digest,
    site: SiteId,
}
canonical!(StudySignature { study, site });

impl Statement for StudySignature {
    const LABEL: &'static str = "study-signature";
}

/// One site's signature of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteSignature {
    /// Who signed.
    pub site: SiteId,
    /// Ed25519 over the study's digest and the site's name.
    #[serde(with = "signature_hex")]
    pub signature: Signature,
}

/// A study with the signatures it has so far; complete when the whole roster signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedStudy {
    /// The study.
    pub study: Study,
    /// Signatures, in any order, one a site.
    pub signatures: Vec<SiteSignature>,
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
    /// A KEM key of a wrong length.
    #[error(
        "the KEM key of {site} has {got} bytes, expected {KEM_KEY_BYTES} of X-Wing; use `ringfence keygen`"
    )]
    KemKey {
        /// Whose key.
        site: SiteId,
        /// Bytes that came.
        got: usize,
    },
    /// Thresholds that do not work.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
    /// Too few sites for a safe sum.
    #[error(
        "min_sites is {got}, expected {floor} to {sites}: a sum over fewer would leave less than two honest sites in it, one over more cannot come"
    )]
    MinSites {
        /// As stated.
        got: u16,
        /// `max(3, c + 2)`.
        floor: u16,
        /// Roster size.
        sites: usize,
    },
    /// Sums would overflow.
    #[error(transparent)]
    Packing(#[from] PackingError),
    /// A layout that no model has.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Weights that are not the roster's.
    #[error(transparent)]
    Weights(#[from] WeightsError),
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
    #[error("the study lacks the signatures of {}; each runs `ringfence study sign`", .0.iter().map(SiteId::as_str).collect::<Vec<_>>().join(", "))]
    Unsigned(Vec<SiteId>),
    /// A signature by nobody on the roster, or a second one.
    #[error("the study carries a signature by {0}, who is not on the roster or signed already")]
    Signer(SiteId),
    /// A signature that does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
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
        let mut seen = std::collections::BTreeSet::new();
        for site in &self.roster {
            let Site { id, signature_key, kem_key } = site;
            if kem_key.0.len() != KEM_KEY_BYTES {
                return Err(StudyError::KemKey { site: id.clone(), got: kem_key.0.len() });
            }
            let fresh = [id.as_str().as_bytes(), signature_key.as_bytes(), &kem_key.0]
                .map(|bytes| seen.insert(bytes));
            if fresh.contains(&false) || *signature_key == self.aggregator_key {
                return Err(StudyError::Twice(id.clone()));
            }
        }
        self.threshold.check(sites)?;
        let floor = self.threshold.min_sites_floor();
        if self.min_sites < floor || usize::from(self.min_sites) > sites {
            return Err(StudyError::MinSites { got: self.min_sites, floor, sites });
        }
        self.packing.check(sites)?;
        self.layout.check()?;
        self.packing.blocks(self.layout.values())?;
        self.weights.check(sites, self.packing.value_limit())?;
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
    pub fn site(&self, site: &SiteId) -> Option<&Site> {
        self.roster.iter().find(|member| member.id == *site)
    }

    /// The key holders of a round: `m` consecutive sites from ring position `round mod n`.
    pub fn holders(&self, round: u32) -> impl ExactSizeIterator<Item = &Site> + Clone {
        let start = round as usize % self.roster.len();
        (0..usize::from(self.threshold.holders))
            .map(move |offset| &self.roster[(start + offset) % self.roster.len()])
    }

    /// Window offset of a site among the holders of a round, if it is one.
    pub fn holder_offset(&self, round: u32, site: &SiteId) -> Option<usize> {
        self.holders(round).position(|holder| holder.id == *site)
    }

    /// The initiator of a round when `turns` predecessors on the ring stayed silent.
    pub fn initiator(&self, round: u32, turns: usize) -> &Site {
        &self.roster[(round as usize % self.roster.len() + turns) % self.roster.len()]
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

impl SignedStudy {
    /// A study that nobody has signed yet.
    pub fn unsigned(study: Study) -> Self {
        Self { study, signatures: Vec::new() }
    }

    /// Adds one site's signature.
    ///
    /// # Errors
    /// [`StudyError::Signer`] when `site` is not on the roster or signed already, and
    /// [`StudyError::Signature`] when `signer` is not the key that the roster names.
    pub fn sign(
        &mut self,
        site: &SiteId,
        signer: &impl Signer<Signature>,
    ) -> Result<(), StudyError> {
        let statement = StudySignature { study: self.study.digest(), site: site.clone() };
        let signed = super::signed::sign(statement, signer);
        let member = self.study.site(site).ok_or_else(|| StudyError::Signer(site.clone()))?;
        if self.signatures.iter().any(|signature| signature.site == *site) {
            return Err(StudyError::Signer(site.clone()));
        }
        signed.verify(&member.signature_key, site)?;
        self.signatures.push(SiteSignature { site: site.clone(), signature: signed.signature });
        Ok(())
    }

    /// Refuses anything but a sound study that the whole roster signed.
    ///
    /// # Errors
    /// [`StudyError`] names what is wrong or who has not signed.
    pub fn verify(&self) -> Result<(), StudyError> {
        self.study.check()?;
        let study = self.study.digest();
        let mut missing: BTreeMap<&SiteId, &PublicKey> =
            self.study.roster.iter().map(|site| (&site.id, &site.signature_key)).collect();
        for SiteSignature { site, signature } in &self.signatures {
            let Some(key) = missing.remove(site) else {
                return Err(StudyError::Signer(site.clone()));
            };
            let statement = StudySignature { study, site: site.clone() };
            Signed { statement, signature: *signature }.verify(key, site)?;
        }
        if !missing.is_empty() {
            return Err(StudyError::Unsigned(missing.into_keys().cloned().collect()));
        }
        Ok(())
    }
}
