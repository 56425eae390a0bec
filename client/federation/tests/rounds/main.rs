//! Rounds over HTTP against the real aggregator: what goes wrong, and what survives it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exceptions for tests do not reach the helpers of an integration test"
)]

mod base_models;
mod crashes;
mod federation;
mod logs;
mod refusals;
mod restored;
mod sums;
mod trio;
mod waiting;
