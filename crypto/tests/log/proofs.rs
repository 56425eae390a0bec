//! Every proof against the definitions of RFC 6962, and every alteration of it.

use proptest::prelude::*;
use ringfence_crypto::log::{
    Checkpoint, ConsistencyProof, InclusionProof, LeavesProof, LogHash, ProofError, Tree,
};

use crate::tree;

/// The definitions of RFC 6962, 2.1, word for word.
mod oracle {
    use super::LogHash;

    pub(super) fn split(n: usize) -> usize {
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

/// The definition that docs/protocol.md has of one proof for several leaves.
fn several(start: usize, leaves: &[LogHash], wanted: &[usize]) -> Vec<LogHash> {
    let wanted: Vec<usize> =
        wanted.iter().copied().filter(|at| (start..start + leaves.len()).contains(at)).collect();
    match (wanted.as_slice(), leaves) {
        ([], _) => vec![oracle::root(leaves)],
        (_, [_]) => Vec::new(),
        _ => {
            let (left, right) = leaves.split_at(oracle::split(leaves.len()));
            [several(start, left, &wanted), several(start + left.len(), right, &wanted)].concat()
        }
    }
}

#[test]
fn one_proof_for_several_leaves() {
    let all = leaves(23);
    let tree = tree(all.iter().copied());
    for size in 1..=all.len() {
        let checkpoint = tree.checkpoint_at(size as u64).unwrap();
        // Every fourth set of leaves of the first twelve, and some of the others.
        for bits in (0u64..1 << size.min(12)).step_by(7) {
            let wanted: Vec<usize> = (0..size).filter(|at| bits >> (at % 12) & 1 == 1).collect();
            let indices: Vec<u64> = wanted.iter().map(|at| *at as u64).collect();
            let proof = tree.leaves_proof(&indices, size as u64).unwrap();
            assert_eq!(proof.hashes, several(0, &all[..size], &wanted));
            let shown: Vec<(u64, LogHash)> =
                wanted.iter().map(|at| (*at as u64, all[*at])).collect();
            assert_eq!(proof.verify(&shown, &checkpoint), Ok(()));
            if bits % 5 != 0 || wanted.is_empty() {
                continue;
            }
            for hashes in altered(&proof.hashes) {
                let altered = LeavesProof { hashes, ..proof.clone() };
                assert!(altered.verify(&shown, &checkpoint).is_err());
            }
            let place = bits as usize % shown.len();
            let mut other = shown.clone();
            other[place].1 = LogHash::leaf(b"another");
            assert!(proof.verify(&other, &checkpoint).is_err());
            other.remove(place);
            assert!(proof.verify(&other, &checkpoint).is_err());
            let twice = [&shown[..], &shown[place..]].concat();
            assert!(proof.verify(&twice, &checkpoint).is_err());
            let mut moved = shown.clone();
            moved[place].0 = size as u64;
            assert!(proof.verify(&moved, &checkpoint).is_err());
            let other = Checkpoint { root: LogHash::leaf(b"another"), ..checkpoint };
            assert!(proof.verify(&shown, &other).is_err());
        }
    }
    let beyond = tree.leaves_proof(&[5], 5).unwrap_err();
    assert_eq!((beyond.size, beyond.asked), (23, 6));
    assert!(tree.leaves_proof(&[], 24).is_err());
    let empty = Checkpoint { size: 0, root: LogHash::empty() };
    let nothing = LeavesProof { size: 0, hashes: Vec::new() };
    assert_eq!(nothing.verify(&[], &empty), Ok(()));
    assert!(nothing.verify(&[(0, all[0])], &empty).is_err());
    // A proof that states a huge log is over after its few hashes.
    let huge = LeavesProof { size: u64::MAX, hashes: all.clone() };
    let checkpoint = Checkpoint { size: u64::MAX, root: LogHash::empty() };
    assert!(huge.verify(&[(u64::MAX - 1, all[0])], &checkpoint).is_err());
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
