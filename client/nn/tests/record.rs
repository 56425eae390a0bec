//! What recorded layers say of units of images, against the way back of each unit alone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exception for tests does not reach the helper functions"
)]

#[allow(dead_code, reason = "shared with the other tests, which use all of it")]
mod support;

use std::ops::Range;
use std::slice::from_ref;

use candle_core::{DType, Result, Tensor, Var};
use ringfence_nn::{
    Conv2d, ConvNorm, ConvNormParameters, GroupNorm, Record, dense, dense_recorded,
};
use support::{dot, error, numbers};

/// Five images in three units, and none in a fourth.
const UNITS: [Range<usize>; 4] = [0..2, 2..3, 3..3, 3..5];
const FACTORS: [f32; 4] = [0.5, 2.0, 1.0, 0.25];

fn f32s(shape: &[usize], seed: u32) -> Tensor {
    numbers(shape, seed).to_dtype(DType::F32).unwrap()
}

fn square(gradient: &Tensor) -> f64 {
    f64::from(gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap())
}

/// A layer from its input and its parameters, recorded or not.
type Layer<'a> = &'a dyn Fn(&Tensor, &[Tensor], Option<&Record>) -> Result<Tensor>;

/// Compares outputs, the input's gradient, lengths and sums. `slots` are the parameters' places
/// among kernel, bias, scale and shift.
fn check(case: &str, x: &Tensor, parameters: &[Tensor], slots: &[usize], layer: Layer<'_>) {
    let variables: Vec<Var> = parameters.iter().map(|p| Var::from_tensor(p).unwrap()).collect();
    let tensors: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
    let x = Var::from_tensor(x).unwrap();
    let record = Record::default();
    assert!(record.units(&UNITS).unwrap().is_none(), "{case}");
    let out = layer(&x, &tensors, Some(&record)).unwrap();
    let plain = layer(&x, &tensors, None).unwrap();
    assert!(error(&out, &plain) < 1e-6, "{case}");
    let weights = f32s(out.dims(), 9);
    let found = dot(&out, &weights).backward().unwrap();
    let expected = dot(&plain, &weights).backward().unwrap();
    assert!(error(found.get(&x).unwrap(), expected.get(&x).unwrap()) < 1e-5, "{case}");
    assert!(variables.iter().all(|variable| found.get(variable).is_none()), "{case}");

    let units = record.units(&UNITS).unwrap().unwrap();
    let sum = units.sum(&FACTORS).unwrap();
    let sum = [sum.kernel, sum.bias, sum.scale, sum.shift];
    assert_eq!(sum.iter().flatten().count(), slots.len(), "{case}");
    let mut sums: Vec<Tensor> = tensors.iter().map(|t| t.zeros_like().unwrap()).collect();
    for ((unit, factor), length) in UNITS.iter().zip(FACTORS).zip(units.squares()) {
        let mut expected = 0.0;
        if !unit.is_empty() {
            let part = |of: &Tensor| of.narrow(0, unit.start, unit.len()).unwrap();
            let out = layer(&part(&x), &tensors, None).unwrap();
            let found = dot(&out, &part(&weights)).backward().unwrap();
            for (variable, sum) in variables.iter().zip(&mut sums) {
                let gradient = found.get(variable).unwrap();
                expected += square(gradient);
                *sum = (&*sum + (gradient * f64::from(factor)).unwrap()).unwrap();
            }
        }
        // Never too short: clipping goes by it.
        let apart = (length - expected) / expected.max(f64::MIN_POSITIVE);
        assert!((-1e-6..=1e-4).contains(&apart), "{case}: {length}, {expected}");
    }
    for (slot, expected) in slots.iter().zip(&sums) {
        let found = sum[*slot].as_ref().unwrap();
        assert!(error(found, expected) < 1e-5, "{case}: parameter {slot}");
    }
    // A second way back would count images twice.
    assert!(dot(&out, &weights).backward().is_err(), "{case}");
}

/// Settings, side, input channels, kernel `[o, c / groups, i, j]`: large images, whose gradients are
/// made, and small ones, of which the lengths are taken alone; few channels and many.
const CONVOLUTIONS: [(Conv2d, usize, usize, [usize; 4]); 6] = [
    (Conv2d { stride: 1, padding: 1, dilation: 1, groups: 1 }, 12, 3, [16, 3, 3, 3]),
    (Conv2d { stride: 1, padding: 1, dilation: 1, groups: 1 }, 4, 24, [20, 24, 3, 3]),
    (Conv2d { stride: 2, padding: 1, dilation: 2, groups: 1 }, 7, 32, [24, 32, 3, 3]),
    (Conv2d { stride: 1, padding: 0, dilation: 1, groups: 1 }, 2, 40, [24, 40, 1, 1]),
    (Conv2d { stride: 1, padding: 1, dilation: 1, groups: 2 }, 4, 32, [24, 16, 3, 3]),
    (Conv2d { stride: 2, padding: 2, dilation: 1, groups: 1 }, 3, 1, [8, 1, 3, 3]),
];

