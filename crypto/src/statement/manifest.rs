//! The manifest of a round: signed by the initiator, whose turn it is by ring position.

use serde::{Deserialize, Serialize};

use super::study::Study;
use crate::dealing::Trust;
use crate::digest::Digest;
use crate::id::{ClosingId, ManifestId, RoundNumber, SiteId, StudyId, UnixSeconds};
use crate::signature::{SignatureError, Signed, Statement};
use crate::time::{MAX_CLOCK_AHEAD, Utc};
use crate::wire::canonical::canonical;

/// What a round is about. Its name, the digest of it, seeds the public polynomials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The study.
    pub study: StudyId,
    /// Round number; numbers only rise, by one.
    pub round: RoundNumber,
    /// Who opens the round.
    pub initiator: SiteId,
    /// When it was opened.
    pub opened_at: UnixSeconds,
    /// After this moment no contribution is taken.
    pub deadline: UnixSeconds,
    /// The key holders, in window order.
    pub holders: Vec<SiteId>,
    /// For each of them the digest of its statement of round keys that shares are sealed under, or
    /// none for its long-term key (a holder that has published none).
    pub holder_keys: Vec<Option<Digest>>,
    /// Keyed digest of the model that the updates start from (the aggregator cannot test a guess).
    pub base_model: Digest,
    /// The previous round's certified closing; none in round 0.
    pub previous: Option<ClosingId>,
    /// Digest of the [`Trust`] before the round: who is barred, and which pairs are in doubt.
    pub trust: Digest,
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
    previous,
    trust
});

impl Statement for Manifest {
    const LABEL: &'static str = "manifest";
    type Id = ManifestId;
}

/// How the previous round ended, as far as the next manifest is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Number of the round that ended.
    pub round: RoundNumber,
    /// Its certified closing.
    pub closing: ClosingId,
    /// When it was closed.
    pub closed_at: UnixSeconds,
    /// Trust after it, with the sites that its verdicts bar.
    pub trust: Trust,
}

