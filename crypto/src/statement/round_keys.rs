//! KEM keys for single rounds: what is sealed to a key holder in a round, under a key that it
//! destroys afterwards.

use serde::{Deserialize, Serialize};

use super::kem_key::{KemKeyError, check_kem_key};
use super::manifest::Manifest;
use super::roster_entry::{HexBytes, KEM_KEY_BYTES, RosterEntry};
use super::study::Study;
use crate::digest::Digest;
use crate::id::{RoundNumber, SiteId, StudyId, UnixSeconds};
use crate::signature::{SignatureError, Signed, Statement};
use crate::wire::canonical::canonical;

/// Most rounds that one statement covers: 64 keys take 156 kB of JSON.
pub const MAX_ROUND_KEYS: usize = 64;

/// Seconds after the publishing of round keys in which an initiator may open a round without having
/// seen them. Keys are published rounds ahead, so this concerns a study's first rounds.
pub const UNSEEN_SECONDS: u64 = 5;

/// A site's X-Wing encapsulation keys for coming rounds, one for each. A site makes at most one key
/// for a round number, and destroys the secret half when the round has ended, so that whoever
/// takes its long-term key later cannot read the shares of rounds before: forward secrecy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RoundKeys {
    /// The study.
    pub study: StudyId,
    /// Whose keys.
    pub site: SiteId,
    /// Round of the first key; the others follow.
    pub first_round: RoundNumber,
    /// 1 to 64 keys.
    pub keys: Vec<HexBytes>,
}
canonical!(RoundKeys { study, site, first_round, keys });

impl Statement for RoundKeys {
    const LABEL: &'static str = "round-keys";
    type Id = Digest;
}

/// Round keys that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoundKeysError {
    /// For another study or by no site of the roster.
    #[error(
        "the round keys of {site} are for study {got}, or {site} is not on its roster; expected study {expected}"
    )]
    Other {
        /// Whose keys.
        site: SiteId,
        /// This study.
        expected: StudyId,
        /// As stated.
        got: StudyId,
    },
    /// None, or too many.
    #[error(
        "expected 1 to {MAX_ROUND_KEYS} round keys of {KEM_KEY_BYTES} bytes, got {got} from round {first_round} on, expected none beyond round {last}", last = u32::MAX
    )]
    Count {
        /// Round of the first.
        first_round: RoundNumber,
        /// Number of keys.
        got: usize,
    },
    /// A key that nobody could seal to.
    #[error(
        "the key of {site} for round {round} {source}; its statement is of no use, publish keys that `ringfence` made"
    )]
    Key {
        /// Whose key.
        site: SiteId,
        /// For which round.
        round: RoundNumber,
        /// What is wrong with it.
        source: KemKeyError,
    },
    /// The manifest names a statement that is not at hand or does not cover the round.
    #[error(
        "the manifest of round {round} has {holder} hold under round keys {digest}; no such statement by {holder} that covers the round is at hand, fetch it from the aggregator"
    )]
    Missing {
        /// The round.
        round: RoundNumber,
        /// The key holder.
        holder: SiteId,
        /// Digest of the statement that the manifest names.
        digest: Digest,
    },
    /// Signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl RoundKeys {
    /// Checks a signed statement against the study, every key included: what the aggregator takes
    /// and an initiator names.
    ///
    /// # Errors
    /// [`RoundKeysError`] with the first thing that is wrong.
    pub fn check(
        signed: &Signed<Self>,
        study: &Study,
        study_id: StudyId,
    ) -> Result<(), RoundKeysError> {
        Self::check_statement(signed, study, study_id)?;
        let Self { site, first_round, keys, .. } = &signed.statement;
        for (round, key) in (first_round.0..).map(RoundNumber).zip(keys) {
            check_kem_key(key).map_err(|source| {
                let site = site.clone();
                RoundKeysError::Key { site, round, source }
            })?;
        }
        Ok(())
    }

    /// The round after the last one that it has a key for.
    pub fn end(&self) -> RoundNumber {
        let keys = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        RoundNumber(self.first_round.0.saturating_add(keys))
    }

    /// As [`RoundKeys::check`], but for the keys themselves.
    fn check_statement(
        signed: &Signed<Self>,
        study: &Study,
        study_id: StudyId,
    ) -> Result<(), RoundKeysError> {
        let Self { study: got, site, first_round, keys } = &signed.statement;
        let other = || RoundKeysError::Other { site: site.clone(), expected: study_id, got: *got };
        let member = study.site(site).filter(|_| *got == study_id).ok_or_else(other)?;
        let got = keys.len();
        let last = u32::try_from(got).ok().and_then(|count| first_round.0.checked_add(count));
        if !(1..=MAX_ROUND_KEYS).contains(&got) || last.is_none() {
            return Err(RoundKeysError::Count { first_round: *first_round, got });
        }
        Ok(signed.verify(&member.signature_key, site)?)
    }

    /// Whether a manifest that was opened at `opened_at` may leave out round keys that were in the log
    /// `since` then: its initiator may not have seen them.
    pub fn may_be_unseen(opened_at: UnixSeconds, since: UnixSeconds) -> bool {
        opened_at <= since.after(UNSEEN_SECONDS)
    }

    /// The key for a round, if it is among them.
    pub fn key(&self, round: RoundNumber) -> Option<&HexBytes> {
        self.keys.get(round.0.checked_sub(self.first_round.0)? as usize)
    }
}

