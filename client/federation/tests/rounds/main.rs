//! Rounds over HTTP against the real aggregator: what goes wrong, and what survives it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exceptions for tests do not reach the helpers of an integration test"
)]

mod base_models;
mod by_hand_disputes;
mod clocks;
mod crashes;
mod damaged;
mod dealings;
mod disputes;
mod durable;
mod epochs;
mod equivocation;
mod federation;
mod foreseen;
mod forks;
mod late;
mod liar;
mod logs;
mod lost_keys;
mod mended;
mod no_culprit;
mod no_plaintext;
mod openings;
mod pinned;
mod private;
mod refusals;
mod restored;
mod restored_epochs;
mod reviews;
mod round_keys;
mod spoiled;
mod sums;
mod trio;
mod waiting;
mod weighting;
mod wrong_base;
