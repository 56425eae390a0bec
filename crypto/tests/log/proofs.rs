//! Every proof against the definitions of RFC 6962, and every alteration of it.

use proptest::prelude::*;
use ringfence_crypto::log::{
    Checkpoint, ConsistencyProof, InclusionProof, LogHash, ProofError, Tree,
};

use crate::tree;

/// The definitions of RFC 6962, 2.1, word for word.
mod oracle {
    use super::LogHash;

    fn split(n: usize) -> usize {
        let mut k = 1;
        while 2 * k < n {
            k *= 2;
        }
        k
    }

    pub(super) fn root(leaves: &[LogHash]) -> LogHash {
        match leaves {
            [] => LogHash::empty(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len()));
                LogHash::node(&root(left), &root(right))
            }
        }
    }

    pub(super) fn path(m: usize, leaves: &[LogHash]) -> Vec<LogHash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut path, sibling) = match m < k {
            true => (path(m, left), root(right)),
            false => (path(m - k, right), root(left)),
        };
        path.push(sibling);
        path
    }

    pub(super) fn consistency(m: usize, leaves: &[LogHash], whole: bool) -> Vec<LogHash> {
        if m == leaves.len() {
            return if whole { Vec::new() } else { vec![root(leaves)] };
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut proof, sibling) = match m <= k {
            true => (consistency(m, left, whole), root(right)),
            false => (consistency(m - k, right, false), root(left)),
        };
        proof.push(sibling);
        proof
    }
}

pub(crate) fn leaves(count: usize) -> Vec<LogHash> {
    (0..count as u64).map(|index| LogHash::leaf(&index.to_le_bytes())).collect()
}

/// Every way to alter a list of hashes: a bit of each, one less, one more, two swapped.
fn altered(hashes: &[LogHash]) -> Vec<Vec<LogHash>> {
    let mut all = Vec::new();
    for position in 0..hashes.len() {
        let mut flipped = hashes.to_vec();
        flipped[position].0[position % 32] ^= 1 << (position % 8);
        all.push(flipped);
        let mut shorter = hashes.to_vec();
        shorter.remove(position);
        all.push(shorter);
        if position > 0 && hashes[position] != hashes[position - 1] {
            let mut swapped = hashes.to_vec();
            swapped.swap(position, position - 1);
            all.push(swapped);
        }
    }
    for position in [0, hashes.len()] {
        let mut longer = hashes.to_vec();
        longer.insert(position, LogHash::leaf(b"one more"));
        all.push(longer);
    }
    all
}

fn check_inclusion(tree: &Tree, leaves: &[LogHash], index: usize) {
    let size = leaves.len() as u64;
    let checkpoint = Checkpoint { size, root: oracle::root(leaves) };
    assert_eq!(tree.checkpoint_at(size), Ok(checkpoint));
    let proof = tree.inclusion(index as u64, size).unwrap();
    assert_eq!(proof.hashes, oracle::path(index, leaves));
    let leaf = leaves[index];
    assert_eq!(proof.verify(leaf, &checkpoint), Ok(()));

    for hashes in altered(&proof.hashes) {
        assert!(InclusionProof { hashes, ..proof.clone() }.verify(leaf, &checkpoint).is_err());
    }
    for index in (0..=size).chain([u64::MAX]).filter(|other| *other != index as u64) {
        assert!(InclusionProof { index, ..proof.clone() }.verify(leaf, &checkpoint).is_err());
    }
    for other in [0, size - 1, size + 1, u64::MAX] {
        let altered = InclusionProof { size: other, ..proof.clone() };
        let error = altered.verify(leaf, &checkpoint);
        assert_eq!(error, Err(ProofError::Size { expected: size, got: other }));
    }
    assert!(proof.verify(LogHash::leaf(b"another"), &checkpoint).is_err());
    let root = LogHash::leaf(b"another");
    assert!(proof.verify(leaf, &Checkpoint { root, ..checkpoint }).is_err());
}

fn check_consistency(tree: &Tree, leaves: &[LogHash], from: usize) {
    let old = Checkpoint { size: from as u64, root: oracle::root(&leaves[..from]) };
    let new = Checkpoint { size: leaves.len() as u64, root: oracle::root(leaves) };
    let proof = tree.consistency(old.size, new.size).unwrap();
    if from > 0 {
        assert_eq!(proof.hashes, oracle::consistency(from, leaves, true));
    }
    assert_eq!(proof.verify(&old, &new), Ok(()));

    for hashes in altered(&proof.hashes) {
        assert!(ConsistencyProof { hashes, ..proof.clone() }.verify(&old, &new).is_err());
    }
    let forked = Checkpoint { root: LogHash::leaf(b"another"), ..old };
    assert!(proof.verify(&forked, &new).is_err());
    let forked = Checkpoint { root: LogHash::leaf(b"another"), ..new };
    // From the empty log, nothing is known of the new one.
    assert_eq!(proof.verify(&old, &forked).is_ok(), from == 0 && !leaves.is_empty());
    // Relabelled, and shown with true checkpoints of those sizes.
    for size in 0..=leaves.len() as u64 {
        let at = tree.checkpoint_at(size).unwrap();
        let relabelled = ConsistencyProof { from: size, ..proof.clone() };
        let genuine = tree.consistency(size, new.size).unwrap() == relabelled;
        assert_eq!(relabelled.verify(&at, &new).is_ok(), genuine);
        if size != old.size {
            assert!(relabelled.verify(&old, &new).is_err());
        }
    }
    if old.size < new.size {
        let backwards = ConsistencyProof { from: new.size, to: old.size, ..proof };
        let error = ProofError::Order { from: new.size, to: old.size };
        assert_eq!(backwards.verify(&new, &old), Err(error));
    }
}

#[test]
fn every_proof_of_every_small_log() {
    let all = leaves(70);
    let tree = tree(all.iter().copied());
    for size in 0..=all.len() {
        for index in 0..size {
            check_inclusion(&tree, &all[..size], index);
        }
        for from in 0..=size {
            check_consistency(&tree, &all[..size], from);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn larger_logs(size in 71usize..5000, index in 0usize..5000, from in 0usize..5000) {
        let all = leaves(size);
        let tree = tree(all.iter().copied());
        let (index, from) = (index % size, from % (size + 1));
        let size = size as u64;
        let checkpoint = Checkpoint { size, root: oracle::root(&all) };
        prop_assert_eq!(tree.checkpoint(), checkpoint);
        let proof = tree.inclusion(index as u64, size).unwrap();
        prop_assert_eq!(&proof.hashes, &oracle::path(index, &all));
        prop_assert_eq!(proof.verify(all[index], &checkpoint), Ok(()));
        for hashes in altered(&proof.hashes) {
            let altered = InclusionProof { hashes, ..proof.clone() };
            prop_assert!(altered.verify(all[index], &checkpoint).is_err());
        }
        let old = Checkpoint { size: from as u64, root: oracle::root(&all[..from]) };
        let proof = tree.consistency(old.size, size).unwrap();
        prop_assert_eq!(proof.verify(&old, &checkpoint), Ok(()));
        for hashes in altered(&proof.hashes) {
            let altered = ConsistencyProof { hashes, ..proof.clone() };
            prop_assert!(altered.verify(&old, &checkpoint).is_err());
        }
    }
}