/// The KEM keys that a round's shares are sealed to, in window order: what a dealer must ask for,
/// and only [`HolderKeys::resolve`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct HolderKeys(Vec<HolderKey>);

/// What is sealed to one holder under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HolderKey {
    /// Its key for this round.
    Round(HexBytes),
    /// Its long-term key, for the manifest names none for the round: without forward secrecy.
    LongTerm(HexBytes),
    /// None: the holder signed a key for this round that is no X-Wing key. It is dealt an empty
    /// envelope, and the contribution goes on.
    Unusable(KemKeyError),
}

impl HolderKey {
    /// The key to seal to, if there is one.
    pub fn key(&self) -> Option<&HexBytes> {
        match self {
            Self::Round(key) | Self::LongTerm(key) => Some(key),
            Self::Unusable(_) => None,
        }
    }
}

impl HolderKeys {
    /// The keys that a checked manifest names: for each holder that of the round keys' statement
    /// with the digest in the manifest, or its long-term key where the manifest names none.
    ///
    /// # Errors
    /// [`RoundKeysError`] when a statement is missing, is not its holder's, or does not cover the
    /// round. A key that does not parse is no error: its holder harms nobody but itself.
    pub fn resolve(
        study: &Study,
        manifest: &Manifest,
        statements: &[Signed<RoundKeys>],
    ) -> Result<Self, RoundKeysError> {
        let round = manifest.round;
        let resolve = |(holder, named): (&RosterEntry, &Option<Digest>)| {
            let Some(digest) = named else {
                return Ok(HolderKey::LongTerm(holder.kem_key.clone()));
            };
            let signed = statements
                .iter()
                .find(|signed| signed.statement.site == holder.id && signed.id() == *digest);
            let key = signed.and_then(|signed| signed.statement.key(round));
            let (Some(signed), Some(key)) = (signed, key) else {
                let (holder, digest) = (holder.id.clone(), *digest);
                return Err(RoundKeysError::Missing { round, holder, digest });
            };
            RoundKeys::check_statement(signed, study, manifest.study)?;
            Ok(match check_kem_key(key) {
                Ok(()) => HolderKey::Round(key.clone()),
                Err(fault) => HolderKey::Unusable(fault),
            })
        };
        let holders = study.holders(round).zip(&manifest.holder_keys);
        holders.map(resolve).collect::<Result<_, _>>().map(Self)
    }

    /// One entry for each holder, in window order.
    pub fn iter(&self) -> impl Iterator<Item = &HolderKey> {
        self.0.iter()
    }
}
