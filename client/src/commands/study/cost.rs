//! `ringfence study cost`: what a study would cost and tolerate, before anybody makes it.

use std::time::Instant;

use ringfence_crypto::Digest;
use ringfence_crypto::id::ManifestId;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::statement::Summands;
use ringfence_crypto::wire::json;
use ringfence_keys::encrypt::check::CheckKey;
use ringfence_keys::encrypt::one_time_key::{EncryptionContext, OneTimeKey};
use ringfence_keys::study::cost::{CostRequest, StudyCost};
use ringfence_keys::study::participation::{Forecast, Participation};
use ringfence_options::at_least_one;
use serde::Serialize;

/// Arguments of `ringfence study cost`.
#[derive(Debug, clap::Args)]
pub(crate) struct Cost {
    /// Values of the model.
    #[arg(long, value_parser = at_least_one::<usize>)]
    parameters: usize,
    /// Sites of the roster.
    #[arg(long)]
    sites: usize,
    /// Bits of a quantized value.
    #[arg(long, default_value_t = 16)]
    bits: u8,
    /// Key holders a round (m); all sites up to 16 unless given.
    #[arg(long)]
    holders: Option<u16>,
    /// Sites that may collude (c); a quarter of the holders unless given.
    #[arg(long)]
    collusion: Option<u16>,
    /// Key words a sharing polynomial (l); as many as cost no further opening unless given.
    #[arg(long)]
    packing: Option<u16>,
    /// Sites that may be gone in a round that must succeed all the same.
    #[arg(long, default_value_t = 0)]
    drop_outs: u16,
    /// Rounds over which sites may miss some: what the sums could tell of single sites then.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    rounds: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is printed: the cost, and what was measured here.
#[derive(Serialize)]
struct Printed {
    #[serde(flatten)]
    cost: StudyCost,
    /// Seconds to quantize and encrypt on this machine, from a measured sample.
    encrypt_seconds: f64,
    /// Threads that the sample used.
    threads: usize,
    /// Seconds of a site's traffic in a round on links of 10, 100 and 1,000 Mbit/s, computed.
    link_seconds: [f64; 3],
    /// Rounds of the forecasts.
    rounds: u32,
    /// What becomes of the sums where sites miss rounds, at several rates.
    drop_outs_by_chance: Vec<Forecast>,
}

/// The chances of a site to miss a round that are shown.
const DROP_OUTS: [f64; 4] = [0.01, 0.02, 0.05, 0.1];

/// Values of the sample that is encrypted to estimate the time: about 60 blocks.
const SAMPLE: usize = 500_000;

impl Cost {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let cost = StudyCost::derive(CostRequest {
            parameters: self.parameters,
            sites: self.sites,
            value_bits: self.bits,
            holders: self.holders,
            collusion: self.collusion,
            packing: self.packing,
            drop_outs: self.drop_outs,
        })?;
        let participation = Participation {
            sites: cost.sites,
            collusion: cost.threshold.collusion,
            min_sites: cost.min_sites,
            min_sites_apart: cost.threshold.usual_min_sites_apart(cost.sites),
            rounds: self.rounds,
        };
        let printed = Printed {
            rounds: self.rounds,
            drop_outs_by_chance: DROP_OUTS.map(|rate| participation.forecast(rate)).into(),
            encrypt_seconds: encrypt_seconds(&cost)?,
            threads: rayon::current_num_threads(),
            link_seconds: [10.0, 100.0, 1000.0].map(|rate| cost.link_seconds(rate)),
            cost,
        };
        if self.json {
            println!("{}", String::from_utf8_lossy(&json::pretty(&printed)));
        } else {
            print!("{}", describe(&printed));
        }
        Ok(())
    }
}

/// Encrypts a sample, best of three, and scales the time to the model.
fn encrypt_seconds(cost: &StudyCost) -> anyhow::Result<f64> {
    let sample = cost.parameters.min(SAMPLE);
    let tensor = TensorLayout { name: "w".into(), shape: vec![u32::try_from(sample)?], clip: 1.0 };
    let layout = Layout { tensors: vec![tensor] };
    let values = vec![0.5f32; sample];
    let mut rng = ringfence_keys::system_rng()?;
    let check_key = CheckKey::generate(&mut rng);
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        let context = EncryptionContext {
            manifest: ManifestId(Digest::of(b"cost")),
            packing: &cost.packing,
            layout: &layout,
            range: Summands::alike(1, &cost.packing),
            check_key: &check_key,
        };
        let mut encryption = OneTimeKey::generate(&mut rng).start(context, &mut rng)?;
        encryption.update(&values, &mut std::io::sink())?;
        encryption.finish(&mut std::io::sink())?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    let blocks = cost.packing.blocks(sample)?;
    Ok(best * cost.blocks as f64 / blocks as f64)
}

