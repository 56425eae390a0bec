//! What the log proves of the statements.

use std::collections::BTreeMap;

use super::proof::RoundProof;
use crate::log::{Checkpoint, CheckpointText, LogHash, NoteKey};
use crate::round::Event;
use crate::signature::Signed;
use crate::statement::{Closing, Manifest};

/// The checkpoint of the file, if the aggregator signed it and it has every statement of the file.
///
/// # Errors
/// Why not, in words.
pub(super) fn check_log(proof: &RoundProof, key: &NoteKey) -> Result<Checkpoint, String> {
    let note = CheckpointText::verified(&proof.log.checkpoint, key);
    let checkpoint = note.map_err(|error| error.to_string())?.checkpoint();
    // A note of the aggregator's own is no statement: nothing proves it.
    if let Some(note) = proof.events.iter().find(|event| event.statement.entry().is_none()) {
        let (leaf, name) = (note.leaf, note.statement.name());
        return Err(format!(
            "the file states {name:?} at leaf {leaf}, which is no signed statement and no leaf of a log"
        ));
    }
    let in_order = proof.events.iter().zip(proof.events.iter().skip(1));
    if let Some((before, after)) = in_order.into_iter().find(|(a, b)| a.leaf >= b.leaf) {
        let (leaf, before) = (after.leaf, before.leaf);
        return Err(format!("leaf {leaf} stands after leaf {before} in the file"));
    }
    let leaves: Vec<(u64, LogHash)> =
        proof.entries().iter().map(|(leaf, entry)| (*leaf, entry.leaf())).collect();
    let proved = proof.log.leaves.verify(&leaves, &checkpoint);
    proved.map(|()| checkpoint).map_err(|error| error.to_string())
}

/// Whether the closing was signed over the beginning of this log, and over all that it names.
///
/// # Errors
/// Why not, in words.
pub(super) fn check_closing_log(
    proof: &RoundProof,
    manifest: &Manifest,
    checkpoint: &Checkpoint,
) -> Option<Result<String, String>> {
    let (leaf, closing) = proof.events.iter().find_map(|event| match &event.statement {
        Event::Closed(closing) => Some((event.leaf, closing)),
        _ => None,
    })?;
    Some(over_what_it_names(proof, manifest, checkpoint, (leaf, closing)))
}

fn over_what_it_names(
    proof: &RoundProof,
    manifest: &Manifest,
    checkpoint: &Checkpoint,
    (leaf, closing): (u64, &Signed<Closing>),
) -> Result<String, String> {
    let over = closing.statement.checkpoint;
    let consistency = proof.log.closing.as_ref();
    let consistency = consistency.ok_or("the proof that the log only grew is missing")?;
    consistency.verify(&over, checkpoint).map_err(|error| error.to_string())?;
    if leaf < over.size {
        return Err(format!(
            "the closing stands at leaf {leaf}, within the {} leaves that it was signed over",
            over.size
        ));
    }
    let entries = proof.entries();
    let places: BTreeMap<LogHash, u64> =
        entries.iter().map(|(leaf, entry)| (entry.leaf(), *leaf)).collect();
    let named = closing.statement.logged(manifest, None);
    let (size, count) = (over.size, named.len());
    match named.iter().find(|entry| places.get(&entry.leaf()).is_none_or(|leaf| *leaf >= size)) {
        None => Ok(format!(
            "The closing was signed over the first {size} leaves of this log, and the {count} statements that it names are among them."
        )),
        Some(entry) => Err(format!(
            "the closing names the {} {}, which is not among the {size} leaves that it was signed over",
            entry.label(),
            entry.digest()
        )),
    }
}
