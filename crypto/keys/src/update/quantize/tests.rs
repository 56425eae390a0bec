//! Quantizing: exact means, one step at most, clip bounds, and floats like integers.

use super::*;
use crate::testing::rng;
use proptest::prelude::*;
use rand::Rng;
use ringfence_crypto::ring::packing::VALUE_BITS;

fn layout(values: usize, clip: f32) -> Layout {
    let tensor = TensorLayout { name: "w".into(), shape: vec![values as u32], clip };
    Layout { tensors: vec![tensor] }
}

proptest! {
    #[test]
    fn error_stays_below_one_step(
        update in prop::collection::vec(-0.9f32..0.9, 1..50), bits in 2u8..=24, seed: u64,
    ) {
        let packing = Packing::derive(bits, 0, 3, 1).unwrap();
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

/// Pieces of any size, tensors of different bounds, one of them empty.
#[test]
fn means_in_pieces_are_those_of_the_whole() {
    let tensor = |size: u32, clip| TensorLayout { name: size.to_string(), shape: vec![size], clip };
    let layout = Layout { tensors: vec![tensor(1500, 0.5), tensor(0, 9.0), tensor(7, 2.0)] };
    let packing = Packing::derive(16, 0, 3, 1).unwrap();
    let sums: Vec<u64> = (0..1507).map(|k| k * 131 % (3 * 65535)).collect();
    let expected: Vec<f32> = (0..)
        .zip(&sums)
        .map(|(k, sum)| {
            let clip = if k < 1500 { 0.5 } else { 2.0 };
            (*sum as f64 / (65535.0 * 3.0) * 2.0 * clip - clip) as f32
        })
        .collect();
    assert_eq!(mean(&sums, 3, &layout, &packing), expected);
    for piece in [1, 6, 1499, 1500, 1501] {
        let mut means = Means::new(3, &layout, &packing);
        sums.chunks(piece).for_each(|piece| means.extend(piece));
        means.extend(&[1, 2]);
        assert_eq!(means.finish(), expected, "pieces of {piece}");
    }
}

/// The noise bound of every site is taken off; noise beyond the quantizer's range stays.
#[test]
fn means_of_values_with_noise_by_hand() {
    let packing = Packing::derive(8, 1000, 3, 1).unwrap();
    let sums = [3000, 3000 + 3 * 255, 3383, 3000 - 255, 0, 3 * 2255];
    assert_eq!(packing.slot_limit(3), 3 * 2255);
    let clip = 0.255;
    let expected = [-clip, clip, 0.0005 * 2.0 / 3.0, -clip - 0.17, -clip - 2.0, clip + 2.0];
    for (found, expected) in mean(&sums, 3, &layout(6, 0.255), &packing).iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{found}, expected {expected}");
    }
    // As without noise, bit for bit.
    let plain = Packing::derive(8, 0, 3, 1).unwrap();
    let (with, without): (Vec<u64>, Vec<u64>) = (0..765).map(|sum| (sum + 3000, sum)).unzip();
    let layout = layout(765, 0.3);
    assert_eq!(mean(&with, 3, &layout, &packing), mean(&without, 3, &layout, &plain));
}

/// The mean of many roundings is the value, for values at the ends, between them and at every
/// width. By Hoeffding's bound the mean of `n` independent roundings, each within one step, is
/// off by `d` steps or more with a chance of at most `2 exp(-2 n d^2)`: 2^-41 at the `d` below, and
/// 2^-34 for all 69 means together.
#[test]
fn rounding_is_unbiased() {
    let count = 100_000;
    let d = (42.0 * std::f64::consts::LN_2 / (2.0 * f64::from(count))).sqrt();
    for bits in VALUE_BITS {
        let packing = Packing::derive(bits, 0, 3, 1).unwrap();
        let step = 1.0 / packing.value_limit() as f64;
        for value in [-0.4999f32, 0.123, 0.25] {
            let update = vec![value; count as usize];
            let layout = layout(update.len(), 0.5);
            let quantized =
                QuantizedUpdate::quantize(&update, &layout, &packing, &mut rng(bits.into()));
            let total: u64 = quantized.unwrap().expose().iter().map(|v| u64::from(*v)).sum();
            let mean = total as f64 / f64::from(count);
            let exact = (f64::from(value) + 0.5) / step;
            assert!((mean - exact).abs() < d, "{bits} bits, {value}: {mean} for {exact}");
        }
    }
}

/// A packing of which the quantizer uses the value bits only; deriving one takes a millisecond.
fn packing_of(value_bits: u8) -> Packing {
    Packing {
        value_bits,
        noise_bound: 0,
        slot_bits: value_bits + 2,
        slots: 1,
        delta_bits: 30,
        wire_bits: 64,
    }
}

/// One value, quantized with this dither.
fn quantized(quantizer: &Quantizer<'_>, value: f32, dither: u32) -> u64 {
    let dither = (dither << (32 - FRACTION)).to_le_bytes();
    let at = Place { quantizer, first: 0, dither: &dither, shift: 0 };
    let mut out = [0];
    quantizer.place(&[value], at, &mut out).unwrap();
    out[0]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The exact mean over all 2^28 dithers, without going through them: the result does not fall
    /// as the dither rises and rises by one at most, so where it rises gives the mean. It is
    /// compared with the value in integers: `value = x / 2^20`, `clip = k / 2^20`, and the mean
    /// `y` should be `(x + k) (2^b - 1) / 2k`.
    #[test]
    fn the_mean_over_all_dithers_is_the_value(
        k in prop_oneof![1i64..100, 1i64..1 << 24], part in -1.0f64..=1.0, bits in VALUE_BITS,
        samples: [u32; 8],
    ) {
        let scale = |number: i64| number as f32 / f32::from_bits(0x4980_0000);
        prop_assert_eq!(scale(1 << 20), 1.0);
        let x = (part * k as f64) as i64;
        let (packing, layout) = (packing_of(bits), layout(1, scale(k)));
        let quantizer = Quantizer::new(&layout, &packing);
        let ask = |dither| quantized(&quantizer, scale(x), dither);
        let (all, lowest) = (1u32 << FRACTION, ask(0));
        // The first dither that rounds up.
        let (mut low, mut high) = (0, all);
        while low + 1 < high {
            let middle = low.midpoint(high);
            if ask(middle) > lowest { high = middle } else { low = middle }
        }
        for dither in samples.into_iter().map(|sample| sample >> 4).chain([low, all - 1]) {
            prop_assert_eq!(ask(dither), lowest + u64::from(dither >= high), "{}", dither);
        }
        let mean = i128::from(lowest) * i128::from(all) + i128::from(all - high);
        let (span, limit) = (2 * i128::from(k), i128::from(packing.value_limit()));
        let exact = i128::from(x + k) * limit * i128::from(all);
        // Half a unit of 2^-28, and what two operations (here the sum is exact) lose of a number
        // of b + 28 bits: 2^-52 of it, a 32nd of a unit at 19 bits and a whole one at 24.
        let unit = if bits < 20 { span / 2 + span / 32 + 1 } else { span * 3 / 2 + 1 };
        prop_assert!((mean * span - exact).abs() <= unit, "{} for {}", mean, exact / span);
        // Never further than a step from the value, but for that unit.
        for rounded in [lowest, lowest + u64::from(high < all)] {
            let off = i128::from(rounded) * span - i128::from(x + k) * limit;
            prop_assert!(off.abs() * i128::from(all) <= span * i128::from(all) + unit, "{}", off);
        }
    }

    /// What lies at a clip bound or beyond it is exactly 0 or the largest value, whatever the
    /// dither: clipping is not undone by rounding.
    #[test]
    fn clip_bounds_are_exact(
        clip in prop_oneof![
            prop::sample::select(vec![f32::from_bits(1), f32::MIN_POSITIVE, 0.1, 1.0, f32::MAX]),
            any::<f32>().prop_map(f32::abs).prop_filter("positive", |c| *c > 0.0 && c.is_finite()),
        ],
        bits in VALUE_BITS, sample: u32,
    ) {
        let (packing, layout) = (packing_of(bits), layout(1, clip));
        let (quantizer, limit) = (Quantizer::new(&layout, &packing), packing.value_limit());
        let beyond = [clip, clip.next_up().min(f32::MAX), f32::MAX];
        for dither in [0, 1, sample >> 4, (1 << FRACTION) - 1] {
            for value in beyond {
                prop_assert_eq!(quantized(&quantizer, value, dither), limit);
                prop_assert_eq!(quantized(&quantizer, -value, dither), 0);
            }
            let inside = quantized(&quantizer, clip.next_down(), dither);
            prop_assert!(inside <= limit);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A block of floats and a block of the integers that they are quantized to are the same,
    /// for any tensors, values and dither, wherever tensors and slots end.
    #[test]
    fn floats_and_their_integers_fill_blocks_alike(
        sizes in prop::collection::vec(1u32..9000, 1..4), bits in VALUE_BITS, sites in 3usize..200,
        seed: u64,
    ) {
        let tensor = |(at, values): (usize, &u32)| TensorLayout {
            name: format!("t{at}"), shape: vec![*values], clip: 0.5 + at as f32,
        };
        let layout = Layout { tensors: sizes.iter().enumerate().map(tensor).collect() };
        let (packing, mut rng) = (Packing::derive(bits, 0, sites, 1).unwrap(), rng(seed));
        let quantizer = Quantizer::new(&layout, &packing);
        let update: Vec<f32> =
            (0..layout.values()).map(|_| rng.next_u32() as i32 as f32 / 6e8).collect();
        let capacity = packing.block_values();
        let mut rest = (update.as_slice(), 0);
        for block in 0..packing.blocks(update.len()).unwrap() {
            let counted = usize::from(block == 0);
            let taken = rest.0.len().min(capacity - counted);
            let (values, first) = (&rest.0[..taken], rest.1);
            rest = (&rest.0[taken..], first + taken);
            let mut dither = vec![0; capacity * 4];
            rng.fill_bytes(&mut dither);
            let at = Place { quantizer: &quantizer, first, dither: &dither[counted * 4..], shift: 0 };
            let mut wide = vec![0; taken];
            quantizer.place(values, at, &mut wide).unwrap();
            let integers: Vec<u32> = wide.iter().map(|value| *value as u32).collect();
            let mut blocks = [[0; RING_DEGREE]; 2];
            let [floats, whole] = &mut blocks;
            quantizer.fill_block(block, values, &dither, floats).unwrap();
            quantizer.fill_block(block, &integers, &dither, whole).unwrap();
            prop_assert!(blocks[0] == blocks[1], "block {}", block);
        }
    }
}

#[test]
fn names_the_tensor_and_the_value_that_is_not_finite() {
    let packing = Packing::derive(8, 0, 3, 1).unwrap();
    let quantize =
        |update: &[f32]| QuantizedUpdate::quantize(update, &layout(2, 1.0), &packing, &mut rng(1));
    let error = quantize(&[0.0, f32::NAN]).unwrap_err();
    assert!(error.to_string().contains("value 1 of tensor \"w\" is NaN"), "{error}");
    assert!(quantize(&[0.0, f32::INFINITY]).is_err());
    assert_eq!(quantize(&[0.0]).unwrap_err(), QuantizeError::Length { expected: 2, got: 1 });
}

#[test]
fn count_comes_first_and_slots_are_runs_of_values() {
    let packing = Packing::derive(16, 0, 10, 1).unwrap();
    let (slots, bits) = (usize::from(packing.slots), packing.slot_bits);
    assert_eq!(slots, 2);
    let count = 3 * RING_DEGREE;
    let layout = layout(count, 1.0);
    let quantizer = Quantizer::new(&layout, &packing);
    let values: Vec<u32> = (0..count as u32).map(|v| v + 1).collect();
    let mut coefficients = [0; RING_DEGREE];
    let capacity = packing.block_values();
    quantizer
        .fill_block(0, &values[..capacity - 1], &vec![0; capacity * 4], &mut coefficients)
        .unwrap();
    // Value v is v: the count is value 0 and happens to be 1 here.
    assert_eq!(coefficients[0], 1 | (RING_DEGREE as u64) << bits);
    assert_eq!(coefficients[7], 7 | (RING_DEGREE as u64 + 7) << bits);
    quantizer
        .fill_block(1, &values[capacity - 1..], &vec![0; capacity * 4], &mut coefficients)
        .unwrap();
    assert_eq!(coefficients[0], capacity as u64 | ((capacity + RING_DEGREE) as u64) << bits);
    assert_eq!(coefficients[4095], capacity as u64 + 4095, "padding is zero");
}

#[test]
fn blocks_of_floats_are_quantized_like_the_whole() {
    let packing = Packing::derive(24, 0, 3, 1).unwrap();
    let tensors = [5000, 1, 3000, 4192].map(|values| TensorLayout {
        name: format!("t{values:05}"),
        shape: vec![values],
        clip: values as f32,
    });
    let mut layout = Layout { tensors: tensors.to_vec() };
    layout.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let update: Vec<f32> = (0..layout.values()).map(|k| (k as f32 - 6000.0) * 0.77).collect();
    let quantizer = Quantizer::new(&layout, &packing);
    let capacity = packing.block_values();
    // With no dither, rounding is downwards and the same wherever a value lies.
    let dither = vec![0; capacity.max(update.len()) * 4];
    let mut whole = vec![0; update.len()];
    let at = Place { quantizer: &quantizer, first: 0, dither: &dither, shift: 0 };
    quantizer.place(&update, at, &mut whole).unwrap();
    let mut seen = Vec::new();
    let mut rest = update.as_slice();
    for block in 0..packing.blocks(update.len()).unwrap() {
        let (values, after) = rest.split_at(rest.len().min(capacity - usize::from(block == 0)));
        let mut coefficients = [0; RING_DEGREE];
        quantizer.fill_block(block, values, &dither, &mut coefficients).unwrap();
        for slot in 0..packing.slots {
            let of_slot =
                |c: &u64| *c >> (slot * packing.slot_bits) & ((1 << packing.slot_bits) - 1);
            seen.extend(coefficients.iter().map(of_slot));
        }
        rest = after;
    }
    assert_eq!(seen[0], 1);
    assert_eq!(seen[1..=whole.len()], whole);
    assert!(seen[whole.len() + 1..].iter().all(|value| *value == 0));
}
