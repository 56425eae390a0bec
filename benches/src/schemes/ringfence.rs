//! Ringfence itself. Everything of the comparison that touches `ringfence-keys` is in this file
//! and in this package's root.

use std::hint::black_box;

use anyhow::Context;
use ringfence_crypto::ring::words::add_words;
use ringfence_crypto::statement::HolderKeys;
use ringfence_crypto::wire::{frame, json};
use ringfence_keys::encrypt::contribution::{Contribution, ContributionContext};
use ringfence_keys::encrypt::one_time_key::{EncryptionContext, OneTimeKey};
use ringfence_testkit::{FinishedRound, Parties};

use super::measured::{Costs, row};
use super::report::Row;
use super::workload::{CLIP, Workload, time};
use crate::{decode, key_sum, round_over};

/// What measuring asks of a round; an API change of the cipher ends here.
pub(crate) trait MeasuredRound {
    /// Quantize, pack and encrypt one update under a fresh key into `body`.
    fn encrypt(&self, update: &[f32], body: &mut Vec<u8>) -> anyhow::Result<()>;
    /// The same, and share the key, seal the shares, hash and sign: the contribution.
    fn contribute(&self, update: &[f32]) -> anyhow::Result<(Contribution, Vec<u8>)>;
    /// Add one body.
    fn add(&self, sum: &mut [u8], body: &[u8]) -> anyhow::Result<()>;
    /// Unseal the openings, reconstruct the key sum, decrypt, check, decode.
    fn open_all(&self) -> Vec<f32>;
}

impl MeasuredRound for FinishedRound {
    fn encrypt(&self, update: &[f32], body: &mut Vec<u8>) -> anyhow::Result<()> {
        let mut rng = ringfence_keys::system_rng()?;
        let Parties { study, check_key, .. } = &*self.parties;
        let context = EncryptionContext::new(study, 0, &self.manifest, check_key);
        body.clear();
        let mut encryption = OneTimeKey::generate(&mut rng).start(context, &mut rng)?;
        encryption.update(update, body)?;
        encryption.finish(body)?;
        Ok(())
    }

    fn contribute(&self, update: &[f32]) -> anyhow::Result<(Contribution, Vec<u8>)> {
        let mut rng = ringfence_keys::system_rng()?;
        let Parties { study, check_key, identities, .. } = &*self.parties;
        let context = ContributionContext {
            study,
            manifest: &self.manifest,
            holder_keys: &HolderKeys::resolve(study, &self.manifest, &[])?,
            identity: identities.first().context("no sites")?,
            check_key,
            spent: None,
        };
        let mut body = Vec::with_capacity(self.body.len());
        let made = Contribution::stream(context, &mut rng, &mut body, |encryption, body| {
            encryption.update(update, body)
        })?;
        Ok((made, body))
    }

    fn add(&self, sum: &mut [u8], body: &[u8]) -> anyhow::Result<()> {
        Ok(add_words(sum, body, self.parties.study.packing.wire_bits)?)
    }

    fn open_all(&self) -> Vec<f32> {
        self.open_mean(&key_sum(self)).mean().to_vec()
    }
}

/// Seconds to share a key and to seal the shares, measured as contribution less encryption. On a
/// round over one value: sharing does not depend on the model, and the difference of two long
/// times would drown it.
pub(crate) fn sharing_seconds(
    tiny: &FinishedRound,
    update: &[f32],
    repetitions: usize,
) -> anyhow::Result<f64> {
    let mut body = Vec::new();
    let (whole, _) = time(repetitions, || tiny.contribute(black_box(update)))?;
    let (encrypting, ()) = time(repetitions, || tiny.encrypt(black_box(update), &mut body))?;
    Ok((whole - encrypting).max(0.0))
}

/// A whole round: the sum is opened by a recipient from the holders' sealed openings and compared
/// with the plain sum. Uploads are counted for a site that is a key holder.
pub(super) fn run(workload: &Workload) -> anyhow::Result<Option<Row>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workload.threads).build()?;
    pool.install(|| measure(workload)).map(Some)
}

fn measure(workload: &Workload) -> anyhow::Result<Row> {
    let round = round_over(&workload.updates, workload.bits, CLIP)?;
    let update = workload.one()?;
    // Into memory that is there already, as a body goes to a file or the network.
    let mut body = Vec::with_capacity(round.body.len());
    let (encrypt_seconds, ()) = workload.time(|| round.encrypt(black_box(update), &mut body))?;
    let mut sum = round.sum.clone();
    let (add_seconds, ()) = workload.time(|| round.add(&mut sum, black_box(&round.body)))?;
    let (open_seconds, mean) = workload.time(|| Ok(round.open_all()))?;
    // Refuses a sum that is not exactly the plain one.
    decode(&round, &key_sum(&round))?;

    let tiny = workload.first(1);
    let tiny_round = round_over(&tiny.updates, workload.bits, CLIP)?;
    let share_seconds = sharing_seconds(&tiny_round, tiny.one()?, workload.repetitions)?;

    let (made, body) = round.contribute(update)?;
    let envelopes: usize = made.envelopes.iter().map(Vec::len).sum();
    let opening = round.openings.first().context("no openings")?;
    let control = json::compact(&made.header).len() + frame::encode(opening.frame())?.len();
    let study = &round.parties.study;
    let threshold = &study.threshold;
    let mut row = row(
        "ringfence",
        workload,
        Costs {
            encrypt_seconds,
            share_seconds,
            body_bytes: body.len() as f64,
            upload_bytes: (body.len() + envelopes + control) as f64,
            add_seconds,
            open_seconds,
            max_error: workload.max_error(&mean)?,
        },
        format!(
            "one-time Ring-LWE keys (std64: N = 4096, 64-bit q, sigma 6.4; >= 192 bits, \
             classical and quantum), {} values a coefficient, keys shared among {} holders ({threshold:?}), \
             stochastic rounding; bytes include {} envelopes, header and opening.",
            study.packing.slots,
            round.openings.len(),
            made.envelopes.len(),
        ),
    );
    row.threads = workload.threads;
    Ok(row)
}
