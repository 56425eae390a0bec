//! What a site checks of the study's log before it endorses: everything that the closing names is
//! in it, and it is still the log that this site saw last.

use ringfence_crypto::Digest;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::{Checkpoint, ConsistencyProof, InclusionProof, ProofError};
use ringfence_crypto::statement::{Closing, Manifest, Receipt};

/// A log that a closing should not stand on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The log lacks something, or its proof is wrong.
    #[error(
        "the checkpoint of the closing of round {round} is not proved to contain the {statement} {digest}: {source}; ask for the proof again, and keep the signed closing as evidence"
    )]
    NotLogged {
        /// The round.
        round: RoundNumber,
        /// Kind of the statement.
        statement: &'static str,
        /// Its digest.
        digest: Digest,
        /// Why the proof does not hold.
        source: Box<ProofError>,
    },
    /// Proofs missing or too many.
    #[error(
        "the closing of round {round} comes with {got} inclusion proofs, expected {expected}; fetch them again"
    )]
    Proofs {
        /// The round.
        round: RoundNumber,
        /// One for each statement that the checkpoint must contain.
        expected: usize,
        /// As shown.
        got: usize,
    },
    /// Nothing shows that the log is still the one that was seen before.
    #[error(
        "the closing of round {round} comes without a proof that its log is consistent with the one that this site last saw; fetch it"
    )]
    NoConsistency {
        /// The round.
        round: RoundNumber,
    },
    /// A later round with a smaller log.
    #[error(
        "the log shrank: the closing of round {round} has {shown}, the one of round {before} had {seen}; keep both signed closings as evidence against the aggregator"
    )]
    Shrunk {
        /// The round.
        round: RoundNumber,
        /// As shown.
        shown: Checkpoint,
        /// Round of the last checkpoint that was seen.
        before: RoundNumber,
        /// That checkpoint.
        seen: Checkpoint,
    },
    /// Two logs.
    #[error(
        "the log was forked: the closing of round {round} has {shown}, the one of round {before} had {seen}, and no proof shows that they are one log ({source}); unless another proof does, keep both signed closings as evidence against the aggregator"
    )]
    Forked {
        /// The round.
        round: RoundNumber,
        /// As shown.
        shown: Checkpoint,
        /// Round of the last checkpoint that was seen.
        before: RoundNumber,
        /// That checkpoint.
        seen: Checkpoint,
        /// Why the proof does not hold.
        source: Box<ProofError>,
    },
}

/// Proofs about the checkpoint of a closing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogProofs {
    /// Of the statements that [`Closing::logged`] lists, in its order.
    pub inclusion: Vec<InclusionProof>,
    /// Between the last checkpoint that was seen and this one, from the smaller to the larger; not
    /// needed when none was seen.
    pub consistency: Option<ConsistencyProof>,
}

/// The last checkpoint of the study's log that this site saw, and in which round's closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The round.
    pub round: RoundNumber,
    /// Its closing's checkpoint.
    pub checkpoint: Checkpoint,
}

impl From<&Closing> for Seen {
    fn from(closing: &Closing) -> Self {
        Self { round: closing.round, checkpoint: closing.checkpoint }
    }
}

impl LogProofs {
    /// Checks that everything that [`Closing::logged`] lists is proved to be in the checkpoint.
    ///
    /// # Errors
    /// [`LogError`] names the first statement that is not.
    pub(crate) fn check_inclusion(
        &self,
        manifest: &Manifest,
        closing: &Closing,
        receipt: Option<&Receipt>,
    ) -> Result<(), LogError> {
        let round = closing.round;
        let entries = closing.logged(manifest, receipt);
        let (expected, got) = (entries.len(), self.inclusion.len());
        if expected != got {
            return Err(LogError::Proofs { round, expected, got });
        }
        entries.iter().zip(&self.inclusion).try_for_each(|(entry, proof)| {
            proof.verify(entry.leaf(), &closing.checkpoint).map_err(|source| {
                let (statement, digest) = (entry.label(), entry.digest());
                LogError::NotLogged { round, statement, digest, source: source.into() }
            })
        })
    }

    /// Checks that the closing's checkpoint and the last one seen are of one log. A log never
    /// shrinks: a smaller one may only come with the closing of an earlier round, endorsed late.
    ///
    /// # Errors
    /// [`LogError`] with both checkpoints.
    pub(crate) fn check_consistency(
        &self,
        closing: &Closing,
        seen: Option<Seen>,
    ) -> Result<(), LogError> {
        let Some(Seen { round: before, checkpoint: seen }) = seen else { return Ok(()) };
        let (round, shown) = (closing.round, closing.checkpoint);
        let smaller = shown.size < seen.size;
        if smaller && round > before {
            return Err(LogError::Shrunk { round, shown, before, seen });
        }
        let (old, new) = if smaller { (shown, seen) } else { (seen, shown) };
        let proof = self.consistency.as_ref().ok_or(LogError::NoConsistency { round })?;
        let forked = |source: ProofError| LogError::Forked {
            round,
            shown,
            before,
            seen,
            source: source.into(),
        };
        proof.verify(&old, &new).map_err(forked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_crypto::id::{ManifestId, StudyId, UnixSeconds};
    use ringfence_crypto::log::{LogEntry, StudyLog};
    use ringfence_crypto::statement::Header;

    #[test]
    fn a_shrunk_log() {
        let entry = |name: &[u8]| LogEntry::of::<Header>(Digest::of(name).into());
        let mut log: StudyLog = [entry(b"a"), entry(b"b")].into_iter().collect();
        let shorter = log.checkpoint();
        log.append(entry(b"c"));
        let seen = Seen { round: RoundNumber(0), checkpoint: log.checkpoint() };
        let consistency = Some(log.consistency(shorter.size, log.size()).unwrap());
        let proofs = LogProofs { inclusion: Vec::new(), consistency };
        // Round 1's closing, on what was the log before round 0's.
        let closing = Closing {
            study: StudyId(Digest::of(b"study")),
            round: RoundNumber(1),
            manifest: ManifestId(Digest::of(b"manifest")),
            freeze: Digest::of(b"freeze").into(),
            closed_at: UnixSeconds(7),
            included: Vec::new(),
            excluded: Vec::new(),
            reviews: Vec::new(),
            sum: None,
            checkpoint: shorter,
        };
        let error = proofs.check_consistency(&closing, Some(seen)).unwrap_err();
        let (round, before) = (RoundNumber(1), RoundNumber(0));
        let expected = LogError::Shrunk { round, shown: shorter, before, seen: seen.checkpoint };
        assert_eq!(error, expected);
        assert!(error.to_string().contains("keep both signed closings"), "{error}");
        // The same closing late, after that of a later round: one log, so fine.
        let later = Some(Seen { round: RoundNumber(2), ..seen });
        assert_eq!(proofs.check_consistency(&closing, later), Ok(()));
    }
}
