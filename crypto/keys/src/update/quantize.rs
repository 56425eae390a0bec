//! Quantizing an update: clip to `[-C, C]`, round stochastically to `b` bits, offset to unsigned.
//!
//! `y = (clip(x) + C) * ((2^b - 1) / (2C))`, every operation in double precision, taken to the
//! nearest multiple of 2^-28 (the even one of two), rounded down after adding a uniform multiple of
//! 2^-28 in [0, 1), and at most `2^b - 1`: unbiased, and off by at most one step. The uniform
//! multiple is the upper 28 bits of four bytes of randomness, read as a little-endian number.

use std::fmt;

use rand::CryptoRng;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::vectorized;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::randomness::BulkRandomness;

/// A site's quantized update in layout order. As secret as the update itself.
#[derive(ZeroizeOnDrop)]
pub struct QuantizedUpdate {
    values: Vec<u32>,
}

/// An update that does not fit the study.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QuantizeError {
    /// Too few or too many values.
    #[error(
        "the update has {got} values, the study's layout has {expected}; compare tensor names and shapes with `ringfence study show`"
    )]
    Length {
        /// Values of the layout.
        expected: usize,
        /// Values that came.
        got: usize,
    },
    /// NaN or an infinity.
    #[error(
        "value {index} of tensor {tensor:?} is {value}; expected finite numbers (did training diverge?)"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// Index inside it, row-major.
        index: usize,
        /// What came.
        value: f32,
    },
}

impl QuantizedUpdate {
    /// Quantizes an update given as the values of all tensors in layout order.
    ///
    /// # Errors
    /// [`QuantizeError`] when the number of values differs or one is not finite.
    pub fn quantize(
        update: &[f32],
        layout: &Layout,
        packing: &Packing,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, QuantizeError> {
        Self::quantize_scaled(update, 1.0, layout, packing, rng)
    }

    /// As [`QuantizedUpdate::quantize`], of the update times a factor.
    pub(crate) fn quantize_scaled(
        update: &[f32],
        factor: f64,
        layout: &Layout,
        packing: &Packing,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, QuantizeError> {
        let expected = layout.values();
        if update.len() != expected {
            return Err(QuantizeError::Length { expected, got: update.len() });
        }
        let quantizer = Quantizer::new(layout, packing);
        let randomness = BulkRandomness::draw(rng);
        let mut quantized = Self { values: vec![0; expected] };
        let mut dither = Zeroizing::new([0; RING_DEGREE * 4]);
        let mut wide = Zeroizing::new([0; RING_DEGREE]);
        let mut scaled = Zeroizing::new([0.0; RING_DEGREE]);
        let parts = update.chunks(RING_DEGREE).zip(quantized.values.chunks_mut(RING_DEGREE));
        for (index, (part, out)) in parts.enumerate() {
            randomness.block(index as u64).fill(dither.as_mut_slice());
            wide.fill(0);
            let (first, dither) = (index * RING_DEGREE, dither.as_slice());
            let at = Place { quantizer: &quantizer, first, dither, shift: 0 };
            for (scaled, value) in scaled.iter_mut().zip(part) {
                *scaled = (f64::from(*value) * factor) as f32;
            }
            quantizer.place(&scaled[..part.len()], at, wide.as_mut_slice())?;
            for (out, wide) in out.iter_mut().zip(wide.iter()) {
                *out = *wide as u32;
            }
        }
        Ok(quantized)
    }

    /// The quantized values, in layout order.
    pub fn expose(&self) -> &[u32] {
        &self.values
    }
}

impl fmt::Debug for QuantizedUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuantizedUpdate({} values)", self.values.len())
    }
}

/// The mean that an opened sum stands for: `-C + 2C * (sum - n B) / (n (2^b - 1))`, tensor by tensor.
///
/// `sums` holds one sum for each value of the layout, over `sites` contributions. All sites must
/// get the same bits: it is computed as `(((sum - n B) / (n (2^b - 1))) * 2) * C - C`, every
/// operation in double precision, and rounded to float32 once, at the end. Where sites add noise
/// (`B` above 0) the mean may lie outside `[-C, C]`: to clip it would bias it.
pub fn mean(sums: &[u64], sites: usize, layout: &Layout, packing: &Packing) -> Vec<f32> {
    let mut means = Means::new(sites, layout, packing);
    means.extend(sums);
    means.finish()
}

/// [`mean`] of sums that come in pieces.
pub(crate) struct Means<'a> {
    tensors: std::slice::Iter<'a, TensorLayout>,
    /// Clip bound and values to come of the tensor at hand.
    clip: f64,
    left: usize,
    limit: f64,
    /// What the noise bounds of all contributions add to a sum.
    offset: f64,
    mean: Vec<f32>,
}

