//! Notes, proof files and sizes that must be refused.

use ed25519_dalek::SigningKey;
use ringfence_crypto::log::{
    Checkpoint, CheckpointText, ConsistencyProof, InclusionProof, LogHash, NoteKey, SignedNote,
    TlogProof,
};

use crate::proofs::leaves;
use crate::tree;
use crate::vectors::{seed_of, vectors};

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

#[test]
fn bad_cases_of_the_python_generator() {
    let vectors = vectors();
    let refused = |name: &str, result: Result<(), String>, error: &str| {
        let got = result.expect_err(name);
        assert!(got.contains(error), "{name}: {got}");
    };
    for bad in &vectors.bad.inclusion {
        let result = bad.proof.verify(bad.leaf, &bad.checkpoint);
        refused(&bad.name, result.map_err(|error| error.to_string()), &bad.error);
    }
    for bad in &vectors.bad.consistency {
        let result = bad.proof.verify(&bad.old, &bad.new);
        refused(&bad.name, result.map_err(|error| error.to_string()), &bad.error);
    }
    let key: NoteKey = vectors.note.verifier.parse().unwrap();
    for bad in &vectors.bad.notes {
        let result = bad.note.parse().and_then(|note: SignedNote| note.verify(&key).map(|_| ()));
        refused(&bad.name, result.map_err(|error| error.to_string()), &bad.error);
    }
    let leaf = vectors.entries[5].leaf;
    for bad in &vectors.bad.proofs {
        let proof = bad.text.parse::<TlogProof>();
        let result = proof.and_then(|proof| proof.verify(leaf, &key));
        refused(&bad.name, result.map(|_| ()).map_err(|error| error.to_string()), &bad.error);
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
