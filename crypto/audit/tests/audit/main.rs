//! Exports of whole studies, honest and altered.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

mod cohorts;
mod command;
mod cosigned;
mod dpia;
mod evidence;
mod export;
mod honest;
mod hostile;
mod lies;
mod printed;
mod studies;
mod tampered;
mod tampering;
mod views;
mod words;
