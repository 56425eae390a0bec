//! Texts: digests, site names, keys, identity files.
//!
//! Invariants: no panic; one spelling per value; an identity's error never shows the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_crypto::Digest;
use ringfence_crypto::statement::{PublicKey, SiteId};
use ringfence_keys::identity::Identity;

fuzz_target!(|text: &str| {
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
