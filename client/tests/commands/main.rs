//! The `ringfence` command as a person runs it: its answers to wrong steps, the demo, a study of
//! three processes, privacy's numbers, PyTorch, and the documented walk-through.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exception for tests does not reach the helper functions"
)]

mod by_hand;
mod cli;
mod demo;
mod gathered;
mod join;
mod join_defended;
mod join_said;
mod ledger;
mod outputs;
mod passphrase;
mod patients;
mod policy;
mod predict;
mod predict_compared;
mod predict_inputs;
mod privacy;
mod private;
mod proxies;
mod pytorch;
mod requests;
mod roster;
mod round;
mod slices;
mod status;
mod strangers;
mod study;
mod support;
mod walkthrough;
