//! The manifest of a round: signed by the initiator, whose turn it is by ring position.

use serde::{Deserialize, Serialize};

use super::name::SiteId;
use super::signed::{SignatureError, Signed, Statement};
use super::study::Study;
use crate::digest::Digest;
use crate::wire::canonical::canonical;

/// Longest time between opening and deadline: 90 days.
const MAX_ROUND_SECONDS: u64 = 90 * 24 * 3600;

/// What a round is about. Its digest, the *round digest*, seeds the public polynomials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Digest of the study.
    pub study: Digest,
    /// Round number; numbers only rise, by one.
    pub round: u32,
    /// Who opens the round.
    pub initiator: SiteId,
    /// Unix seconds.
    pub opened_at: u64,
    /// Unix seconds after which no contribution is taken.
    pub deadline: u64,
    /// The key holders, in window order.
    pub holders: Vec<SiteId>,
    /// For each of them the digest of its statement of round keys that shares are sealed under, or
    /// none for its long-term key (a holder that has published none).
    pub holder_keys: Vec<Option<Digest>>,
    /// Keyed digest of the model that the updates start from (the aggregator cannot test a guess).
    pub base_model: Digest,
    /// Digest of the previous round's certified closing; none in round 0.
    pub previous: Option<Digest>,
}
canonical!(Manifest {
    study,
    round,
    initiator,
    opened_at,
    deadline,
    holders,
    holder_keys,
    base_model,
    previous
});

impl Statement for Manifest {
    const LABEL: &'static str = "manifest";
}

/// How the previous round ended, as far as the next manifest is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Number of the round that ended.
    pub round: u32,
    /// Digest of its certified closing.
    pub closing: Digest,
    /// When it was closed, Unix seconds.
    pub closed_at: u64,
}

/// A manifest that a site or the aggregator refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ManifestError {
    /// For another study.
    #[error("the manifest is for study {got}, expected {expected}")]
    Study {
        /// This study.
        expected: Digest,
        /// As stated.
        got: Digest,
    },
    /// Not the next round.
    #[error(
        "the manifest opens round {got}, expected round {expected}: rounds are opened in order, each once the one before is certified"
    )]
    Round {
        /// The next number.
        expected: u32,
        /// As stated.
        got: u32,
    },
    /// Another predecessor.
    #[error("the manifest names {got:?} as the previous round's closing, expected {expected:?}")]
    Previous {
        /// The certified closing.
        expected: Option<Digest>,
        /// As stated.
        got: Option<Digest>,
    },
    /// Signed by somebody whose turn it is not.
    #[error(
        "{got} opened round {round}, but the initiator is {due}, and its successors on the ring may step in only after {timeout} s each"
    )]
    Initiator {
        /// Who signed.
        got: SiteId,
        /// Whose turn it is.
        due: SiteId,
        /// The round.
        round: u32,
        /// The study's time-out.
        timeout: u32,
    },
    /// Another window of holders.
    #[error(
        "the manifest's key holders are not the {expected} sites from ring position {start} on"
    )]
    Holders {
        /// `m`.
        expected: u16,
        /// `round mod n`.
        start: usize,
    },
    /// Another number of holders' keys.
    #[error(
        "the manifest names {got} holders' keys, expected one entry for each of {expected} key holders"
    )]
    HolderKeys {
        /// `m`.
        expected: u16,
        /// As stated.
        got: usize,
    },
    /// A deadline too near or too far.
    #[error(
        "the manifest leaves {got} s for contributions, expected {min} to {MAX_ROUND_SECONDS} s"
    )]
    Deadline {
        /// The study's minimum.
        min: u32,
        /// As stated; negative spans count as 0.
        got: u64,
    },
    /// Signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Manifest {
    /// Checks a signed manifest against the study and the previous round's certified closing.
    /// Every site, the aggregator and an auditor check the same.
    ///
    /// # Errors
    /// [`ManifestError`] with the first thing that differs.
    pub fn check(
        signed: &Signed<Self>,
        study: &Study,
        study_digest: Digest,
        previous: Option<&Previous>,
    ) -> Result<(), ManifestError> {
        let manifest = &signed.statement;
        if manifest.study != study_digest {
            return Err(ManifestError::Study { expected: study_digest, got: manifest.study });
        }
        let expected = previous.map_or(0, |previous| previous.round.saturating_add(1));
        if manifest.round != expected {
            return Err(ManifestError::Round { expected, got: manifest.round });
        }
        let closing = previous.map(|previous| previous.closing);
        if manifest.previous != closing {
            return Err(ManifestError::Previous { expected: closing, got: manifest.previous });
        }
        let ended_at = previous.map_or(study.created_at, |previous| previous.closed_at);
        let turns = manifest.turns(study, ended_at)?;
        if !manifest.holders.iter().eq(study.holders(manifest.round).map(|site| &site.id)) {
            let start = manifest.round as usize % study.roster.len();
            return Err(ManifestError::Holders { expected: study.threshold.holders, start });
        }
        let (expected, got) = (study.threshold.holders, manifest.holder_keys.len());
        if got != usize::from(expected) {
            return Err(ManifestError::HolderKeys { expected, got });
        }
        let got = manifest.deadline.saturating_sub(manifest.opened_at);
        if got < u64::from(study.min_round_seconds) || got > MAX_ROUND_SECONDS {
            return Err(ManifestError::Deadline { min: study.min_round_seconds, got });
        }
        let initiator = study.initiator(manifest.round, turns);
        signed.verify(&initiator.signature_key, &initiator.id)?;
        Ok(())
    }

    /// How many places after the initiator that is due the signer stands on the ring; each must
    /// have waited one more time-out since the previous round ended.
    fn turns(&self, study: &Study, ended_at: u64) -> Result<usize, ManifestError> {
        let due = &study.initiator(self.round, 0).id;
        let refuse = || ManifestError::Initiator {
            got: self.initiator.clone(),
            due: due.clone(),
            round: self.round,
            timeout: study.initiator_timeout_seconds,
        };
        let turns = (0..study.roster.len())
            .find(|turns| study.initiator(self.round, *turns).id == self.initiator)
            .ok_or_else(refuse)?;
        let wait = (turns as u64).saturating_mul(u64::from(study.initiator_timeout_seconds));
        if self.opened_at < ended_at.saturating_add(wait) {
            return Err(refuse());
        }
        Ok(turns)
    }
}
