//! The file of one round, held against the study file alone.

use ringfence_crypto::Digest;
use ringfence_crypto::evidence::{Check, Found, RoundProof, Verifier};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::sign;
use ringfence_crypto::statement::Opening;

use crate::studies::{ALL, eventful, published, record};

fn found(verifier: &Verifier, proof: &RoundProof, check: Check) -> Found {
    verifier.verify(proof, None).of(check).unwrap().found
}

#[test]
fn a_round_alone_and_in_its_place() {
    let record = eventful();
    let verifier = Verifier::new(record.study_file()).unwrap();
    let mut previous = None;
    for round in 0..record.rounds.len() {
        let bytes = record.proof(round).to_bytes();
        let proof = RoundProof::parse(&bytes).unwrap();
        let alone = verifier.verify(&proof, None);
        assert!(alone.holds(), "{:#?}", alone.findings);
        let placed = verifier.verify(&proof, previous.as_ref());
        assert_eq!(placed.findings, alone.findings);
        assert_eq!(placed.findings.len(), Check::ALL.len());
        assert_eq!(placed.checkpoint, Some(record.log.checkpoint()));
        assert_eq!(placed.ended, record.rounds[round].round.ended());
        previous = placed.ended;
    }
}

#[test]
fn round_keys_are_part_of_it() {
    let mut record = record(|_| ());
    for site in [1, 4] {
        let keys = published(&record, site);
        record.publish(keys);
    }
    let mut rng = ringfence_testkit::rng(6);
    record.run(b"model 0", b"model 1", &mut rng);
    let verifier = Verifier::new(record.study_file()).unwrap();
    let proof = record.proof(0);
    assert_eq!(proof.round_keys.len(), 2);
    let verified = verifier.verify(&proof, None);
    assert!(verified.holds());
    assert!(verified.of(Check::RoundKeys).unwrap().words.starts_with("2 of 7 key holders"));
    let mut without = proof.clone();
    without.round_keys.pop();
    assert_eq!(found(&verifier, &without, Check::RoundKeys), Found::False);
    let mut swapped = proof.clone();
    swapped.round_keys.swap(0, 1);
    assert_eq!(found(&verifier, &swapped, Check::RoundKeys), Found::False);
    let mut forged = proof;
    forged.round_keys[0].statement = sign(
        forged.round_keys[0].statement.statement.clone(),
        record.parties.identities[0].signer(),
    );
    assert_eq!(found(&verifier, &forged, Check::RoundKeys), Found::False);
}

#[test]
fn one_spelling_and_no_other() {
    let mut record = record(|_| ());
    record.run(b"model 0", b"model 1", &mut ringfence_testkit::rng(7));
    let bytes = record.proof(0).to_bytes();
    let text = String::from_utf8(bytes).unwrap();
    assert!(RoundProof::parse(text.as_bytes()).is_ok());
    let refused = |text: &str| RoundProof::parse(text.as_bytes()).unwrap_err().to_string();
    assert!(refused(&format!("{text}\n")).contains("one spelling"));
    assert!(refused(&text.replacen(':', ": ", 1)).contains("one spelling"));
    assert!(refused(&text.replacen("\"round\":0", "\"round\":00", 1)).contains("round proof"));
    assert!(
        refused(&text.replacen("{\"protocol\":2,\"round\":0,", "{\"round\":0,\"protocol\":2,", 1))
            .contains("one spelling")
    );
    assert!(
        refused(&text.replacen("{\"protocol\":2", "{\"more\":1,\"protocol\":2", 1))
            .contains("unknown field")
    );
    assert!(refused("").contains("round proof"));
    assert!(refused(&"[".repeat(100_000)).contains("round proof"));
}

#[test]
fn openings_without_a_certificate_are_named() {
    let mut record = record(|_| ());
    let mut rng = ringfence_testkit::rng(8);
    record.begin(b"model 0");
    record.contribute(&ALL, None, &mut rng);
    record.freeze();
    record.review(&ALL, &[]);
    record.close();
    record.endorse(&[0, 1]);
    // A holder that opens too early, and an aggregator that takes it.
    let holder = record.parties.identities[2].site().clone();
    let opening = record.parties.identity(&holder).sign(Opening {
        manifest: record.last().round.manifest_id(),
        closing: record.last().round.closing().unwrap().id(),
        holder,
        subject: ringfence_crypto::statement::Subject::Sum,
        content: Digest::of(b"content"),
        recipients: ringfence_crypto::log::LogHash([1; 32]),
        plaintext: Digest::of(b"salted"),
    });
    record.put(Event::Opened(opening));
    let verifier = Verifier::new(record.study_file()).unwrap();
    let verified = verifier.verify(&record.proof(0), None);
    let faults: Vec<_> = verified.faults().collect();
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert_eq!(faults[0].check, Check::Openings);
    assert!(faults[0].words.contains("nothing may be opened without a certificate"));
    assert_eq!(verified.of(Check::Certificate).unwrap().found, Found::Pending);
    assert!(verified.ended.is_none());
    assert_eq!(verified.summary.unwrap().round, RoundNumber::FIRST);
}
