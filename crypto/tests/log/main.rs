//! The log against vectors that it did not make, and against a naive oracle.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod proofs;
mod refusals;
mod vectors;

use ringfence_crypto::log::{Checkpoint, LogHash, Tree};
use ringfence_crypto::statement::{Manifest, Statement};

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