#[test]
fn convolutions_alone_and_before_a_normalisation() {
    for (conv, side, channels, kernel) in CONVOLUTIONS {
        let case = format!("{conv:?}, {side}, {kernel:?}");
        let x = f32s(&[5, side, side, channels], 1);
        let o = kernel[0];
        let (kernel, bias) = (f32s(&kernel, 2), f32s(&[o], 3));
        let (scale, shift) = ((f32s(&[o], 4) + 1.5).unwrap(), f32s(&[o], 5));
        let alone: Layer<'_> = &|x, p, record| match record {
            None => conv.apply(x, &p[0], p.get(1)),
            Some(record) => conv.apply_recorded(x, &p[0], p.get(1), record),
        };
        check(&case, &x, &[kernel.clone(), bias.clone()], &[0, 1], alone);
        check(&case, &x, from_ref(&kernel), &[0], alone);
        let norm = GroupNorm::new(4).with_relu();
        let block = ConvNorm { conv, norm };
        let normed: Layer<'_> = &|x, p, record| {
            let [kernel, scale, shift] = [0, 1, 2].map(|i| &p[i]);
            let parameters = ConvNormParameters { kernel, bias: p.get(3), scale, shift };
            match record {
                None => block.apply(x, &parameters),
                Some(record) => block.apply_recorded(x, &parameters, record),
            }
        };
        check(&case, &x, &[kernel.clone(), scale.clone(), shift.clone()], &[0, 2, 3], normed);
        check(&case, &x, &[kernel, scale, shift, bias], &[0, 2, 3, 1], normed);
    }
}

#[test]
fn normalisations_and_dense_layers() {
    let (scale, shift) = ((f32s(&[16], 4) + 1.5).unwrap(), f32s(&[16], 5));
    for norm in [GroupNorm::new(4), GroupNorm::new(4).with_relu()] {
        let layer: Layer<'_> = &|x, p, record| match record {
            None => norm.apply(x, &p[0], &p[1]),
            Some(record) => norm.apply_recorded(x, &p[0], &p[1], record),
        };
        let x = f32s(&[5, 3, 3, 16], 1);
        check(&format!("{norm:?}"), &x, &[scale.clone(), shift.clone()], &[2, 3], layer);
    }
    let layer: Layer<'_> = &|x, p, record| match record {
        None => dense(x, &p[0], &p[1]),
        Some(record) => dense_recorded(x, &p[0], &p[1], record),
    };
    check("dense", &f32s(&[5, 30], 1), &[f32s(&[7, 30], 2), f32s(&[7], 3)], &[0, 1], layer);
    // So small a kernel is cheaper to make than its length.
    check("dense 1", &f32s(&[5, 1], 1), &[f32s(&[1, 1], 2), f32s(&[1], 3)], &[0, 1], layer);
}

#[test]
fn units_that_are_not_the_batch_are_refused() {
    let conv = Conv2d::default();
    let (x, kernel) = (f32s(&[5, 2, 2, 3], 1), f32s(&[4, 3, 1, 1], 2));
    let record = Record::default();
    let out = conv.apply_recorded(&x, &kernel, None, &record).unwrap();
    out.sum_all().unwrap().backward().unwrap();
    for (units, said) in
        [(from_ref(&(0..4)), "5 images"), (&[0..2, 3..5], "3..5"), (&[], "5 images")]
    {
        let error = record.units(units).unwrap_err().to_string();
        assert!(error.contains(said), "{units:?}: {error}");
    }
    let all = 0..5;
    let units = record.units(from_ref(&all)).unwrap().unwrap();
    assert!(units.sum(&[1.0, 1.0]).unwrap_err().to_string().contains("1 factors"));
    let double = f32s(&[5, 2, 2, 3], 1).to_dtype(DType::F64).unwrap();
    let kernel = kernel.to_dtype(DType::F64).unwrap();
    assert!(conv.apply_recorded(&double, &kernel, None, &Record::default()).is_err());
}

/// A unit whose images nearly cancel: what is left of its gradient is far below the rounding of its
/// parts. Clipped by the length that is stated, it must not be longer than the clip.
#[test]
fn a_unit_whose_images_nearly_cancel_is_clipped_all_the_same() {
    let clip = 1.0;
    for (pixels, apart) in [(1, 1e-2), (1, 1e-3), (1, 1e-5), (1, 0.0), (4, 1e-3), (4, 1e-6)] {
        // Two images alike in all, with gradients of opposite sign that differ by little, and one
        // that is ordinary.
        let (side, i, o) = (pixels, 64, 48);
        let image = f32s(&[1, side, side, i], 1);
        let x = Tensor::cat(&[&image, &image, &f32s(&[1, side, side, i], 3)], 0).unwrap();
        let one = (f32s(&[1, side, side, o], 2) * 1e4).unwrap();
        let nearly = (one.neg().unwrap() * (1.0 + apart)).unwrap();
        let g = Tensor::cat(&[&one, &nearly, &f32s(&[1, side, side, o], 4)], 0).unwrap();
        let conv = Conv2d { stride: 1, padding: 0, dilation: 1, groups: 1 };
        let kernel = Var::from_tensor(&f32s(&[o, i, 1, 1], 5)).unwrap();
        let record = Record::default();
        let out = conv.apply_recorded(&x, kernel.as_tensor(), None, &record).unwrap();
        dot(&out, &g).backward().unwrap();
        let ranges = [0..2, 2..3];
        let units = record.units(&ranges).unwrap().unwrap();
        let length = units.squares()[0].sqrt();
        let factor = (clip / length).min(1.0);
        let sum = units.sum(&[factor as f32, 0.0]).unwrap().kernel.unwrap();
        let found = square(&sum).sqrt();
        assert!(found <= clip * (1.0 + 1e-4), "{pixels} pixels, {apart}: {found} of {length}");
        // Too long by no more than is meant; the parts, clipped, are about 4000 clips at most.
        let length_of = |of: &Tensor| square(&of.narrow(0, 0, 2).unwrap()).sqrt();
        let parts = length_of(&x) * length_of(&g);
        assert!(length <= (apart + 3e-4) * parts, "{pixels} pixels, {apart}: {length}, {parts}");
        assert!(factor * parts <= 5000.0 * clip, "{pixels} pixels, {apart}: {length}, {parts}");
    }
}
