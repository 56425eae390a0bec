//! The log against vectors that it did not make, and against a naive oracle.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test program")]

mod cosigned;
mod proofs;
mod refusals;
mod vectors;

use ringfence_crypto::Digest;
use ringfence_crypto::log::{
    BeyondEnd, Checkpoint, KINDS, LogEntry, LogHash, StudyLog, StudyLogError, Tree,
};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Header, Manifest};

fn tree(leaves: impl IntoIterator<Item = LogHash>) -> Tree {
    let mut tree = Tree::default();
    for (index, leaf) in leaves.into_iter().enumerate() {
        assert_eq!(tree.append(leaf), index as u64);
    }
    tree
}

#[test]
fn json_and_canonical_bytes_of_a_checkpoint() {
    use ringfence_crypto::wire::canonical;
    let checkpoint = Checkpoint { size: 0x0102, root: LogHash([0xcd; 32]) };
    let json = serde_json::to_string(&checkpoint).unwrap();
    assert_eq!(json, format!("{{\"size\":258,\"root\":\"{}\"}}", "cd".repeat(32)));
    assert_eq!(serde_json::from_str::<Checkpoint>(&json).unwrap(), checkpoint);
    assert!(serde_json::from_str::<Checkpoint>(&json.replace("cd", "CD")).is_err());
    assert!(serde_json::from_str::<Checkpoint>(&json.replace("258", "-1")).is_err());
    let bytes = canonical::bytes("t", &checkpoint);
    assert_eq!(&bytes[4 + 14..], [&[2, 1, 0, 0, 0, 0, 0, 0][..], &[0xcd; 32]].concat());
    // A statement's signed bytes always hold a byte that no note may.
    assert!(std::str::from_utf8(&bytes[..4]).unwrap().contains('\0'));
    assert_eq!(Manifest::LABEL, "manifest");
}

#[test]
fn layout_of_an_entrys_data() {
    let digest = Digest::of(b"a manifest");
    let entry = LogEntry::of::<Manifest>(digest.into());
    let mut expected = b"\x16\0\0\0ringfence/v2/log-entry\x08\0\0\0manifest".to_vec();
    expected.extend_from_slice(&digest.0);
    assert_eq!(entry.data(), expected);
    assert_ne!(entry.leaf(), LogEntry::of::<Header>(digest.into()).leaf());
}

#[test]
fn an_entry_as_text() {
    let digest = Digest::of(b"a manifest");
    let entry = LogEntry::of::<Manifest>(digest.into());
    assert_eq!(entry.to_string(), format!("manifest {digest}"));
    for kind in KINDS {
        let text = format!("{kind} {digest}");
        let entry: LogEntry = text.parse().unwrap();
        assert_eq!((entry.label(), entry.digest(), entry.to_string()), (kind, digest, text));
    }
    for wrong in ["", "manifest", "study ", " ", "Manifest "] {
        assert!(format!("{wrong}{digest}").parse::<LogEntry>().is_err(), "{wrong}");
    }
    for wrong in [format!("manifest  {digest}"), format!("manifest {digest} ")] {
        assert!(wrong.parse::<LogEntry>().is_err(), "{wrong}");
    }
}

#[test]
fn proofs_by_leaf_and_their_refusals() {
    let entry = |label: &str| LogEntry::of::<Header>(Digest::of(label.as_bytes()).into());
    let log: StudyLog = ["a", "b", "c", "b"].map(entry).into_iter().collect();
    assert_eq!(log.size(), 4);
    let leaf = entry("b").leaf();
    let proof = log.inclusion(leaf, 4).unwrap();
    assert_eq!(proof.index, 1);
    assert_eq!(proof.verify(leaf, &log.checkpoint()), Ok(()));
    let unknown = entry("x").leaf();
    assert_eq!(log.inclusion(unknown, 4), Err(StudyLogError::Unknown(unknown)));
    let later = StudyLogError::Later { leaf: entry("c").leaf(), index: 2, size: 2 };
    assert_eq!(log.inclusion(entry("c").leaf(), 2), Err(later));
    let beyond = BeyondEnd { size: 4, asked: 5 };
    assert_eq!(log.inclusion(leaf, 5), Err(StudyLogError::Beyond(beyond)));
    assert_eq!(log.consistency(2, 5), Err(StudyLogError::Beyond(beyond)));
}
