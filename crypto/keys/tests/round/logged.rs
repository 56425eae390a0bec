//! Closings on a log that lacks something, was forked, shrank, or is not proved.

use ringfence_crypto::Digest;
use ringfence_crypto::log::{Checkpoint, ConsistencyProof, LogEntry, LogHash, StudyLog};
use ringfence_crypto::round::Round;
use ringfence_crypto::signature::{Signed, sign};
use ringfence_crypto::statement::{Closing, Header};

use ringfence_crypto::id::RoundNumber;
use ringfence_keys::duties::holder::{ClosingView, Decision, Holder, HolderError, Records};
use ringfence_keys::duties::logged::{LogError, LogProofs, Seen};
use ringfence_testkit::{Made, Rehearsal, log_of, proofs};

/// A closed round, and what its holder 1 is shown.
struct Shown {
    rehearsal: Rehearsal,
    round: Round,
    log: StudyLog,
}

impl Shown {
    fn new() -> Self {
        let mut rehearsal = Rehearsal::new(5, None, 100);
        let made: Vec<Made> = (0..5).map(|k| rehearsal.contribute(k)).collect();
        let mut round = rehearsal.round();
        rehearsal.collect(&mut round, &made);
        rehearsal.close(&mut round, &made);
        let log = log_of(&round);
        Self { rehearsal, round, log }
    }

    fn closing(&self) -> Closing {
        self.round.closing().unwrap().statement.clone()
    }

    /// What an honest aggregator logged before the closing.
    fn entries(&self) -> Vec<LogEntry> {
        let mut all = vec![LogEntry::of_signed(self.round.manifest())];
        all.extend(self.round.received().map(|(_, header)| LogEntry::of_signed(header)));
        all.extend(self.round.received().map(|(site, _)| {
            LogEntry::of_signed(self.round.contribution(site).unwrap().receipt.as_ref().unwrap())
        }));
        all.extend(self.round.freeze().map(LogEntry::of_signed));
        all.extend(self.round.reviews().map(LogEntry::of_signed));
        all
    }

    /// The log when it had `size` leaves.
    fn prefix(&self, size: u64) -> StudyLog {
        self.entries().into_iter().take(size as usize).collect()
    }

    /// The closing with another checkpoint, signed by the aggregator.
    fn on(&self, checkpoint: Checkpoint) -> Signed<Closing> {
        sign(Closing { checkpoint, ..self.closing() }, &self.rehearsal.aggregator)
    }

    /// Proofs of an aggregator that keeps this log, with this site's receipt.
    fn proofs(&self, log: &StudyLog, closing: &Closing) -> LogProofs {
        let own = self.round.contribution(self.rehearsal.identities[1].site()).unwrap();
        let receipt = own.receipt.as_ref().map(|signed| &signed.statement);
        proofs(log, &self.round.manifest().statement, closing, receipt, None)
    }

    fn holder(&self, seen: Option<Seen>) -> Holder {
        let site = self.rehearsal.identities[1].site().clone();
        Holder::restore(self.rehearsal.study.clone(), site, Records::default(), None, seen)
    }

    fn endorse(
        &self,
        seen: Option<Seen>,
        closing: &Signed<Closing>,
        log: &LogProofs,
    ) -> Result<Decision, HolderError> {
        let shown = ringfence_testkit::Shown::of(&self.round);
        let own = self.round.contribution(self.rehearsal.identities[1].site()).unwrap();
        let receipt = own.receipt.as_ref();
        let view = ClosingView { closing, receipt, log, ..shown.closing_view() };
        self.holder(seen).endorse(view)
    }

    fn refusal(&self, seen: Option<Seen>, closing: &Signed<Closing>, log: &LogProofs) -> LogError {
        match self.endorse(seen, closing, log) {
            Err(HolderError::Log(error)) => error,
            other => panic!("expected a refusal of the log, got {other:?}"),
        }
    }
}

#[test]
fn a_whole_log_is_endorsed_and_remembered() {
    let shown = Shown::new();
    let closing = shown.round.closing().unwrap();
    assert_eq!(closing.statement.checkpoint, shown.log.checkpoint());
    let proofs = shown.proofs(&shown.log, &closing.statement);
    // Manifest, freeze, five headers, five reviews, own receipt.
    assert_eq!(proofs.inclusion.len(), 13);
    let Decision::Fresh(endorsement) = shown.endorse(None, closing, &proofs).unwrap() else {
        panic!("endorsed before")
    };
    let mut holder = shown.holder(None);
    holder.record(endorsement, &closing.statement);
    assert_eq!(
        holder.seen(),
        Some(Seen { round: RoundNumber(0), checkpoint: shown.log.checkpoint() })
    );
}

