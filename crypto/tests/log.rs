//! The log against vectors that it did not make, and against a naive oracle.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use ringfence_crypto::Digest;
use ringfence_crypto::log::{
    Checkpoint, CheckpointText, ConsistencyProof, InclusionProof, LogEntry, LogHash, NoteKey,
    ProofError, SignedNote, TlogProof, Tree, origin,
};
use ringfence_crypto::statement::{
    Acknowledgement, Closing, Endorsement, Header, Manifest, Opening, Receipt, Review, Statement,
};
use serde::Deserialize;

/// Leaves of the tests of Certificate Transparency's reference implementation.
const CT_LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// Its roots over the first 0, 1, ... 8 of them.
const CT_ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn tree(leaves: impl IntoIterator<Item = LogHash>) -> Tree {
    let mut tree = Tree::default();
    for (index, leaf) in leaves.into_iter().enumerate() {
        assert_eq!(tree.append(leaf), index as u64);
    }
    tree
}

fn hash(text: &str) -> LogHash {
    text.parse().unwrap()
}

#[test]
fn known_roots_and_proofs_of_certificate_transparency() {
    let tree = tree(CT_LEAVES.iter().map(|leaf| LogHash::leaf(&hex::decode(leaf).unwrap())));
    for (size, root) in CT_ROOTS.iter().enumerate() {
        assert_eq!(tree.checkpoint_at(size as u64).unwrap().root, hash(root), "{size} leaves");
    }
    let proof = tree.consistency(6, 8).unwrap();
    let expected = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(proof.hashes, expected.map(hash));
    let proof = tree.consistency(2, 5).unwrap();
    let expected = [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ];
    assert_eq!(proof.hashes, expected.map(hash));
}

#[derive(Deserialize)]
struct Vectors {
    entries: Vec<EntryVector>,
    roots: Vec<LogHash>,
    inclusion: Vec<InclusionProof>,
    consistency: Vec<ConsistencyProof>,
    note: NoteVector,
    proof: ProofVector,
}

#[derive(Deserialize)]
struct EntryVector {
    label: String,
    digest: Digest,
    data: String,
    leaf: LogHash,
}

#[derive(Deserialize)]
struct NoteVector {
    seed: String,
    verifier: String,
    text: String,
    note: String,
}

#[derive(Deserialize)]
struct ProofVector {
    index: u64,
    extra: String,
    text: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/log.json")).unwrap()
}

fn entry(label: &str, digest: Digest) -> LogEntry {
    let of = [
        LogEntry::of::<Manifest>,
        LogEntry::of::<Header>,
        LogEntry::of::<Receipt>,
        LogEntry::of::<Review>,
        LogEntry::of::<Closing>,
        LogEntry::of::<Endorsement>,
        LogEntry::of::<Opening>,
        LogEntry::of::<Acknowledgement>,
    ];
    of.into_iter().map(|of| of(digest)).find(|entry| entry.label() == label).unwrap()
}

#[test]
fn vectors_of_the_python_generator() {
    let vectors = vectors();
    let mut tree = Tree::default();
    assert_eq!(tree.checkpoint().root, vectors.roots[0]);
    for (vector, root) in vectors.entries.iter().zip(&vectors.roots[1..]) {
        let entry = entry(&vector.label, vector.digest);
        assert_eq!(hex::encode(entry.data()), vector.data);
        assert_eq!(entry.leaf(), vector.leaf);
        tree.append(entry.leaf());
        assert_eq!(tree.checkpoint().root, *root);
    }
    for proof in &vectors.inclusion {
        assert_eq!(tree.inclusion(proof.index, proof.size).unwrap(), *proof);
        let checkpoint = tree.checkpoint_at(proof.size).unwrap();
        proof.verify(tree.leaf(proof.index).unwrap(), &checkpoint).unwrap();
    }
    for proof in &vectors.consistency {
        assert_eq!(tree.consistency(proof.from, proof.to).unwrap(), *proof);
        let at = |size| tree.checkpoint_at(size).unwrap();
        proof.verify(&at(proof.from), &at(proof.to)).unwrap();
    }

    // The note and the proof file, byte for byte.
    let NoteVector { seed, verifier, text, note } = &vectors.note;
    let signer = SigningKey::from_bytes(&seed_of(seed));
    let key = NoteKey::new(&origin(Digest([0xab; 32])), signer.verifying_key().into()).unwrap();
    assert_eq!(key.to_string(), *verifier);
    assert_eq!(verifier.parse(), Ok(key.clone()));
    let checkpoint = CheckpointText::new(key.name().as_str(), tree.checkpoint()).unwrap();
    assert_eq!(checkpoint.to_string(), *text);
    let signed = key.sign(checkpoint.to_string(), &signer).unwrap();
    assert_eq!(signed.to_string(), *note);
    let ProofVector { index, extra, text } = &vectors.proof;
    let extra = hex::decode(extra).unwrap();
    let proof = tree.inclusion(*index, tree.size()).unwrap();
    let proof = TlogProof::new(proof, signed, extra).unwrap();
    assert_eq!(proof.to_string(), *text);
    let parsed: TlogProof = text.parse().unwrap();
    assert_eq!(parsed, proof);
    assert_eq!(parsed.verify(tree.leaf(*index).unwrap(), &key), Ok(tree.checkpoint()));
}

