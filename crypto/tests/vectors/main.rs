//! The test vectors `v2` against the public half. See README.md beside this file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

mod chunks;
mod cipher;
#[macro_use]
mod files;
mod generator;
mod refusals;
mod statements;

/// Where the vectors lie.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/v2");

checks! { FOLDER, "public";
    polynomials => cipher::polynomials,
    residues => cipher::residues,
    residues_bad => cipher::residues_bad,
    words => cipher::words,
    words_bad => cipher::words_bad,
    packing => cipher::packing,
    packing_bad => cipher::packing_bad,
    body_chunk => chunks::body_chunk,
    body_chunk_bad => chunks::body_chunk_bad,
    canonical => statements::canonical,
    statement => statements::statement,
    study => statements::study,
    holder_keys => statements::holder_keys,
    certificate => statements::certificate,
    closing_set => statements::closing_set,
    closing_set_damaged => statements::closing_set_damaged,
    frame => statements::frame,
    study_bad => refusals::study,
    signature_bad => refusals::signature,
    manifest_bad => refusals::manifest,
    round_keys_bad => refusals::round_keys,
    holder_keys_bad => refusals::holder_keys,
    header_bad => refusals::header,
    closing_bad => refusals::closing,
    certificate_bad => refusals::certificate,
    message_bad => refusals::message,
    frame_bad => refusals::frame,
    opening_frame_bad => statements::opening_frame_bad,
    json_bad => refusals::json,
}
