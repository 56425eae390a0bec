//! Every JSON message, from hostile bytes.
//!
//! Invariants: no panic; what parses is written and parsed again to the same value; a statement's
//! canonical bytes and digest can be made; a study that passes its own check has numbers that every
//! derived computation accepts; a signature over something else never verifies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_crypto::api::{ContributionProgress, Problem, StudyStatus};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::{Checkpoint, ConsistencyProof, InclusionProof, LogHash};
use ringfence_crypto::round::{Event, RoundStatus};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Closing, DisputeCertificate, DisputeEndorsement, Endorsement,
    Freeze, Header, Manifest, Opening, Receipt, Review, RosterEntry, RoundKeys, SignedStudy,
    VerdictCertificate, VerdictEndorsement,
};
use ringfence_crypto::wire::json;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn parse<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<T> {
    let value: T = json::parse(bytes, json::MAX_MESSAGE, "message").ok()?;
    let again: T = json::parse(&json::compact(&value), json::MAX_MESSAGE, "message")
        .expect("what was written parses");
    assert_eq!(again, value);
    Some(value)
}

fn statement<T: Statement + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Some(signed) = parse::<Signed<T>>(bytes) else { return };
    assert_eq!(signed.id(), signed.statement.id());
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let key = key.parse().expect("RFC 8032's first test key");
    assert!(signed.verify(&key, &"nobody").is_err(), "a signature was forged");
}

/// A log that nobody made proofs of.
const OTHER: Checkpoint = Checkpoint { size: 3, root: LogHash([9; 32]) };

fn proof<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    verifies: impl Fn(&T, &Checkpoint) -> bool,
) {
    let Some(proof) = parse::<T>(bytes) else { return };
    for size in [0, 1, 4, 1000, u64::MAX] {
        assert!(!verifies(&proof, &Checkpoint { size, ..OTHER }), "a proof was forged");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 24 {
        0 => statement::<Manifest>(bytes),
        1 => statement::<Header>(bytes),
        2 => statement::<Receipt>(bytes),
        3 => statement::<Review>(bytes),
        4 => statement::<Closing>(bytes),
        5 => statement::<Endorsement>(bytes),
        6 => statement::<Opening>(bytes),
        7 => statement::<Acknowledgement>(bytes),
        8 => statement::<RoundKeys>(bytes),
        9 => drop(parse::<Certificate>(bytes)),
        10 => drop(parse::<Event>(bytes)),
        11 => drop(parse::<RoundStatus>(bytes)),
        12 => drop(parse::<ContributionProgress>(bytes)),
        13 => drop(parse::<StudyStatus>(bytes)),
        14 => drop(parse::<Problem>(bytes)),
        15 => drop(parse::<RosterEntry>(bytes)),
        16 => proof::<InclusionProof>(bytes, |p, c| p.verify(LogHash([0; 32]), c).is_ok()),
        17 => proof::<ConsistencyProof>(bytes, |p, c| p.verify(&OTHER, c).is_ok()),
        18 => statement::<Freeze>(bytes),
        19 => statement::<DisputeEndorsement>(bytes),
        20 => statement::<VerdictEndorsement>(bytes),
        21 => drop(parse::<DisputeCertificate>(bytes)),
        22 => drop(parse::<VerdictCertificate>(bytes)),
        _ => {
            let Ok(signed) = SignedStudy::parse(bytes) else { return };
            drop(parse::<SignedStudy>(bytes));
            let _ = signed.verify();
            if signed.study.check().is_ok() {
                assert!(signed.study.body_bytes().is_ok());
                assert!(
                    signed.study.holders(RoundNumber(7)).count()
                        == usize::from(signed.study.threshold.holders)
                );
            }
        }
    }
});
