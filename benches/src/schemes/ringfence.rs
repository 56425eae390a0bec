//! Ringfence itself. Everything of the comparison that touches `ringfence-keys` is in this file
//! and in [`FinishedRound`].

use std::hint::black_box;

use anyhow::Context;
use ringfence_crypto::ciphertext::add_words;
use ringfence_crypto::statement::Statement;
use ringfence_crypto::wire::{frame, json};
use ringfence_keys::contribution::Contribution;
use ringfence_keys::one_time_key::{EncryptionContext, OneTimeKey};
use ringfence_keys::quantize::{QuantizedUpdate, mean};

use super::report::Row;
use super::workload::{CLIP, Workload};
use super::{Costs, row};
use crate::FinishedRound;

/// What the comparison asks of a round; an API change of the cipher ends here.
trait MeasuredRound {
    /// Quantize, pack and encrypt one update under a fresh key.
    fn encrypt(&self, update: &[f32]) -> anyhow::Result<Vec<u8>>;
    /// The same, and share the key, seal the shares, hash and sign: the contribution.
    fn contribute(&self, update: &[f32]) -> anyhow::Result<(Contribution, Vec<u8>)>;
    /// Add one body.
    fn add(&self, sum: &mut [u8], body: &[u8]) -> anyhow::Result<()>;
    /// Unseal the openings, reconstruct the key sum, decrypt, check, decode.
    fn open(&self) -> anyhow::Result<Vec<f32>>;
}

impl MeasuredRound for FinishedRound {
    fn encrypt(&self, update: &[f32]) -> anyhow::Result<Vec<u8>> {
        let mut rng = ringfence_keys::system_rng()?;
        let (study, round) = (&self.study, self.manifest.digest());
        let update = QuantizedUpdate::quantize(update, &study.layout, &study.packing, &mut rng)?;
        let context = EncryptionContext {
            round: &round,
            packing: &study.packing,
            check_key: &self.check_key,
        };
        let mut body = Vec::with_capacity(self.body.len());
        OneTimeKey::generate(&mut rng).encrypt(&update, context, &mut rng, &mut body)?;
        Ok(body)
    }

    fn contribute(&self, update: &[f32]) -> anyhow::Result<(Contribution, Vec<u8>)> {
        let mut rng = ringfence_keys::system_rng()?;
        let study = &self.study;
        let identity = self.identities.first().context("no sites")?;
        let update = QuantizedUpdate::quantize(update, &study.layout, &study.packing, &mut rng)?;
        let mut body = Vec::with_capacity(self.body.len());
        let made = Contribution::make(
            study,
            &self.manifest,
            identity,
            &self.check_key,
            &update,
            &mut rng,
            &mut body,
        )?;
        Ok((made, body))
    }

    fn add(&self, sum: &mut [u8], body: &[u8]) -> anyhow::Result<()> {
        Ok(add_words(sum, body)?)
    }

    fn open(&self) -> anyhow::Result<Vec<f32>> {
        // `decode` refuses a sum that is not exactly the plain one.
        let opened = self.decode(&self.key_sum()?)?;
        Ok(mean(&opened.sums, opened.sites, &self.study.layout, &self.study.packing))
    }
}

/// A whole round: the sum is opened by a recipient from the holders' sealed openings and compared
/// with the plain sum. `share_seconds` is measured on a model of one value, as contribution less
/// encryption: sharing does not depend on the model, and the difference of two long times would
/// drown it. Uploads are counted for a site that is a key holder.
pub(super) fn run(workload: &Workload) -> anyhow::Result<Option<Row>> {
    let round = FinishedRound::of(&workload.updates, workload.bits, CLIP)?;
    let update = workload.one()?;
    let (encrypt_seconds, _) = workload.time(|| round.encrypt(black_box(update)))?;
    let mut sum = round.sum.clone();
    let (add_seconds, ()) = workload.time(|| round.add(&mut sum, black_box(&round.body)))?;
    let (open_seconds, mean) = workload.time(|| round.open())?;

    let tiny: Vec<Vec<f32>> = workload.first(1).updates;
    let tiny_round = FinishedRound::of(&tiny, workload.bits, CLIP)?;
    let value = tiny.first().context("no sites")?;
    let (whole, _) = workload.time(|| tiny_round.contribute(black_box(value)))?;
    let (encrypting, _) = workload.time(|| tiny_round.encrypt(black_box(value)))?;

    let (made, body) = round.contribute(update)?;
    let envelopes: usize = made.envelopes.iter().map(Vec::len).sum();
    let opening = round.openings.first().context("no openings")?;
    let control = json::compact(&made.header).len() + frame::encode(opening)?.len();
    let study = &round.study;
    let threshold = &study.threshold;
    Ok(Some(row(
        "ringfence",
        workload,
        Costs {
            encrypt_seconds,
            share_seconds: (whole - encrypting).max(0.0),
            body_bytes: body.len() as f64,
            upload_bytes: (body.len() + envelopes + control) as f64,
            add_seconds,
            open_seconds,
            max_error: workload.max_error(&mean)?,
        },
        format!(
            "one-time Ring-LWE keys (std64: N = 4096, 64-bit q, sigma 6.4; >= 192 bits classical \
             and quantum), {} values a coefficient, keys shared among {} holders ({threshold:?}), \
             stochastic rounding; bytes include {} envelopes, header and opening.",
            study.packing.slots,
            round.openings.len(),
            made.envelopes.len(),
        ),
    )))
}
