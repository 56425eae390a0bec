//! Differential privacy for a whole site: an update is clipped as a whole, quantized, and gets
//! integer noise before it is encrypted.
//!
//! An update `x` of `d` values is scaled to an L2 norm of at most `C` and quantized to
//! `q` in `0..=2^b - 1` with steps of `s = 2 C_t / (2^b - 1)` ([`quantize`](super::quantize)).
//! Neighbouring inputs differ in one site's contribution, which a fixed one takes the place of: the
//! reference `r`, `r_i = 2^(b-1) - (i mod 2)`, the two steps next to zero in turn. In integers,
//! after rounding, `||q - r||^2 <= Delta^2` must hold; while it does not, the update is scaled down a
//! little and rounded again, and after `TRIES` times the reference itself is sent. So the
//! sensitivity of the sum is `Delta` whatever rounding did, and as the divergences that accountants
//! bound are jointly quasi-convex, the bound for every outcome of rounding holds for the randomised
//! one. Values are `q + e + B`, with `e` from the [`discrete_gaussian`] and `B` its bound.
//!
//! How often an update was rounded is seen in the time that it takes, as training's own time is:
//! neither is part of what a sum shows.
//!
//! The numbers: [`parameters`].

use std::fmt;

use rand::CryptoRng;
use ringfence_crypto::layout::Layout;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::RING_DEGREE;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::quantize::{IntegerUpdate, Place, QuantizeError, QuantizedUpdate, Value, sealed};
use crate::randomness::BulkRandomness;
use crate::update::site_noise::discrete_gaussian::Candidates;
use crate::update::site_noise::parameters::SiteNoise;

pub mod discrete_gaussian;
pub mod inexact;
pub mod parameters;

/// How often an update is rounded before the reference is sent in its place.
const TRIES: usize = 30;

/// A quantized value with its noise and the noise bound added: at least 0, at most
/// `2^b - 1 + 2B`. Only [`SiteNoise::add`] makes others than zero.
#[derive(Clone, Copy, Default, Zeroize)]
pub struct NoisedValue(u32);

impl Value for NoisedValue {}

impl sealed::Value for NoisedValue {
    const NOISED: bool = true;

    fn place(values: &[Self], at: Place<'_>, out: &mut [u64]) -> Result<(), QuantizeError> {
        at.place_integers(values.iter().map(|value| value.0), out);
        Ok(())
    }
}

/// A site's update with its noise, in layout order. Still secret: one site's noise is a part of what
/// protects the sum.
#[derive(ZeroizeOnDrop)]
pub struct NoisedUpdate {
    values: Vec<NoisedValue>,
    #[zeroize(skip)]
    fate: Fate,
}

/// What happened to an update on its way to integers within the sensitivity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fate {
    /// Its L2 norm as it came.
    pub norm: f64,
    /// By how much it was scaled: 1 where clipping took nothing, 0 where the reference was sent.
    pub factor: f64,
}

impl NoisedUpdate {
    /// What clipping did to the update.
    pub fn fate(&self) -> Fate {
        self.fate
    }

    /// The values that are encrypted, in layout order: `q + e + B`.
    pub fn expose(&self) -> impl Iterator<Item = u32> {
        self.values.iter().map(|value| value.0)
    }
}

impl IntegerUpdate for NoisedUpdate {
    type Value = NoisedValue;

    fn values(&self) -> &[NoisedValue] {
        &self.values
    }
}

impl fmt::Debug for NoisedUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoisedUpdate({} values)", self.values.len())
    }
}

/// `r_i`.
fn reference(index: usize, packing: &Packing) -> u32 {
    (1 << (packing.value_bits - 1)) - (index % 2) as u32
}

/// `||q - r||^2`, exactly.
fn squared_distance(quantized: &[u32], packing: &Packing) -> u128 {
    let parts = quantized.chunks(RING_DEGREE).map(|part| {
        // Chunks begin at even places. Differences have at most 24 bits: below 2^60 a chunk.
        let square = |(index, value): (usize, &u32)| {
            u64::from(value.abs_diff(reference(index, packing))).pow(2)
        };
        u128::from(part.iter().enumerate().map(square).sum::<u64>())
    });
    parts.sum()
}

impl SiteNoise {
    /// Clips an update, given as the values of all tensors in layout order, quantizes it and adds
    /// noise. `rng` must be seeded by the operating system (see [`crate::system_rng`]).
    ///
    /// # Errors
    /// [`QuantizeError`] when the number of values differs or one is not finite.
    pub fn add(
        &self,
        update: &[f32],
        layout: &Layout,
        packing: &Packing,
        rng: &mut impl CryptoRng,
    ) -> Result<NoisedUpdate, QuantizeError> {
        let (quantized, fate) = self.quantize(update, layout, packing, rng)?;
        let mut values = vec![NoisedValue(0); update.len()];
        let randomness = BulkRandomness::draw(rng);
        let mut candidates = Candidates::new();
        let mut noise = Zeroizing::new([0; RING_DEGREE]);
        let parts = values.chunks_mut(RING_DEGREE).enumerate();
        for (index, part) in parts {
            let noise = &mut noise[..part.len()];
            self.sampler().fill(&mut randomness.block(index as u64), &mut candidates, noise);
            for (offset, (value, noise)) in part.iter_mut().zip(noise).enumerate() {
                let at = index * RING_DEGREE + offset;
                let sent = quantized.as_ref().and_then(|quantized| quantized.expose().get(at));
                let sent = sent.copied().unwrap_or(reference(at, packing));
                // At most 2^24 + 2 * 41,943,040, at least 0.
                *value = NoisedValue((sent + self.noise_bound()).wrapping_add_signed(*noise));
            }
        }
        Ok(NoisedUpdate { values, fate })
    }

    /// A quantized update within the sensitivity; none for the reference.
    fn quantize(
        &self,
        update: &[f32],
        layout: &Layout,
        packing: &Packing,
        rng: &mut impl CryptoRng,
    ) -> Result<(Option<QuantizedUpdate>, Fate), QuantizeError> {
        let norm = update.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        // What is not finite is left for the quantizer, which says where it stands.
        let beyond = norm.is_finite() && norm > self.clip();
        let mut factor = if beyond { self.clip() / norm } else { 1.0 };
        for _ in 0..TRIES {
            let quantized = QuantizedUpdate::quantize_scaled(update, factor, layout, packing, rng)?;
            let squared = squared_distance(quantized.expose(), packing);
            if squared <= u128::from(self.sensitivity_squared()) {
                return Ok((Some(quantized), Fate { norm, factor }));
            }
            factor *= self.scaling(squared as f64);
        }
        Ok((None, Fate { norm, factor: 0.0 }))
    }
}

#[cfg(test)]
mod tests;
