//! Every step against the definition in double precision, on every vector unit of this machine.

use candle_core::{DType, Device, Tensor};

use super::*;
use crate::conv::element::{Element, Shape};
use crate::conv::settings::Conv2d;

/// `[b, h, w, c]`, outputs, padding: whole tiles and parts of them, one image a task and several,
/// tasks of lines, channels beside multiples of the registers, few tiles and many.
const CASES: [([usize; 4], usize, usize); 9] = [
    ([1, 4, 4, 8], 8, 1),
    ([3, 4, 4, 40], 33, 1),
    ([2, 7, 9, 16], 16, 1),
    ([1, 6, 6, 12], 20, 0),
    ([1, 5, 4, 9], 10, 2),
    ([9, 8, 8, 64], 32, 1),
    ([1, 37, 90, 16], 24, 1),
    ([2, 64, 64, 16], 16, 1),
    ([2, 16, 16, 128], 64, 1),
];

/// The most that a result may be off, over the largest value. Direct sums in `f32` are off by some
/// `5e-7` here.
const BOUND: f64 = 1e-5;

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let tensor = |seed: u64| -> candle_core::Result<Vec<f32>> {
        let places = Tensor::arange(0_i64, count as i64, &Device::Cpu)?.to_dtype(DType::F64)?;
        let waves = ((places * (0.754_877_666 + seed as f64))?.sin()? * 1e4)?;
        let parts = (&waves - waves.floor()?)?;
        (parts - 0.5)?.to_dtype(DType::F32)?.to_vec1()
    };
    tensor(seed).unwrap()
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// The largest difference over the largest value.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let most = expected.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let off = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs());
    off.fold(0.0, f64::max) / most
}

/// Runs the convolution, its input's gradient and its kernel's.
struct All<'a> {
    tiles: Tiles,
    depth: usize,
    width: usize,
    x: &'a [f32],
    kernel: &'a [f32],
    bias: &'a [f32],
    g: &'a [f32],
}

impl All<'_> {
    fn run<S: Simd>(&self, simd: S) -> [Vec<f32>; 3] {
        let Self { tiles, depth, width, x, kernel, bias, g } = *self;
        let forward = Winograd {
            tiles,
            depth,
            width,
            source: x,
            kernel,
            direction: Direction::Forward,
            bias: Some(bias),
        };
        let backward = Winograd {
            tiles: tiles.turned(),
            depth: width,
            width: depth,
            source: g,
            direction: Direction::Backward,
            bias: None,
            ..forward
        };
        let gradient = Gradient { tiles, depth, width, x, g };
        // What was there before must not matter.
        let mut out = vec![f32::NAN; g.len()];
        forward.run(simd, &mut out);
        let mut of_x = vec![f32::NAN; x.len()];
        backward.run(simd, &mut of_x);
        [out, of_x, gradient.run(simd)]
    }
}

#[test]
fn results_are_those_of_the_definition_within_the_bound() {
    for (images, width, padding) in CASES {
        let [b, h, w, depth] = images;
        let conv = Conv2d { padding, ..Conv2d::default() };
        let shape = Shape::of(&conv, (b, h, w, depth), (width, depth, 3, 3)).unwrap();
        let tiles = Tiles::of(&shape.window).unwrap();
        let x = &numbers(b * h * w * depth, 1);
        let kernel = &numbers(width * depth * 9, 2);
        let bias = &numbers(width, 3);
        let outputs = shape.window.outputs();
        let g = &numbers(b * outputs * width, 4);
        let mut out = vec![f64::NAN; g.len()];
        let (x64, kernel64) = (doubles(x), doubles(kernel));
        f64::convolve(&shape, (&x64, &kernel64, Some(&doubles(bias))), &mut out);
        let exact = [
            out,
            f64::input_gradient(&shape, &doubles(g), &kernel64),
            f64::kernel_gradient(&shape, &x64, &doubles(g)),
        ];
        let all = All { tiles, depth, width, x, kernel, bias, g };
        let check = |unit: &str, found: [Vec<f32>; 3]| {
            for (which, (found, exact)) in found.iter().zip(&exact).enumerate() {
                let error = error(found, exact);
                assert!(error < BOUND, "{unit}, {images:?} to {width}, result {which}: {error}");
            }
        };
        check("no unit", all.run(pulp::Scalar::new()));
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(simd) = pulp::x86::V3::try_new() {
                check("AVX2", all.run(simd));
            }
            #[cfg(feature = "avx512")]
            if let Some(simd) = pulp::x86::V4::try_new() {
                check("AVX-512", all.run(simd));
            }
        }
    }
}

#[test]
fn other_convolutions_are_left_to_the_direct_sums() {
    let tiles = |conv: Conv2d, side: usize, kernel: usize| {
        let shape = Shape::of(&conv, (1, side, side, 8), (8, 8, kernel, kernel)).unwrap();
        Tiles::of(&shape.window)
    };
    let conv = Conv2d { padding: 1, ..Conv2d::default() };
    assert!(tiles(conv, 8, 3).is_some());
    assert_eq!(tiles(Conv2d { stride: 2, ..conv }, 8, 3), None);
    assert_eq!(tiles(Conv2d { dilation: 2, ..conv }, 8, 3), None);
    assert_eq!(tiles(Conv2d { padding: 3, ..conv }, 8, 3), None);
    assert_eq!(tiles(conv, 8, 1), None);
    assert_eq!(tiles(conv, 2, 3), None);
}
