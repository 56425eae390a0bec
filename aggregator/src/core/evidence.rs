//! What an auditor is given: a round's statements in one file with their places in the log, and what
//! stands in the log.

use std::ops::Range;

use ringfence_crypto::evidence::{RoundParts, RoundProof};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::tile::{TILE_WIDTH, TileOf};
use ringfence_crypto::log::{Checkpoint, LogEntry, StudyLogError, Tile};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{RoundKeys, SignedEpoch};

use crate::core::refusal::Refusal;
use crate::core::rounds::LiveStudy;
use crate::core::shared::blocking;
use crate::store::terms::StoreError;

/// Most entries of the log in one answer: some 800 kB.
const MAX_ENTRIES: u64 = 10_000;

impl LiveStudy {
    /// The log's state when it had `size` leaves; as it is now unless a size is given.
    fn log_at(&self, size: Option<u64>) -> Result<Checkpoint, StudyLogError> {
        let log = self.served.log.read();
        size.map_or_else(|| Ok(log.checkpoint()), |size| log.checkpoint_at(size))
    }

    /// The file of a round: what of it is among the first `size` leaves of the log, as JSON in its one
    /// spelling.
    pub(crate) async fn round_proof(
        &self,
        number: RoundNumber,
        size: Option<u64>,
    ) -> Result<Vec<u8>, Refusal> {
        // First the log: what comes while the statements are read is not in it.
        let checkpoint = self.log_at(size)?;
        let note = self.served.note_of(checkpoint)?;
        let round = self.round(number).await?;
        let manifest = round.manifest().clone();
        let before = match (self.before(number), number.before()) {
            (Some(ended), Some(last)) => {
                let last = self.round(last).await?;
                let closing = last.read().closing().cloned();
                closing.map(|closing| (closing, ended.trust))
            }
            _ => None,
        };
        let events = self.served.statements().events(round.id).await?;
        let parts = RoundParts {
            epochs: self.epochs_until(number),
            before,
            round_keys: self.named_keys(&manifest.statement.holder_keys, number).await?,
            manifest,
            events,
        };
        let log = self.served.log.clone();
        let gathered = blocking(move || {
            let log = log.read();
            let logged = |entry: LogEntry| log.index(entry.leaf(), checkpoint.size).is_ok();
            let mut parts = parts;
            parts.events.retain(|event| event.entry().is_some_and(logged));
            let proof = RoundProof::gather(parts, &log, (checkpoint, note))?;
            Ok::<_, StudyLogError>(proof.to_bytes())
        });
        Ok(gathered.await??)
    }

    fn epochs_until(&self, number: RoundNumber) -> Vec<SignedEpoch> {
        let lineage = self.roster.read();
        let until = lineage.all().filter(|study| study.from <= number);
        until.filter_map(|study| study.epoch.as_deref().cloned()).collect()
    }

    /// The statements of round keys that a manifest names.
    async fn named_keys(
        &self,
        named: &[Option<ringfence_crypto::Digest>],
        number: RoundNumber,
    ) -> Result<Vec<Signed<RoundKeys>>, Refusal> {
        let served = self.in_force(number);
        let mut statements = Vec::new();
        for (holder, named) in served.study.holders(number).zip(named) {
            let Some(named) = named else { continue };
            let of = served.statements();
            let stored = of.round_keys(served.first, served.id, &holder.id, number).await?;
            let stored = stored.filter(|stored| stored.keys.id() == *named).ok_or_else(|| {
                Refusal::missing(format!(
                    "the round keys {named} of {}, which the manifest of round {number} names, are not stored here",
                    holder.id
                ))
            })?;
            statements.push(stored.keys);
        }
        Ok(statements)
    }

    /// The log's entries from a leaf on, of the first `size`: as many as one answer has.
    pub(crate) async fn log_entries(
        &self,
        from: u64,
        size: Option<u64>,
    ) -> Result<Vec<LogEntry>, Refusal> {
        let size = self.log_at(size)?.size;
        self.entries_at(from..size.min(from.saturating_add(MAX_ENTRIES))).await
    }

    /// The log's entries at these leaves, all of which it has.
    async fn entries_at(&self, leaves: Range<u64>) -> Result<Vec<LogEntry>, Refusal> {
        let (study, Range { start, end }) = (self.served.first, leaves.clone());
        let entries = self.served.statements().log(study, leaves).await?;
        match start.saturating_add(entries.len() as u64) {
            // What is in memory is in the store: else it was altered.
            expected if expected < end => Err(StoreError::LogGap { study, expected }.into()),
            _ => Ok(entries),
        }
    }

    /// The bytes of a tile of the log: hashes, or entries.
    pub(crate) async fn tile(&self, tile: &Tile) -> Result<Vec<u8>, Refusal> {
        let Tile { of, width, .. } = *tile;
        let (start, level) =
            (tile.start(), if let TileOf::Hashes { level } = of { level } else { 0 });
        let level = u32::from(level) * TILE_WIDTH.ilog2();
        let bytes = {
            let log = self.served.log.read();
            let hashes = log.subtrees(level, start, width).ok_or_else(|| {
                Refusal::missing(format!(
                    "the log has {} leaves, too few for the tile {tile}; ask for what the checkpoint's size says is there, or later",
                    log.size()
                ))
            })?;
            hashes.iter().flat_map(|hash| hash.0).collect()
        };
        match of {
            TileOf::Hashes { .. } => Ok(bytes),
            TileOf::Entries => {
                let entries = self.entries_at(start..start.saturating_add(width.into())).await?;
                Ok(Tile::bundle(&entries))
            }
        }
    }

    /// The log's checkpoint when it had `size` leaves, signed; with the cosignatures that there are of
    /// just this state.
    pub(crate) async fn signed_log(&self, size: Option<u64>) -> Result<String, Refusal> {
        let checkpoint = self.log_at(size)?;
        let mut note = self.served.note_of(checkpoint)?;
        self.add_cosignatures(&mut note, checkpoint.size).await?;
        Ok(note.to_string())
    }
}
