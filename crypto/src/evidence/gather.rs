//! How the file is made, by whoever has the round and the log.

use super::proof::{Before, LogEvidence, Logged, RoundProof};
use crate::dealing::Trust;
use crate::log::{Checkpoint, LogEntry, SignedNote, StudyLog, StudyLogError};
use crate::protocol::ProtocolVersion;
use crate::round::Event;
use crate::signature::{Signed, Statement};
use crate::statement::{Closing, Epoch, Manifest, RoundKeys, SignedEpoch};

/// What a round stands on.
#[derive(Clone, Debug)]
pub struct RoundParts {
    /// The study's epochs up to this round, in order.
    pub epochs: Vec<SignedEpoch>,
    /// The closing of the round before, and the trust after it; none in round 0.
    pub before: Option<(Signed<Closing>, Trust)>,
    /// The statements of round keys that the manifest names.
    pub round_keys: Vec<Signed<RoundKeys>>,
    /// The manifest.
    pub manifest: Signed<Manifest>,
    /// The round's events, in order. The aggregator's own notes among them are left out: they are no
    /// statements.
    pub events: Vec<Event>,
}

impl RoundProof {
    /// Puts a round's statements together with what proves that a log has them. `note` is `checkpoint`
    /// of that log, signed.
    ///
    /// # Errors
    /// [`StudyLogError`] when a statement is not in the log of that size.
    pub fn gather(
        parts: RoundParts,
        log: &StudyLog,
        (checkpoint, note): (Checkpoint, SignedNote),
    ) -> Result<Self, StudyLogError> {
        let RoundParts { epochs, before, round_keys, manifest, events } = parts;
        let size = checkpoint.size;
        let at = |entry: LogEntry| log.index(entry.leaf(), size);
        let round = manifest.statement.round;
        let epochs: Result<Vec<_>, StudyLogError> = epochs
            .into_iter()
            .map(|epoch| {
                let leaf = at(LogEntry::of::<Epoch>(epoch.epoch.id()))?;
                Ok(Logged { leaf, statement: epoch })
            })
            .collect();
        let before = before
            .map(|(closing, trust)| {
                let closing = logged(log, size, closing)?;
                Ok::<_, StudyLogError>(Before { closing, trust })
            })
            .transpose()?;
        let round_keys: Result<Vec<_>, _> =
            round_keys.into_iter().map(|keys| logged(log, size, keys)).collect();
        let closing = events.iter().find_map(|event| match event {
            Event::Closed(closing) => Some(closing.statement.checkpoint.size),
            _ => None,
        });
        let closing = closing.map(|from| log.consistency(from, size)).transpose()?;
        let statements = events.into_iter().filter_map(|event| Some((event.entry()?, event)));
        let events: Result<Vec<_>, StudyLogError> = statements
            .map(|(entry, statement)| Ok(Logged { leaf: at(entry)?, statement }))
            .collect();
        let mut events = events?;
        events.sort_by_key(|event| event.leaf);
        let mut proof = Self {
            protocol: ProtocolVersion,
            round,
            epochs: epochs?,
            before,
            round_keys: round_keys?,
            manifest: logged(log, size, manifest)?,
            events,
            log: LogEvidence { checkpoint: note, leaves: log.leaves_proof(&[], 0)?, closing },
        };
        let mut leaves: Vec<u64> = proof.entries().into_iter().map(|(leaf, _)| leaf).collect();
        leaves.dedup();
        proof.log.leaves = log.leaves_proof(&leaves, size)?;
        Ok(proof)
    }
}

fn logged<T: Statement>(
    log: &StudyLog,
    size: u64,
    statement: Signed<T>,
) -> Result<Logged<Signed<T>>, StudyLogError> {
    let leaf = log.index(LogEntry::of_signed(&statement).leaf(), size)?;
    Ok(Logged { leaf, statement })
}
