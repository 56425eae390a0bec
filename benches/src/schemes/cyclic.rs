//! The literal cyclic protocol of PPPML-HMI (Zhou et al. 2024), as Ringfence found it.
//!
//! A ring of sites holds ONE secret key. The initiator adds a Gaussian float mask to its update,
//! encrypts and passes the model on; every site adds its own encrypted update in turn; back at the
//! start the initiator decrypts, takes the mask off and divides. The encryption here is tfhe's
//! GLWE over fixed point (see [`super::glwe`]), in place of the paper's CKKS: the ring's faults do
//! not come from the cipher.
//!
//! Each known fault is a test below: two neighbours of a site recover its update by subtraction;
//! with two sites the result is the other's update; one silent site stops the round; a Gaussian
//! mask is no one-time pad; float masks lose precision; whoever holds the one key opens everything.

use std::hint::black_box;

use anyhow::{Context, ensure};
use rand::CryptoRng;

use super::glwe::{self, BLOCK, Expanded, SharedKey};
use super::measured::{Costs, row, system_rng};
use super::report::Row;
use super::workload::{CLIP, Workload};

/// Width of the initiator's mask, twice the clipping bound; the paper does not derive one.
const MASK_SIGMA: f64 = 2.0 * CLIP as f64;

/// Masks beyond this many widths would overflow; `2 exp(-50)` is below 2^-71.
const MASK_TAIL: f64 = 10.0;

/// A site that did not pass the model on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("site {site} is silent; nobody after it on the ring can go on, and the round is lost")]
struct Stopped {
    site: usize,
}

/// Fixed point on the torus: `value * 2^scale`, rounded.
#[derive(Clone, Copy)]
struct FixedPoint {
    scale: i32,
}

impl FixedPoint {
    /// The finest scale at which `sites` updates and a mask of width `sigma` cannot wrap around.
    fn new(sites: usize, sigma: f64) -> Self {
        let largest = sites as f64 * f64::from(CLIP) + MASK_TAIL * sigma;
        Self { scale: 63 - largest.log2().ceil() as i32 }
    }

    fn encode(self, values: &[f32]) -> Vec<u64> {
        let scale = 2f64.powi(self.scale);
        let mut words: Vec<u64> = values
            .iter()
            .map(|value| ((f64::from(*value) * scale).round() as i64).cast_unsigned())
            .collect();
        words.resize(values.len().next_multiple_of(BLOCK), 0);
        words
    }

    fn decode(self, words: &[u64], count: usize) -> Vec<f32> {
        let scale = 2f64.powi(-self.scale);
        let values = words.iter().take(count);
        values.map(|word| (word.cast_signed() as f64 * scale) as f32).collect()
    }
}

/// One round: what everybody shares.
struct Ring {
    key: SharedKey,
    point: FixedPoint,
    parameters: usize,
}

impl Ring {
    fn new(sites: usize, parameters: usize, sigma: f64) -> Self {
        let (key, point) = (SharedKey::generate(), FixedPoint::new(sites, sigma));
        Self { key, point, parameters }
    }

    fn encrypt(&mut self, values: &[f32]) -> Expanded {
        self.key.encrypt(self.point.encode(values)).decompress_into_glwe_ciphertext_list()
    }

    fn decrypt(&self, model: &Expanded) -> Vec<f32> {
        self.point.decode(&self.key.decrypt(model), self.parameters)
    }

    /// Passes the masked model once around; entry `k` is what site `k` hands to its successor.
    fn pass(
        &mut self,
        updates: &[Vec<f32>],
        mask: &[f32],
        silent: Option<usize>,
    ) -> Result<Vec<Expanded>, Stopped> {
        let mut hops: Vec<Expanded> = Vec::with_capacity(updates.len());
        for (site, update) in updates.iter().enumerate() {
            if silent == Some(site) {
                return Err(Stopped { site });
            }
            let model = match hops.last() {
                None => self.encrypt(&masked(update, mask)),
                Some(before) => {
                    let mut model = before.clone();
                    glwe::add(&mut model, &self.encrypt(update));
                    model
                }
            };
            hops.push(model);
        }
        Ok(hops)
    }

    /// The initiator's last step.
    fn finish(&self, model: &Expanded, mask: &[f32], sites: usize) -> Vec<f32> {
        let sum = self.decrypt(model);
        sum.iter().zip(mask).map(|(sum, mask)| (sum - mask) / sites as f32).collect()
    }
}