impl<'a> Means<'a> {
    pub(crate) fn new(sites: usize, layout: &'a Layout, packing: &Packing) -> Self {
        let limit = packing.value_limit() as f64 * sites as f64;
        let offset = packing.noise_offset(sites) as f64;
        let mean = Vec::with_capacity(layout.values());
        Self { tensors: layout.tensors.iter(), clip: 0.0, left: 0, limit, offset, mean }
    }

    /// Takes further sums; those beyond the layout are left out.
    pub(crate) fn extend(&mut self, mut sums: &[u64]) {
        while !sums.is_empty() {
            while self.left == 0 {
                let Some(tensor) = self.tensors.next() else { return };
                (self.clip, self.left) = (f64::from(tensor.clip), tensor.values().unwrap_or(0));
            }
            let run;
            (run, sums) = sums.split_at(self.left.min(sums.len()));
            self.left -= run.len();
            // The vectorised loop wants places to write to: a piece at a time stays in the cache.
            let mut piece = [0.0; 1024];
            for run in run.chunks(piece.len()) {
                let piece = &mut piece[..run.len()];
                mean_run(run, self.offset, self.limit, self.clip, piece);
                self.mean.extend_from_slice(piece);
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<f32> {
        self.mean
    }
}

vectorized! {
    fn mean_run(sums: &[u64], offset: f64, limit: f64, clip: f64, out: &mut [f32]) {
        for (out, sum) in out.iter_mut().zip(sums) {
            // Sums and offset are below 2^46, so that their difference is exact.
            *out = ((*sum as f64 - offset) / limit * 2.0 * clip - clip) as f32;
        }
    }
}

/// A value of an update as it comes to encryption: a float to be quantized, an integer that
/// [`QuantizedUpdate`] holds already, or one with noise of a
/// [`NoisedUpdate`](super::site_noise::NoisedUpdate).
pub trait Value: Copy + Default + Send + Sync + zeroize::Zeroize + sealed::Value {}
impl Value for f32 {}
impl Value for u32 {}

/// An update whose values can be encrypted as they are.
pub trait IntegerUpdate {
    /// What its values are.
    type Value: Value;

    /// All values, in layout order.
    fn values(&self) -> &[Self::Value];
}

impl IntegerUpdate for QuantizedUpdate {
    type Value = u32;

    fn values(&self) -> &[u32] {
        &self.values
    }
}

pub(crate) mod sealed {
    use super::{Place, QuantizeError};

    pub trait Value: Sized {
        /// Whether noise has been added: what a packing with room for noise takes, and no other.
        const NOISED: bool = false;

        /// Adds quantized `values` into `out`.
        fn place(values: &[Self], at: Place<'_>, out: &mut [u64]) -> Result<(), QuantizeError>;
    }

    impl Value for f32 {
        fn place(values: &[f32], at: Place<'_>, out: &mut [u64]) -> Result<(), QuantizeError> {
            at.quantizer.place(values, at, out)
        }
    }

    impl Value for u32 {
        fn place(values: &[u32], at: Place<'_>, out: &mut [u64]) -> Result<(), QuantizeError> {
            at.place_integers(values.iter().copied(), out);
            Ok(())
        }
    }
}

/// Where values go, and how floats among them are quantized.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    quantizer: &'a Quantizer<'a>,
    /// Number of the first value in the update.
    first: usize,
    /// Four bytes for each value.
    dither: &'a [u8],
    /// Bits that quantized values are shifted up by.
    shift: u32,
}

impl Place<'_> {
    /// Adds integers into `out`.
    pub(crate) fn place_integers(&self, values: impl Iterator<Item = u32>, out: &mut [u64]) {
        for (out, value) in out.iter_mut().zip(values) {
            *out |= u64::from(value) << self.shift;
        }
    }
}

/// Clip bounds by place in the flat update, and the number of steps.
pub struct Quantizer<'a> {
    layout: &'a Layout,
    packing: &'a Packing,
    /// Place of the first value after each tensor.
    ends: Vec<usize>,
    limit: f64,
}

impl<'a> Quantizer<'a> {
    /// The quantizer of a study.
    pub(crate) fn new(layout: &'a Layout, packing: &'a Packing) -> Self {
        let sizes = layout.tensors.iter().map(|tensor| tensor.values().unwrap_or(0));
        let ends = sizes
            .scan(0, |end, size| {
                *end += size;
                Some(*end)
            })
            .collect();
        Self { layout, packing, ends, limit: packing.value_limit() as f64 }
    }

