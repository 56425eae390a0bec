//! What an aggregator's log holds of a round, and what it proves.

use ringfence_crypto::log::{LogEntry, StudyLog};
use ringfence_crypto::round::Round;
use ringfence_crypto::statement::{Closing, Manifest, Receipt};
use ringfence_keys::duties::logged::{LogProofs, Seen};

/// A study's log up to a round's closing: the closing before, if any, and every statement of the
/// round so far, those of a kind together.
pub fn log_of(round: &Round) -> StudyLog {
    let contributions = || round.received().map(|(site, _)| round.contribution(site).unwrap());
    let receipts =
        contributions().map(|known| LogEntry::of_signed(known.receipt.as_ref().unwrap()));
    std::iter::once(LogEntry::of_signed(round.manifest()))
        .chain(round.manifest().statement.previous.map(LogEntry::of::<Closing>))
        .chain(contributions().map(|known| LogEntry::of_signed(&known.header)))
        .chain(receipts)
        .chain(round.freeze().map(LogEntry::of_signed))
        .chain(round.reviews().map(LogEntry::of_signed))
        .collect()
}

/// What `log` proves of a closing to a site that holds `receipt` and has seen `seen`.
pub fn proofs(
    log: &StudyLog,
    manifest: &Manifest,
    closing: &Closing,
    receipt: Option<&Receipt>,
    seen: Option<Seen>,
) -> LogProofs {
    let size = closing.checkpoint.size;
    let inclusion = closing
        .logged(manifest, receipt)
        .iter()
        .map(|entry| log.inclusion(entry.leaf(), size).unwrap())
        .collect();
    let consistency = seen.map(|seen| {
        let seen = seen.checkpoint.size;
        log.consistency(seen.min(size), seen.max(size)).unwrap()
    });
    LogProofs { inclusion, consistency }
}
