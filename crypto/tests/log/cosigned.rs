//! A note with a witness's cosignature: this version reads over it, and its bytes are those of C2SP's
//! tlog-cosignature.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use ringfence_crypto::log::{NoteKey, SignedNote};
use sha2::{Digest as _, Sha256};

use crate::vectors::{Cosigned, seed_of, vectors};

/// The time of a cosignature of `text` by this name and key, if the line is one.
fn cosigned(line: &str, name: &str, key: &VerifyingKey, text: &str) -> Option<u64> {
    let base64 = line.strip_prefix("\u{2014} ")?.strip_prefix(name)?.strip_prefix(' ')?;
    let bytes = STANDARD.decode(base64.strip_suffix('\n')?).ok()?;
    let (id, rest) = bytes.split_first_chunk::<4>()?;
    let hash =
        Sha256::new().chain_update(name).chain_update(b"\n\x04").chain_update(key.as_bytes());
    let expected: [u8; 32] = hash.finalize().into();
    let (time, signature) = rest.split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    let signature = Signature::from_bytes(signature.try_into().ok()?);
    let message = format!("cosignature/v1\ntime {time}\n{text}");
    let holds = key.verify_strict(message.as_bytes(), &signature).is_ok();
    (*id == expected[..4] && holds).then_some(time)
}

#[test]
fn a_witness_s_line_is_read_over() {
    let vectors = vectors();
    let Cosigned { seed, verifier, time, message, line, note, bad } = &vectors.cosigned;
    let key: NoteKey = vectors.note.verifier.parse().unwrap();
    let text = &vectors.note.text;
    assert_eq!(*note, format!("{}{line}", vectors.note.note));
    assert_eq!(*message, format!("cosignature/v1\ntime {time}\n{text}"));
    let parsed: SignedNote = note.parse().unwrap();
    assert_eq!(parsed.verify(&key), Ok(text.as_str()));
    assert_eq!(parsed.to_string(), *note);

    let witness = SigningKey::from_bytes(&seed_of(seed)).verifying_key();
    let (name, _) = verifier.split_once('+').unwrap();
    assert_eq!(cosigned(line, name, &witness, text), Some(*time));
    // The verifier key has type 4, and is none of a log.
    assert!(verifier.parse::<NoteKey>().is_err());
    let typed = STANDARD.decode(verifier.splitn(3, '+').nth(2).unwrap()).unwrap();
    assert_eq!(typed, [&[4], &witness.as_bytes()[..]].concat());

    for bad in bad {
        assert_eq!(cosigned(&bad.line, name, &witness, text), None, "{}", bad.name);
        let note = format!("{}{}", vectors.note.note, bad.line);
        assert!(note.parse::<SignedNote>().unwrap().verify(&key).is_ok(), "{}", bad.name);
    }
}
