//! Texts: digests, site names, keys, identity files, the log's notes, checkpoints and proofs.
//!
//! Invariants: no panic; one spelling per value; an identity's error never shows the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::log::checkpoint::CheckpointText;
use ringfence_crypto::log::note::{NoteKey, SignedNote};
use ringfence_crypto::log::tlog_proof::TlogProof;
use ringfence_crypto::signature::PublicKey;
use ringfence_keys::identity::Identity;

fn one_spelling<T: std::str::FromStr + std::fmt::Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

fuzz_target!(|text: &str| {
    one_spelling::<CheckpointText>(text);
    one_spelling::<NoteKey>(text);
    one_spelling::<SignedNote>(text);
    one_spelling::<TlogProof>(text);
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(site) = text.parse::<SiteId>() {
        assert_eq!(site.as_str(), text);
        assert!(!text.contains(['/', '.', '\\', '\0']));
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string(), text);
    }
    match Identity::from_file(text) {
        Ok(identity) => assert_eq!(identity.to_file().lines().next(), text.lines().next()),
        Err(error) => assert!(error.to_string().len() < 200),
    }
});