/// In float32, as the models are.
fn masked(update: &[f32], mask: &[f32]) -> Vec<f32> {
    update.iter().zip(mask).map(|(value, mask)| value + mask).collect()
}

/// Box-Muller: independent Gaussians of width `sigma`.
fn gaussian_mask(count: usize, sigma: f64, rng: &mut impl CryptoRng) -> Vec<f32> {
    // Half a step above zero: the logarithm stays finite.
    let mut uniform = || (f64::from(rng.next_u32()) + 0.5) / 4_294_967_296.0;
    let mut value = || {
        let (radius, angle) = ((-2.0 * uniform().ln()).sqrt(), std::f64::consts::TAU * uniform());
        (sigma * radius * angle.cos()) as f32
    };
    (0..count).map(|_| value()).collect()
}

/// The protocol's break, in the very round that is measured: sites 0 and 2 subtract what one sent
/// from what the other got. The largest error of the update of site 1 that they recover.
fn stolen_update(ring: &Ring, hops: &[Expanded], workload: &Workload) -> anyhow::Result<f64> {
    let (sent, got) = (hops.first().context("no hops")?, hops.get(1).context("no hops")?);
    let (sent, got) = (ring.decrypt(sent), ring.decrypt(got));
    let update = workload.updates.get(1).context("no sites")?;
    let stolen = got.iter().zip(&sent).map(|(got, sent)| got - sent);
    let errors = stolen.zip(update).map(|(stolen, value)| f64::from((stolen - value).abs()));
    let largest = errors.fold(0.0, f64::max);
    ensure!(largest < 1e-4, "the neighbours are off by {largest:e}: the break does not work");
    Ok(largest)
}

/// The row of the literal ring. `encrypt_seconds` and `add_seconds` are one hop's; the hops cannot
/// overlap, so a round takes at least `n` of them, which the settings state as measured.
pub(super) fn run(workload: &Workload) -> anyhow::Result<Option<Row>> {
    let (sites, parameters) = (workload.sites(), workload.parameters());
    let mut rng = system_rng()?;
    let mut ring = Ring::new(sites, parameters, MASK_SIGMA);
    let mask = gaussian_mask(parameters, MASK_SIGMA, &mut rng);
    let one = workload.one()?;

    let (encrypt_seconds, body) = workload.time(|| Ok(ring.encrypt(black_box(one))))?;
    let mut scratch = body.clone();
    let (add_seconds, ()) = workload.time(|| {
        glwe::add(&mut scratch, black_box(&body));
        Ok(())
    })?;
    let start = std::time::Instant::now();
    let hops = ring.pass(&workload.updates, &mask, None)?;
    let around = start.elapsed().as_secs_f64();
    let stolen = stolen_update(&ring, &hops, workload)?;
    let model = hops.into_iter().next_back().context("no sites")?;
    let (open_seconds, mean) =
        workload.time(|| Ok(ring.finish(black_box(&model), &mask, sites)))?;
    let max_error = workload.max_error(&mean)?;
    ensure!(max_error > 0.0, "a float mask cannot come off without a trace");
    let bytes = (8 * body.as_ref().len()) as f64;
    Ok(Some(Row {
        source: "Zhou et al., PPPML-HMI, 2024 (protocol); cipher as in tfhe-glwe".into(),
        ..row(
            "cyclic-pppml-hmi",
            workload,
            Costs {
                encrypt_seconds,
                share_seconds: 0.0,
                body_bytes: bytes,
                upload_bytes: bytes,
                add_seconds,
                open_seconds,
                max_error,
            },
            format!(
                "literal ring, float32 updates (not quantized) in fixed point under tfhe 1.8 \
                 GLWE, float Gaussian mask of width {MASK_SIGMA}. SEQUENTIAL: {sites} hops \
                 without any network took {}; every hop moves the whole model. BROKEN: here two \
                 neighbours recovered the update between them to within {stolen:.1e}; of two sites \
                 each learns the other's update, one silent site stops the ring (tests); ONE secret \
                 key. Simulated: no network.",
                super::report::seconds(around)
            ),
        )
    }))
}

#[cfg(test)]
#[path = "cyclic/faults.rs"]
mod faults;
