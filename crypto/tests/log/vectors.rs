//! Certificate Transparency's roots and proofs, the vectors of the independent generator, and a
//! note of the Go checksum database.

use ed25519_dalek::SigningKey;
use ringfence_crypto::Digest;
use ringfence_crypto::id::StudyId;
use ringfence_crypto::log::{
    Checkpoint, CheckpointText, ConsistencyProof, InclusionProof, LogEntry, LogHash, NoteKey,
    SignedNote, TlogProof, Tree, origin,
};
use ringfence_crypto::statement::{
    Acknowledgement, Closing, DisputeEndorsement, Endorsement, Freeze, Header, Manifest, Opening,
    Receipt, Review, VerdictEndorsement,
};
use serde::Deserialize;

use crate::tree;

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
pub(crate) struct Vectors {
    pub(crate) entries: Vec<EntryVector>,
    roots: Vec<LogHash>,
    inclusion: Vec<InclusionProof>,
    consistency: Vec<ConsistencyProof>,
    pub(crate) note: NoteVector,
    pub(crate) proof: ProofVector,
    pub(crate) bad: BadVectors,
    pub(crate) cosigned: Cosigned,
}

/// What must be refused, with a part of the error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadVectors {
    pub(crate) inclusion: Vec<BadInclusion>,
    pub(crate) consistency: Vec<BadConsistency>,
    pub(crate) notes: Vec<BadNote>,
    pub(crate) proofs: Vec<BadProof>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadInclusion {
    pub(crate) name: String,
    pub(crate) leaf: LogHash,
    pub(crate) proof: InclusionProof,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) error: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadConsistency {
    pub(crate) name: String,
    pub(crate) proof: ConsistencyProof,
    pub(crate) old: Checkpoint,
    pub(crate) new: Checkpoint,
    pub(crate) error: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadNote {
    pub(crate) name: String,
    pub(crate) note: String,
    pub(crate) error: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadProof {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) error: String,
}

/// A note with a witness's line, as C2SP's tlog-cosignature has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cosigned {
    pub(crate) seed: String,
    pub(crate) verifier: String,
    pub(crate) time: u64,
    pub(crate) message: String,
    pub(crate) line: String,
    pub(crate) note: String,
    pub(crate) bad: Vec<BadLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadLine {
    pub(crate) name: String,
    pub(crate) line: String,
}

#[derive(Deserialize)]
pub(crate) struct EntryVector {
    label: String,
    digest: Digest,
    data: String,
    pub(crate) leaf: LogHash,
}

#[derive(Deserialize)]
pub(crate) struct NoteVector {
    pub(crate) seed: String,
    pub(crate) verifier: String,
    pub(crate) text: String,
    pub(crate) note: String,
}

#[derive(Deserialize)]
pub(crate) struct ProofVector {
    index: u64,
    extra: String,
    pub(crate) text: String,
}

pub(crate) fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../vectors/log.json")).unwrap()
}

fn entry(label: &str, digest: Digest) -> LogEntry {
    let of = [
        LogEntry::of::<Manifest>(digest.into()),
        LogEntry::of::<Header>(digest.into()),
        LogEntry::of::<Receipt>(digest),
        LogEntry::of::<Freeze>(digest.into()),
        LogEntry::of::<Review>(digest),
        LogEntry::of::<Closing>(digest.into()),
        LogEntry::of::<Endorsement>(digest),
        LogEntry::of::<DisputeEndorsement>(digest),
        LogEntry::of::<VerdictEndorsement>(digest),
        LogEntry::of::<Opening>(digest),
        LogEntry::of::<Acknowledgement>(digest),
    ];
    of.into_iter().find(|entry| entry.label() == label).unwrap()
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
    let key =
        NoteKey::new(&origin(StudyId(Digest([0xab; 32]))), signer.verifying_key().into()).unwrap();
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

pub(crate) fn seed_of(hexadecimal: &str) -> [u8; 32] {
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
