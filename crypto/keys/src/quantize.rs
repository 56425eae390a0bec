//! Quantizing an update: clip to `[-C, C]`, round stochastically to `b` bits, offset to unsigned.
//!
//! `y = (clip(x) + C) / (2C) * (2^b - 1)`, rounded down after adding a uniform number in [0, 1):
//! unbiased, and off by less than one step.

use std::fmt;

use rand::CryptoRng;
use ringfence_crypto::layout::Layout;
use ringfence_crypto::packing::Packing;
use zeroize::ZeroizeOnDrop;

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
        let expected = layout.values();
        if update.len() != expected {
            return Err(QuantizeError::Length { expected, got: update.len() });
        }
        let limit = packing.value_limit() as f64;
        let mut quantized = Self { values: Vec::with_capacity(expected) };
        let mut rest = update;
        for tensor in &layout.tensors {
            let (values, after) = rest.split_at(tensor.values().unwrap_or(0).min(rest.len()));
            rest = after;
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                let (tensor, value) = (tensor.name.clone(), values[index]);
                return Err(QuantizeError::NotFinite { tensor, index, value });
            }
            let clip = f64::from(tensor.clip);
            let step = limit / (2.0 * clip);
            quantized.values.extend(values.iter().map(|value| {
                // min and max, not branches. 32 random bits: the bias is below 2^-32 of a step.
                let y = (f64::from(*value).max(-clip).min(clip) + clip) * step;
                let dither = f64::from(rng.next_u32()) / 4_294_967_296.0;
                (y + dither).min(limit) as u32
            }));
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

/// The mean that an opened sum stands for: `-C + 2C * sum / (n (2^b - 1))`, tensor by tensor.
///
/// `sums` holds one sum for each value of the layout, over `sites` contributions.
pub fn mean(sums: &[u64], sites: usize, layout: &Layout, packing: &Packing) -> Vec<f32> {
    let limit = packing.value_limit() as f64 * sites as f64;
    let clips = layout.tensors.iter().flat_map(|tensor| {
        std::iter::repeat_n(f64::from(tensor.clip), tensor.values().unwrap_or(0))
    });
    sums.iter()
        .zip(clips)
        .map(|(sum, clip)| (*sum as f64 / limit * 2.0 * clip - clip) as f32)
        .collect()
}

/// Packs quantized values into the coefficients of successive blocks; the first slot of all
/// counts the site.
pub(crate) fn pack_block(
    values: &[u32],
    packing: &Packing,
    block: usize,
    coefficients: &mut [u64],
) {
    let slots = usize::from(packing.slots);
    for (index, coefficient) in coefficients.iter_mut().enumerate() {
        let first = (block * ringfence_crypto::params::RING_DEGREE + index) * slots;
        *coefficient = (0..slots)
            .map(|slot| {
                // Value 0 is the count; value v > 0 is the update's value v - 1.
                let value = match (first + slot).checked_sub(1) {
                    None => 1,
                    Some(place) => u64::from(values.get(place).copied().unwrap_or(0)),
                };
                value << (slot * usize::from(packing.slot_bits))
            })
            .sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;
    use proptest::prelude::*;
    use ringfence_crypto::layout::TensorLayout;

    fn layout(values: usize, clip: f32) -> Layout {
        let tensor = TensorLayout { name: "w".into(), shape: vec![values as u32], clip };
        Layout { tensors: vec![tensor] }
    }

    proptest! {
        #[test]
        fn error_stays_below_one_step(
            update in prop::collection::vec(-0.9f32..0.9, 1..50), bits in 2u8..=24, seed: u64,
        ) {
            let packing = Packing::derive(bits, 3).unwrap();
            let layout = layout(update.len(), 0.5);
            let quantized =
                QuantizedUpdate::quantize(&update, &layout, &packing, &mut rng(seed)).unwrap();
            let sums: Vec<u64> = quantized.expose().iter().map(|v| u64::from(*v)).collect();
            prop_assert!(sums.iter().all(|sum| *sum <= packing.value_limit()));
            let step = 1.0 / packing.value_limit() as f32;
            for (back, value) in mean(&sums, 1, &layout, &packing).iter().zip(&update) {
                let clipped = value.clamp(-0.5, 0.5);
                prop_assert!((back - clipped).abs() <= step + 1e-7, "{} from {}", back, value);
            }
        }
    }

    #[test]
    fn rounding_is_unbiased() {
        let packing = Packing::derive(4, 3).unwrap();
        let count = 200_000;
        let update = vec![0.123f32; count];
        let layout = layout(count, 0.5);
        let quantized = QuantizedUpdate::quantize(&update, &layout, &packing, &mut rng(7)).unwrap();
        let sums: Vec<u64> = quantized.expose().iter().map(|v| u64::from(*v)).collect();
        let back = mean(&sums, 1, &layout, &packing);
        let average = back.iter().map(|v| f64::from(*v)).sum::<f64>() / count as f64;
        // One step is 1/15; five standard deviations of the average of `count` roundings.
        let deviation = 5.0 * (1.0 / 15.0) / 2.0 / (count as f64).sqrt();
        assert!((average - f64::from(0.123f32)).abs() < deviation, "{average}");
    }

    #[test]
    fn names_the_tensor_and_the_value_that_is_not_finite() {
        let packing = Packing::derive(8, 3).unwrap();
        let quantize = |update: &[f32]| {
            QuantizedUpdate::quantize(update, &layout(2, 1.0), &packing, &mut rng(1))
        };
        let error = quantize(&[0.0, f32::NAN]).unwrap_err();
        assert!(error.to_string().contains("value 1 of tensor \"w\" is NaN"), "{error}");
        assert!(quantize(&[0.0, f32::INFINITY]).is_err());
        assert_eq!(quantize(&[0.0]).unwrap_err(), QuantizeError::Length { expected: 2, got: 1 });
    }

    #[test]
    fn count_comes_first_and_slots_follow() {
        let packing = Packing::derive(16, 3).unwrap();
        assert_eq!((packing.slots, packing.slot_bits), (3, 18));
        let mut coefficients = [0; 3];
        pack_block(&[5, 6, 7, 8], &packing, 0, &mut coefficients);
        assert_eq!(coefficients, [1 | 5 << 18 | 6 << 36, 7 | 8 << 18, 0]);
    }
}
