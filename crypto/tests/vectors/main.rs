//! The test vectors `v2` against the public half. See README.md beside this file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

mod chunks;
mod cipher;
mod closings;
mod disputes;
#[macro_use]
mod files;
mod generator;
mod groups;
mod judgements;
mod privacy;
mod refusals;
mod reserved;
mod statements;
mod studies;

use ringfence_crypto::statement::{Dispute, Verdict};

/// Where the vectors lie.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/v2");

checks! { FOLDER, "public";
    polynomials => cipher::polynomials,
    residues => cipher::residues,
    residues_bad => cipher::residues_bad,
    words => cipher::words,
    words_bad => cipher::words_bad,
    packing => cipher::packing,
    noise_bounds => cipher::noise_bounds,
    packing_bad => cipher::packing_bad,
    body_chunk => chunks::body_chunk,
    body_chunk_bad => chunks::body_chunk_bad,
    canonical => statements::canonical,
    statement => statements::statement,
    study => statements::study,
    manifest_previous => statements::manifest_previous,
    holder_keys => statements::holder_keys,
    certificate => closings::certificate,
    closing_set => closings::closing_set,
    groups => groups::groups,
    judgement => judgements::judgement,
    dispute_digest => disputes::digest::<Dispute>,
    verdict_digest => disputes::digest::<Verdict>,
    dispute_certificate => disputes::dispute_certificate,
    verdict_certificate => disputes::verdict_certificate,
    proceedings => disputes::proceedings,
    opening_frame => disputes::opening_frame,
    privacy => privacy::policies,
    header_spent => privacy::headers,
    epoch => reserved::epoch,
    frame => statements::frame,
    study_edges => studies::edges,
    study_bad => studies::bad,
    study_signatures_bad => studies::signatures_bad,
    signature_bad => refusals::signature,
    manifest_bad => refusals::manifest,
    round_keys_bad => refusals::round_keys,
    holder_keys_bad => refusals::holder_keys,
    header_bad => refusals::header,
    header_spent_bad => privacy::header_bad,
    freeze_bad => closings::freeze_bad,
    closing_bad => closings::closing_bad,
    dispute_certificate_bad => disputes::dispute_certificate_bad,
    verdict_certificate_bad => disputes::verdict_certificate_bad,
    proceedings_bad => disputes::proceedings_bad,
    certificate_bad => refusals::certificate,
    message_bad => refusals::message,
    frame_bad => refusals::frame,
    opening_frame_bad => statements::opening_frame_bad,
    json_bad => refusals::json,
}