#[test]
fn a_checkpoint_that_omits_a_header() {
    let shown = Shown::new();
    let closing = shown.round.closing().unwrap();
    for without in 0..5 {
        let header = closing.statement.included[without].header;
        let mut entries = shown.entries();
        entries.retain(|entry| entry.digest() != header.into());
        let log: StudyLog = entries.into_iter().collect();
        let closing = shown.on(log.checkpoint());
        // The best that the aggregator can do: true proofs of all else, and any for what is
        // missing.
        let mut proofs = LogProofs::default();
        let own = shown.round.contribution(shown.rehearsal.identities[1].site()).unwrap();
        let receipt = own.receipt.as_ref().map(|signed| &signed.statement);
        let manifest = &shown.round.manifest().statement;
        for entry in closing.statement.logged(manifest, receipt) {
            let leaf = entry.leaf();
            let proof = log.inclusion(leaf, log.size());
            let any = LogEntry::of_signed(shown.round.manifest()).leaf();
            proofs.inclusion.push(proof.unwrap_or(log.inclusion(any, log.size()).unwrap()));
        }
        let error = shown.refusal(None, &closing, &proofs);
        assert!(
            matches!(error, LogError::NotLogged { statement: "header", digest, .. } if digest == header.into()),
            "{error}"
        );
    }
}

#[test]
fn wrong_missing_and_surplus_proofs() {
    let shown = Shown::new();
    let closing = shown.round.closing().unwrap();
    let good = shown.proofs(&shown.log, &closing.statement);
    let refused = |alter: &dyn Fn(&mut LogProofs), text: &str| {
        let mut proofs = good.clone();
        alter(&mut proofs);
        let error = shown.refusal(None, closing, &proofs).to_string();
        assert!(error.contains(text), "{error}");
    };
    refused(&|p| drop(p.inclusion.pop()), "12 inclusion proofs, expected 13");
    refused(&|p| p.inclusion.push(p.inclusion[0].clone()), "14 inclusion proofs, expected 13");
    refused(&|p| p.inclusion.swap(0, 1), "contain the manifest");
    refused(&|p| p.inclusion[3].hashes[1].0[5] ^= 1, "contain the header");
    refused(&|p| p.inclusion[12].hashes.truncate(1), "contain the receipt");
    refused(&|p| p.inclusion[1].hashes.truncate(1), "contain the freeze");
    refused(&|p| p.inclusion[7].hashes.truncate(1), "contain the review");
    refused(&|p| p.inclusion[2].index += 1, "contain the header");
    refused(&|p| p.inclusion[0].size -= 1, "expected one for the checkpoint's 17");
    // Another root under the same size.
    let other = shown.on(Checkpoint { root: LogHash::leaf(b""), ..closing.statement.checkpoint });
    let error = shown.refusal(None, &other, &good);
    assert!(matches!(error, LogError::NotLogged { .. }), "{error}");
}

#[test]
fn forked_shrunk_and_unproved_logs() {
    let shown = Shown::new();
    let closing = shown.round.closing().unwrap();
    let proofs = shown.proofs(&shown.log, &closing.statement);
    let size = shown.log.size();
    let with = |from, to| {
        let consistency = shown.log.consistency(from, to).ok();
        LogProofs { consistency, ..proofs.clone() }
    };
    // Whatever was seen of the same log is fine, and so is the very same checkpoint.
    for before in 1..=size {
        let prefix: StudyLog = shown.prefix(before);
        let seen = Seen { round: RoundNumber(0), checkpoint: prefix.checkpoint() };
        assert!(shown.endorse(Some(seen), closing, &with(before, size)).is_ok());
        let error = shown.refusal(Some(seen), closing, &proofs);
        assert_eq!(error, LogError::NoConsistency { round: RoundNumber(0) });
        let wrong = with(before - 1, size);
        let error = shown.refusal(Some(seen), closing, &wrong);
        assert!(matches!(error, LogError::Forked { .. }), "{error}");
    }
    // A log that went another way at any place before.
    for before in 1..=size {
        let mut other: StudyLog = shown.prefix(before - 1);
        other.append(LogEntry::of::<Header>(Digest::from(closing.id()).into()));
        let seen = Seen { round: RoundNumber(0), checkpoint: other.checkpoint() };
        let error = shown.refusal(Some(seen), closing, &with(before, size));
        let both = format!("{error}");
        assert!(matches!(error, LogError::Forked { .. }), "{error}");
        assert!(both.contains(&seen.checkpoint.root.to_string()), "{both}");
        assert!(both.contains("keep both signed closings as evidence"), "{both}");
        // No proof of the liar's own helps.
        let own = other.consistency(before, before).unwrap();
        let lie = ConsistencyProof { to: size, ..own };
        let lie = LogProofs { consistency: Some(lie), ..proofs.clone() };
        let error = shown.refusal(Some(seen), closing, &lie);
        assert!(matches!(error, LogError::Forked { .. }), "{error}");
    }
    // A longer log was seen: with an earlier round, the log shrank; with a later one, this closing
    // is endorsed late.
    let mut longer = shown.log.clone();
    longer.append(LogEntry::of_signed(closing));
    let checkpoint = longer.checkpoint();
    let consistency = Some(longer.consistency(size, size + 1).unwrap());
    let late = LogProofs { consistency, ..proofs.clone() };
    assert!(
        shown.endorse(Some(Seen { round: RoundNumber(1), checkpoint }), closing, &late).is_ok()
    );
    let root = LogHash::leaf(b"");
    let forked = Seen { round: RoundNumber(1), checkpoint: Checkpoint { root, ..checkpoint } };
    let error = shown.refusal(Some(forked), closing, &late);
    assert!(matches!(error, LogError::Forked { .. }), "{error}");
}