fn describe(printed: &Printed) -> String {
    let Printed { cost, encrypt_seconds, threads, link_seconds, rounds, .. } = printed;
    let (packing, threshold) = (&cost.packing, &cost.threshold);
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let [slow, middle, fast] = link_seconds;
    let rows = [
        (
            "model",
            format!(
                "{} values of {} bits, {} sites",
                cost.parameters, packing.value_bits, cost.sites
            ),
        ),
        (
            "wire words",
            format!(
                "{} bits, {} slots of {} bits above a scale of 2^{}; {} blocks",
                packing.wire_bits,
                packing.slots,
                packing.slot_bits,
                packing.delta_bits,
                cost.blocks
            ),
        ),
        (
            "body",
            format!(
                "{:.3} MB, {:.3} bytes a parameter (float32: 4)",
                megabytes(cost.body_bytes),
                cost.body_bytes_per_parameter
            ),
        ),
        (
            "envelopes",
            format!(
                "{:.1} kB a contribution; {:.1} kB an opening, of which a site fetches {:.1} kB",
                cost.envelope_bytes as f64 / 1e3,
                cost.opening_bytes as f64 / 1e3,
                cost.opening_part_bytes as f64 / 1e3
            ),
        ),
        (
            "a site's traffic",
            format!(
                "{:.3} MB up, {:.3} MB down a round, as key holder; of that {:.1} and {:.1} kB are statements, proofs and what HTTP adds",
                megabytes(cost.upload_bytes),
                megabytes(cost.download_bytes),
                cost.messages_up_bytes as f64 / 1e3,
                cost.messages_down_bytes as f64 / 1e3
            ),
        ),
        (
            "on the line",
            format!(
                "{slow:.2} s at 10 Mbit/s, {middle:.2} s at 100, {fast:.3} s at 1000 (computed)"
            ),
        ),
        ("encrypt", format!("{encrypt_seconds:.4} s here on {threads} threads (from a sample)")),
        (
            "key holders",
            format!(
                "m = {}, of which Q = {} endorse and t = {} open; {} may be silent",
                threshold.holders,
                threshold.endorsements,
                threshold.opening,
                threshold.silent_tolerated()
            ),
        ),
        (
            "culprits",
            match threshold.names() {
                true => "a contributor that breaks the format is named and taken out".to_owned(),
                false => "NOBODY CAN BE NAMED (m < 3c + l): a contributor that breaks the format makes its round fail".to_owned(),
            },
        ),
        (
            "collusion",
            format!(
                "up to c = {} sites with the aggregator learn nothing of a single update; l = {}",
                threshold.collusion, threshold.packing
            ),
        ),
        ("contributions", format!("at least {} of {} for a sum", cost.min_sites, cost.sites)),
        (
            "one site",
            format!(
                "moves the mean by 1/{} of the clip bound at most, in the smallest set by {:.3} of it (equal weights); a malicious one to anywhere within the clip bound if it guesses the others' sum",
                cost.sites, cost.reach.at_worst
            ),
        ),
        (
            "security",
            format!(
                "{:.1} bits classical, {:.1} bits quantum (core-SVP, two honest sites in the sum)",
                cost.security_classical, cost.security_quantum
            ),
        ),
        (
            "wrong digit",
            match cost.failure_log2 {
                Some(log2) => format!("below 2^{log2:.0} for the whole model"),
                None => "impossible: the noise is bounded below half the scale".to_owned(),
            },
        ),
    ];
    let rows: String = rows.iter().map(|(name, text)| format!("{name:>17}  {text}\n")).collect();
    let of = printed.drop_outs_by_chance.iter().map(|forecast| by_chance(*forecast, cost));
    rows + &format!(
        "\nWhere each site misses a round by chance, over {rounds} rounds (played through {} times), were updates the same in all rounds:\n",
        printed.drop_outs_by_chance.first().map_or(0, |forecast| forecast.played)
    ) + &of.collect::<String>()
}

/// What a rate of drop-outs does, without a policy and with one.
fn by_chance(forecast: Forecast, cost: &StudyCost) -> String {
    let Forecast { drop_out, singled_out, opened_apart, counted_apart, .. } = forecast;
    let percent = |part: f64| format!("{:.0} %", part * 100.0);
    format!(
        "{:>17}  some site is singled out in {} of the studies; with --privacy sets-apart none is, {} of the rounds give a sum (over {} at least), and {} of the contributions count\n",
        percent(drop_out),
        percent(singled_out),
        percent(opened_apart),
        cost.threshold.usual_min_sites_apart(cost.sites),
        percent(counted_apart)
    )
}
