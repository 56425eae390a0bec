//! Binary frames and the share words inside them, from hostile bytes.
//!
//! Invariants: no panic; a frame that decodes is the only encoding of its value; shares hold only
//! residues below q; nothing is allocated beyond the bytes that came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_crypto::api::{ContributionFrame, EnvelopeFrame, OpeningFrame, OpeningPart};
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::MODULUS;
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::wire::frame;
use ringfence_keys::share::share::{Share, share_words};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = frame::decode::<EnvelopeFrame>(bytes, "envelopes") {
        assert_eq!(frame::encode(&value).as_deref(), Ok(bytes));
    }
    if let Ok(value) = ContributionFrame::decode(bytes) {
        assert_eq!(value.encode().as_deref(), Ok(bytes));
    }
    if let Ok(value) = frame::decode::<OpeningFrame>(bytes, "an opening") {
        // Hexadecimal text inside has one spelling, too.
        assert_eq!(frame::encode(&value).as_deref(), Ok(bytes));
    }
    if let Ok(value) = frame::decode::<OpeningPart>(bytes, "a part of an opening") {
        assert_eq!(frame::encode(&value).as_deref(), Ok(bytes));
    }
    let words = bytes.len() / 8;
    if let Ok(residues) = field::parse_residues(bytes, words) {
        assert!(residues.iter().all(|word| *word < MODULUS));
        assert_eq!(field::to_bytes(&residues), bytes);
    }
    let threshold = Threshold::derive(16, 4, 4, 16).expect("the specification's example");
    if let Ok(share) = Share::from_bytes(bytes, &threshold) {
        assert_eq!(bytes.len(), share_words(&threshold) * 8);
        drop(share);
    }
});