/// A manifest that a site or the aggregator refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ManifestError {
    /// For another study.
    #[error("the manifest is for study {got}, expected {expected}")]
    Study {
        /// This study.
        expected: StudyId,
        /// As stated.
        got: StudyId,
    },
    /// A round that the study's training plan does not have.
    #[error(
        "the manifest opens round {got}, and the study's training plan has {rounds}, counted from 0 (those that were aborted count): the study is over; what follows is a new study from its last model"
    )]
    BeyondPlan {
        /// Rounds of the plan.
        rounds: u32,
        /// By the manifest.
        got: RoundNumber,
    },
    /// Not the next round.
    #[error(
        "the manifest opens round {got}, expected round {expected}: rounds are opened in order, each once the one before has ended: in a certified abort, or with one model that enough sites have acknowledged"
    )]
    Round {
        /// The next number.
        expected: RoundNumber,
        /// As stated.
        got: RoundNumber,
    },
    /// Another predecessor.
    #[error("the manifest names {got:?} as the previous round's closing, expected {expected:?}")]
    Previous {
        /// The certified closing.
        expected: Option<ClosingId>,
        /// As stated.
        got: Option<ClosingId>,
    },
    /// Another trust.
    #[error(
        "the manifest names the trust {got}, expected {expected}: initiator and reader do not agree on who is barred; fetch freeze, reviews and verdicts of the rounds before again"
    )]
    Trust {
        /// As it follows from the rounds before.
        expected: Digest,
        /// As stated.
        got: Digest,
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
        round: RoundNumber,
        /// The study's time-out.
        timeout: u32,
    },
    /// A study that [`Study::check`] refuses.
    #[error("the study's roster is empty: nobody can open a round")]
    NoSites,
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
        "the manifest leaves {got} s for contributions, expected {min} to {longest} s (the study's min_round_seconds and longest_round_seconds)"
    )]
    Deadline {
        /// The study's minimum.
        min: u32,
        /// The study's maximum.
        longest: u32,
        /// As stated; negative spans count as 0.
        got: u64,
    },
    /// Opened in the future.
    #[error(
        "the manifest was opened at {opened_at}, more than {MAX_CLOCK_AHEAD} s ahead of {whose} clock, which shows {now}; look at the clock of the initiator, {initiator}, first, then at {whose}"
    )]
    OpenedAhead {
        /// As stated.
        opened_at: Utc,
        /// Who signed it.
        initiator: SiteId,
        /// The time at whoever checks.
        now: Utc,
        /// Whose clock that is.
        whose: &'static str,
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
        study_id: StudyId,
        previous: Option<&Previous>,
    ) -> Result<(), ManifestError> {
        let manifest = &signed.statement;
        if manifest.study != study_id {
            return Err(ManifestError::Study { expected: study_id, got: manifest.study });
        }
        let expected = previous.map_or(RoundNumber::FIRST, |previous| previous.round.next());
        if manifest.round != expected {
            return Err(ManifestError::Round { expected, got: manifest.round });
        }
        match study.training.rounds() {
            Some(rounds) if manifest.round.0 >= rounds => {
                return Err(ManifestError::BeyondPlan { rounds, got: manifest.round });
            }
            _ => {}
        }
        let closing = previous.map(|previous| previous.closing);
        if manifest.previous != closing {
            return Err(ManifestError::Previous { expected: closing, got: manifest.previous });
        }
        let none = Trust::default();
        let trust = previous.map_or(&none, |previous| &previous.trust);
        let (expected, got) = (trust.digest(), manifest.trust);
        if expected != got {
            return Err(ManifestError::Trust { expected, got });
        }
        let ended_at = previous.map_or(study.created_at, |previous| previous.closed_at);
        let turns = manifest.turns(study, ended_at, trust)?;
        if !manifest.holders.iter().eq(study.holders(manifest.round).map(|site| &site.id)) {
            let start = study.ring_start(manifest.round);
            return Err(ManifestError::Holders { expected: study.threshold.holders, start });
        }
        let (expected, got) = (study.threshold.holders, manifest.holder_keys.len());
        if got != usize::from(expected) {
            return Err(ManifestError::HolderKeys { expected, got });
        }
        let got = manifest.deadline.seconds_since(manifest.opened_at);
        let (min, longest) = (study.min_round_seconds, study.longest_round_seconds);
        if !(u64::from(min)..=longest.into()).contains(&got) {
            return Err(ManifestError::Deadline { min, longest, got });
        }
        let initiator =
            study.initiator(manifest.round, turns, trust).ok_or(ManifestError::NoSites)?;
        signed.verify(&initiator.signature_key, &initiator.id)?;
        Ok(())
    }

    /// Refuses a manifest from the future, by the clock of whoever first sees it (`whose` clock, for
    /// the error). Not a part of [`Manifest::check`]: an auditor who checks it later has another
    /// time. One that is seen long after it was opened is fine.
    ///
    /// # Errors
    /// [`ManifestError::OpenedAhead`].
    pub fn check_clock(&self, now: UnixSeconds, whose: &'static str) -> Result<(), ManifestError> {
        if self.opened_at <= now.after(MAX_CLOCK_AHEAD) {
            return Ok(());
        }
        let (opened_at, now) = (self.opened_at.utc(), now.utc());
        Err(ManifestError::OpenedAhead { opened_at, initiator: self.initiator.clone(), now, whose })
    }

    /// How many places after the initiator that is due the signer stands on the ring; each must
    /// have waited one more time-out since the previous round ended.
    fn turns(
        &self,
        study: &Study,
        ended_at: UnixSeconds,
        trust: &Trust,
    ) -> Result<usize, ManifestError> {
        let due = &study.initiator(self.round, 0, trust).ok_or(ManifestError::NoSites)?.id;
        let refuse = || ManifestError::Initiator {
            got: self.initiator.clone(),
            due: due.clone(),
            round: self.round,
            timeout: study.initiator_timeout_seconds,
        };
        let turns = (0..study.roster.len())
            .find(|turns| {
                let member = study.initiator(self.round, *turns, trust);
                member.is_some_and(|member| member.id == self.initiator)
            })
            .ok_or_else(refuse)?;
        let wait = (turns as u64).saturating_mul(u64::from(study.initiator_timeout_seconds));
        if self.opened_at < ended_at.after(wait) {
            return Err(refuse());
        }
        Ok(turns)
    }
}
