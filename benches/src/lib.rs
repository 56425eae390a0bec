//! What Ringfence costs, and what others do: measured on whole rounds in memory, with real keys and
//! real statements, without network, and by [`service`] on rounds of the shipped programs.
//!
//! [`schemes`] compares it with what others do.

use anyhow::Context;
use ringfence_keys::open::OpenedSum;
use ringfence_keys::share::reconstruct::KeySum;
use ringfence_testkit::{FinishedRound, Rehearsal, Setup};

pub mod constant_time;
pub mod machine;
pub mod schemes;
pub mod service;
pub mod targets;
pub mod training;

/// Runs a round of `sites` sites with `parameters` 16-bit values.
///
/// # Errors
/// When the machine gives no randomness.
pub fn round_of(sites: usize, parameters: u32) -> anyhow::Result<FinishedRound> {
    let values: Vec<f32> = (0..parameters).map(|k| (k % 1000) as f32 / 1000.0 - 0.5).collect();
    round_over(&vec![values; sites], 16, 0.5)
}

/// Runs a round over one update for each site, of `bits`-bit values clipped to `[-clip, clip]`.
///
/// # Errors
/// When there are no updates, or the machine gives no randomness.
pub fn round_over(updates: &[Vec<f32>], bits: u8, clip: f32) -> anyhow::Result<FinishedRound> {
    let setup = Setup {
        sites: updates.len(),
        threshold: None,
        parameters: u32::try_from(updates.first().context("no sites")?.len())?,
        clip,
        value_bits: bits,
    };
    Ok(Rehearsal::of(setup, ringfence_keys::system_rng()?).run(updates))
}

/// A recipient's work: unseal the openings, reconstruct the key sum.
pub fn key_sum(round: &FinishedRound) -> KeySum {
    round.key_sum(round.parties.identities.len() - 1)
}

/// Decrypts and checks the sum.
///
/// # Errors
/// When the sum is not the plain sum.
pub fn decode(round: &FinishedRound, keys: &KeySum) -> anyhow::Result<OpenedSum> {
    let opened = round.open(keys);
    anyhow::ensure!(opened.sums() == round.plain, "the opened sum is not the plain sum");
    Ok(opened)
}