    /// Slots, scale and wire words.
    pub(crate) fn packing(&self) -> &'a Packing {
        self.packing
    }

    /// Number of values of the whole update.
    pub(crate) fn values(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Fills the coefficients of a block with its values, slot by slot; the first value of all
    /// counts the site. `values` are those of the update that lie in the block, `dither` four bytes
    /// for each value of a block.
    pub(crate) fn fill_block<V: Value>(
        &self,
        block: usize,
        values: &[V],
        dither: &[u8],
        coefficients: &mut [u64; RING_DEGREE],
    ) -> Result<(), QuantizeError> {
        let packing = self.packing;
        coefficients.fill(0);
        // Value v of a block is the update's value v - 1 in block 0, where value 0 is the count.
        let counted = usize::from(block == 0);
        coefficients[0] = counted as u64;
        let first = block * packing.block_values() - (1 - counted);
        for slot in 0..usize::from(packing.slots) {
            let skipped = if slot == 0 { counted } else { 0 };
            let start = (slot * RING_DEGREE + skipped - counted).min(values.len());
            let end = ((slot + 1) * RING_DEGREE - counted).min(values.len());
            let at = Place {
                quantizer: self,
                first: first + start,
                dither: &dither[(slot * RING_DEGREE + skipped) * 4..],
                shift: slot as u32 * u32::from(packing.slot_bits),
            };
            V::place(&values[start..end], at, &mut coefficients[skipped..])?;
        }
        Ok(())
    }

    fn place(&self, values: &[f32], at: Place<'_>, out: &mut [u64]) -> Result<(), QuantizeError> {
        let Place { first, dither, shift, .. } = at;
        let mut done = 0;
        while done < values.len() {
            // The tensor that the next value belongs to, and as much of it as is here.
            let tensor = self.ends.partition_point(|end| *end <= first + done);
            let (Some(end), Some(layout)) =
                (self.ends.get(tensor), self.layout.tensors.get(tensor))
            else {
                return Err(QuantizeError::Length { expected: self.values(), got: first + done });
            };
            let next = values.len().min(end - first);
            let run = &values[done..next];
            let clip = f64::from(layout.clip);
            // Times a power of two, which is exact.
            let step = self.limit / (2.0 * clip) * f64::from(1 << FRACTION);
            let scale = Scale { clip, step, limit: self.limit as u64 };
            if !quantize_run(run, &dither[done * 4..next * 4], scale, shift, &mut out[done..next]) {
                let start = end - layout.values().unwrap_or(0);
                let at = run.iter().position(|value| !value.is_finite()).unwrap_or(0);
                let (tensor, value) = (layout.name.clone(), run[at]);
                return Err(QuantizeError::NotFinite {
                    tensor,
                    index: first + done + at - start,
                    value,
                });
            }
            done = next;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Scale {
    clip: f64,
    /// Fixed-point units a unit of the value.
    step: f64,
    limit: u64,
}

/// Fractional bits of the fixed-point number that is rounded stochastically. A value of up to 24
/// bits and these fit the 52 bits of a double's mantissa. The mean over all dithers is the
/// fixed-point number itself: the bias is half a unit, 2^-29 of a step, and what the three
/// operations before lose, 3 * 2^-53 of the number: a unit and a half at 24 bits, and a 20th of one
/// below 20.
const FRACTION: u32 = 28;

vectorized! {
    /// Quantizes values of one tensor; false if one is not finite.
    fn quantize_run(values: &[f32], dither: &[u8], scale: Scale, shift: u32, out: &mut [u64]) -> bool {
        let Scale { clip, step, limit } = scale;
        let (dithers, _) = dither.as_chunks::<4>();
        let mut finite = true;
        for ((out, value), dither) in out.iter_mut().zip(values).zip(dithers) {
            finite &= value.is_finite();
            // One instruction each, not branches; `f64::max` would handle NaN besides.
            let clipped = f64::from(*value);
            let clipped = if clipped > -clip { clipped } else { -clip };
            let clipped = if clipped < clip { clipped } else { clip };
            // Adding 2^52 leaves the nearest integer in the lower 52 bits of the double.
            let fixed = ((clipped + clip) * step + 4_503_599_627_370_496.0).to_bits();
            let fixed = fixed & ((1 << 52) - 1);
            let dither = u64::from(u32::from_le_bytes(*dither) >> (32 - FRACTION));
            *out |= ((fixed + dither) >> FRACTION).min(limit) << shift;
        }
        finite
    }
}

#[cfg(test)]
mod tests;