fn seed_of(hexadecimal: &str) -> [u8; 32] {
    hex::decode(hexadecimal).unwrap().try_into().unwrap()
}

/// The published example of golang.org/x/mod/sumdb/note.
#[test]
fn note_of_the_go_checksum_database() {
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    let note = format!(
        "{text}\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    );
    let verifier = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let key: NoteKey = verifier.parse().unwrap();
    assert_eq!(key.to_string(), verifier);
    let parsed: SignedNote = note.parse().unwrap();
    assert_eq!(parsed.verify(&key), Ok(text));
    assert_eq!(parsed.to_string(), note);
}

#[test]
fn bad_notes() {
    let vectors = vectors();
    let note = vectors.note.note.as_str();
    let key: NoteKey = vectors.note.verifier.parse().unwrap();
    let line = note.lines().last().unwrap();
    let name = key.name().as_str();
    let check = |altered: &str, reason: &str| {
        assert_ne!(altered, note);
        let result = altered.parse().and_then(|n: SignedNote| n.verify(&key).map(|_| ()));
        let error = result.unwrap_err().to_string();
        assert!(error.contains(reason), "{altered:?}: {error}");
    };
    let replaced = |from: &str, to: &str, reason: &str| check(&note.replace(from, to), reason);
    replaced("\n13\n", "\n14\n", "does not verify");
    replaced(line, &line.replace(" ringfence/ab", " ringfence/cd"), "has no signature by");
    replaced(line, &format!("{line}\n{line}"), "more than one signature");
    replaced("\u{2014} ", "- ", "expected a signature line");
    replaced("\u{2014} ", "\u{2014}  ", "expected a signature line");
    replaced("\n\u{2014}", "\u{2014}", "a blank line");
    replaced(line, &format!("{line}\n"), "a blank line");
    check(note.strip_suffix('\n').unwrap(), "each ended by a newline");
    check(&format!("{note}x"), "each ended by a newline");
    check(&note.replace('\n', "\r\n"), "control characters");
    check(&note.replacen("13", "13\0", 1), "control characters");
    check("", "a blank line");
    check("\n", "a blank line");
    check(&format!("text\n\n{}", format!("{line}\n").repeat(101)), "1 to 100 signatures");
    check(&"x".repeat((256 << 10) + 1), "at most 262144 bytes");
    // Every bit of key ID and signature counts; so does the base64's spelling.
    let base64 = line.rsplit(' ').next().unwrap();
    for position in 0..base64.len() {
        let mut altered: Vec<char> = base64.chars().collect();
        altered[position] = if altered[position] == 'A' { 'B' } else { 'A' };
        let altered: String = altered.into_iter().collect();
        let altered = note.replace(base64, &altered);
        assert!(altered.parse().and_then(|n: SignedNote| n.verify(&key).map(|_| ())).is_err());
    }
    // A signature too short to be one, under the right name and key ID.
    let short = format!("{}AA", base64.get(..6).unwrap());
    replaced(base64, &short, "does not verify");
    // A witness's signature of whatever kind is ignored.
    let witnessed = format!("{note}\u{2014} witness.example AAAAAAAA\n");
    assert!(witnessed.parse::<SignedNote>().unwrap().verify(&key).is_ok());

    for (altered, reason) in [
        (key.to_string().replace("ringfence", "ringfench"), "states key ID"),
        (key.to_string().to_uppercase(), "verifier key"),
        (format!("{name}+00000000"), "verifier key"),
        (format!("{key}="), "verifier key"),
        (format!(" {key}"), "key name"),
    ] {
        let error = altered.parse::<NoteKey>().unwrap_err().to_string();
        assert!(error.contains(reason), "{altered}: {error}");
    }
    // Text that no note can have is not signed, nor with another's key.
    let signer = SigningKey::from_bytes(&seed_of(&vectors.note.seed));
    assert!(key.sign("no newline".into(), &signer).is_err());
    assert!(key.sign("a\rb\n".into(), &signer).is_err());
    assert!(key.sign("text\n".into(), &SigningKey::from_bytes(&[1; 32])).is_err());
}

#[test]
fn bad_proof_files() {
    let vectors = vectors();
    let text = vectors.proof.text.as_str();
    let key: NoteKey = vectors.note.verifier.parse().unwrap();
    let leaf = vectors.entries[5].leaf;
    let verify = |text: &str| text.parse::<TlogProof>().and_then(|proof| proof.verify(leaf, &key));
    let check = |altered: &str, reason: &str| {
        assert_ne!(altered, text);
        let error = verify(altered).unwrap_err().to_string();
        assert!(error.contains(reason), "{altered:?}: {error}");
    };
    verify(text).unwrap();
    check(&text.replace("@v1", "@v2"), "begins with the line");
    check(&text.replace("index 5", "index 05"), "without leading zeros");
    check(&text.replace("index 5", "index 4"), "leads to root");
    check(&text.replace("index 5", "index 13"), "expected an index below");
    check(&text.replace("index 5\n", ""), "expected a line `index N`");
    check(&text.replacen("extra ", "extra", 1), "expected a line `index N`");
    let extra = text.lines().nth(1).unwrap();
    check(&text.replace(extra, "extra "), "extra data of 1 to");
    check(&text.replace(extra, "extra !"), "extra data of 1 to");
    let long = format!("extra {}", "AAAA".repeat(21_846));
    check(&text.replace(extra, &long), "extra data of 1 to");
    let first = text.lines().nth(3).unwrap();
    check(&text.replace(first, &format!("{first}\n{first}")), "does not fit");
    check(&text.replace(&format!("{first}\n"), ""), "does not fit");
    check(&text.replace(first, &first[1..]), "32 bytes in padded base64");
    check(&text.replace(first, &format!("{first}\n").repeat(66)), "at most 65 hashes");
    check(&text.replace("\n13\n", "\n12\n"), "does not verify");
    check(&"x".repeat(1 << 20), "at most");
    let other = SigningKey::from_bytes(&[1; 32]);
    let stranger = NoteKey::new(key.name().as_str(), other.verifying_key().into()).unwrap();
    let error = text.parse::<TlogProof>().unwrap().verify(leaf, &stranger).unwrap_err();
    assert!(error.to_string().contains("has no signature by"), "{error}");
    // Without the extra data, which nothing authenticates, the proof holds all the same.
    verify(&text.replace(&format!("{extra}\n"), "")).unwrap();
    // A checkpoint of another log, by a key of the right name.
    let elsewhere = CheckpointText::new("elsewhere", Checkpoint { size: 1, root: leaf }).unwrap();
    let key = NoteKey::new("ringfence/x", other.verifying_key().into()).unwrap();
    let note = key.sign(elsewhere.to_string(), &other).unwrap();
    let single = InclusionProof { index: 0, size: 1, hashes: Vec::new() };
    let error = TlogProof::new(single, note, Vec::new()).unwrap().verify(leaf, &key).unwrap_err();
    assert!(error.to_string().contains("is of log \"elsewhere\""), "{error}");
}

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

fn leaves(count: usize) -> Vec<LogHash> {
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

#[test]
fn beyond_the_end() {
    let tree = tree(leaves(5));
    let error = tree.inclusion(5, 5).unwrap_err();
    assert_eq!(error.to_string(), "the log has 5 leaves, 6 were asked for");
    assert!(tree.inclusion(0, 6).is_err());
    assert!(tree.inclusion(u64::MAX, u64::MAX).is_err());
    assert!(tree.consistency(3, 6).is_err());
    assert!(tree.consistency(4, 3).is_err());
    assert!(tree.checkpoint_at(6).is_err() && tree.leaf(5).is_err());
    assert!(tree.checkpoint_at(u64::MAX).is_err() && tree.leaf(u64::MAX).is_err());
}

#[test]
fn hostile_sizes_do_not_overflow() {
    let leaf = LogHash::leaf(b"leaf");
    for size in [u64::MAX, 1 << 63, (1 << 63) + 1] {
        let checkpoint = Checkpoint { size, root: leaf };
        for index in [0, size / 2, size - 1] {
            for length in [0, 1, 63, 64, 65, 200] {
                let proof = InclusionProof { index, size, hashes: vec![leaf; length] };
                assert!(proof.verify(leaf, &checkpoint).is_err());
                let old = Checkpoint { size: index, root: leaf };
                let proof = ConsistencyProof { from: index, to: size, hashes: vec![leaf; length] };
                let vacuous = index == 0 && length == 0;
                let old = if vacuous { Checkpoint { root: LogHash::empty(), ..old } } else { old };
                assert_eq!(proof.verify(&old, &checkpoint).is_ok(), vacuous);
            }
        }
    }
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
