//! Normalisation, pooling, resampling and whole networks against candle's own operations and
//! against finite differences.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exception for tests does not reach the helper functions"
)]

mod support;

use candle_core::{DType, Device, Tensor, Var};
use ringfence_nn::reference::{Engine, Network};
use ringfence_nn::{
    Conv2d, ConvNorm, ConvNormParameters, GroupNorm, join_upsampled, max_pool2, mean_pool2,
    portable, sum_to_channels, upsample2,
};
use support::{check_first, check_second, dot, error, keeps_graphs, numbers};

/// Groups, `[b, h, w, c]`: channels in whole registers and beside them.
const NORMS: [(usize, [usize; 4]); 4] =
    [(2, [2, 3, 5, 6]), (8, [2, 4, 4, 16]), (4, [1, 5, 3, 24]), (3, [2, 2, 3, 21])];

fn norm_inputs((_, images): (usize, [usize; 4])) -> [Tensor; 3] {
    let scale = (numbers(&[images[3]], 2) * 0.3).unwrap();
    // Moved away from zero, so that no result changes its sign within a finite difference.
    [numbers(&images, 1), (scale + 1.0).unwrap(), numbers(&[images[3]], 3)]
}

#[test]
fn normalisation_equals_its_definition() {
    for case in NORMS {
        let inputs = norm_inputs(case);
        let [x, scale, bias] = &inputs;
        let expected = portable::group_norm(GroupNorm::new(case.0), x, scale, bias).unwrap();
        let f32 = inputs.clone().map(|x| x.to_dtype(DType::F32).unwrap());
        for (x, bound) in [(&inputs, 1e-12), (&f32, 1e-5)] {
            let norm = GroupNorm::new(case.0);
            assert!(error(&norm.apply(&x[0], &x[1], &x[2]).unwrap(), &expected) < bound);
            let relu = norm.with_relu().apply(&x[0], &x[1], &x[2]).unwrap();
            assert!(error(&relu, &expected.relu().unwrap()) < bound);
        }
    }
}

fn check_norms(check: fn(&str, &[Tensor], support::Function)) {
    for case in NORMS {
        for norm in [GroupNorm::new(case.0), GroupNorm::new(case.0).with_relu()] {
            let f = |x: &[Tensor]| norm.apply(&x[0], &x[1], &x[2]);
            check(&format!("{norm:?} {case:?}"), &norm_inputs(case), &f);
            let f = |x: &[Tensor]| portable::group_norm(norm, &x[0], &x[1], &x[2]);
            check(&format!("portable {norm:?} {case:?}"), &norm_inputs(case), &f);
        }
    }
}

#[test]
fn a_convolution_joined_to_its_normalisation_equals_one_after_the_other() {
    let (conv, x) = joined();
    let norm = GroupNorm::new(3);
    for (norm, bias) in [(norm, None), (norm.with_relu(), Some(&x[4]))] {
        let y = conv.apply(&x[0], &x[1], bias).unwrap();
        let expected = norm.apply(&y, &x[2], &x[3]).unwrap();
        let parameters = ConvNormParameters { kernel: &x[1], bias, scale: &x[2], shift: &x[3] };
        let found = ConvNorm { conv, norm }.apply(&x[0], &parameters).unwrap();
        assert!(error(&found, &expected) < 1e-14);
    }
}

/// A convolution; an image, kernel, scale, shift and bias for it.
fn joined() -> (Conv2d, Vec<Tensor>) {
    let conv = Conv2d { stride: 2, padding: 1, ..Conv2d::default() };
    let scale = (numbers(&[6], 3) * 0.3).unwrap();
    let x = [numbers(&[2, 5, 6, 4], 1), numbers(&[6, 4, 3, 3], 2), (scale + 1.0).unwrap()];
    (conv, x.into_iter().chain([numbers(&[6], 4), numbers(&[6], 5)]).collect())
}

fn check_joined(check: fn(&str, &[Tensor], support::Function)) {
    let (conv, x) = joined();
    let block = ConvNorm { conv, norm: GroupNorm::new(3).with_relu() };
    let f = |x: &[Tensor]| {
        let (kernel, bias, scale, shift) = (&x[1], x.get(4), &x[2], &x[3]);
        block.apply(&x[0], &ConvNormParameters { kernel, bias, scale, shift })
    };
    check("joined with a bias", &x, &f);
    check("joined without a bias", &x[..4], &f);
}

type Operation = (&'static str, fn(&[Tensor]) -> candle_core::Result<Tensor>, Vec<Tensor>);

fn operations() -> Vec<Operation> {
    let x = numbers(&[2, 4, 6, 5], 1);
    let below = numbers(&[2, 2, 3, 3], 2);
    vec![
        ("max-pool", |x| max_pool2(&x[0])?.powf(3.0), vec![(&x + 2.0).unwrap()]),
        ("mean-pool", |x| mean_pool2(&x[0])?.sqr(), vec![x.clone()]),
        ("upsample", |x| upsample2(&x[0])?.sqr(), vec![x.clone()]),
        ("join", |x| join_upsampled(&x[0], &x[1])?.sqr(), vec![x.clone(), below.clone()]),
        ("sum", |x| sum_to_channels(&x[0])?.sqr(), vec![x.clone()]),
        ("portable max-pool", |x| portable::max_pool2(&x[0])?.powf(3.0), vec![(&x + 2.0).unwrap()]),
        ("portable mean-pool", |x| portable::mean_pool2(&x[0])?.sqr(), vec![x.clone()]),
        ("portable upsample", |x| portable::upsample2(&x[0])?.sqr(), vec![x.clone()]),
        (
            "portable join",
            |x| portable::join_upsampled(&x[0], &x[1])?.sqr(),
            vec![x.clone(), below],
        ),
        ("portable sum", |x| portable::sum_to_channels(&x[0])?.sqr(), vec![x]),
    ]
}

#[test]
fn first_derivatives_equal_finite_differences() {
    check_norms(check_first);
    check_joined(check_first);
    for (name, f, inputs) in operations() {
        check_first(name, &inputs, &f);
    }
}

#[test]
fn second_derivatives_equal_finite_differences() {
    if keeps_graphs("second_derivatives_equal_finite_differences") {
        check_norms(check_first);
        check_norms(check_second);
        check_joined(check_first);
        check_joined(check_second);
        for (name, f, inputs) in operations() {
            check_first(name, &inputs, &f);
            check_second(name, &inputs, &f);
        }
    }
}

#[test]
fn pooling_and_resampling_equal_candles() {
    let x = numbers(&[2, 4, 6, 5], 1);
    let first = |x: &Tensor| x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
    let equal = |ours: Tensor, portable: Tensor, theirs: Tensor| {
        assert!(error(&first(&ours), &theirs) < 1e-14);
        assert!(error(&first(&portable), &theirs) < 1e-14);
    };
    let pooled = first(&x).max_pool2d(2).unwrap();
    equal(max_pool2(&x).unwrap(), portable::max_pool2(&x).unwrap(), pooled);
    let pooled = first(&x).avg_pool2d(2).unwrap();
    equal(mean_pool2(&x).unwrap(), portable::mean_pool2(&x).unwrap(), pooled);
    let wide = first(&x).upsample_nearest2d(8, 12).unwrap();
    equal(upsample2(&x).unwrap(), portable::upsample2(&x).unwrap(), wide.clone());
    let skip = numbers(&[2, 8, 12, 3], 2);
    let joined = Tensor::cat(&[&first(&skip), &wide], 1).unwrap();
    let (ours, slow) = (join_upsampled(&skip, &x), portable::join_upsampled(&skip, &x));
    equal(ours.unwrap(), slow.unwrap(), joined);
    let sums = x.sum((0, 1, 2)).unwrap();
    assert!(error(&sum_to_channels(&x).unwrap(), &sums) < 1e-14);
    assert!(error(&portable::sum_to_channels(&x).unwrap(), &sums) < 1e-14);
}

#[test]
fn of_equal_maxima_the_first_gets_the_gradient() {
    for pool in [max_pool2, portable::max_pool2] {
        let x = Var::new(&[[[[1_f32], [3.0]], [[3.0], [2.0]]]], &Device::Cpu).unwrap();
        let found = pool(&x).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = found.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(gradient, [0.0, 1.0, 0.0, 0.0]);
    }
}

#[test]
fn odd_sides_and_wrong_shapes_are_refused() {
    let x = numbers(&[1, 3, 4, 6], 1);
    for pool in [max_pool2, mean_pool2, portable::max_pool2, portable::mean_pool2] {
        assert!(pool(&x).is_err());
    }
    for join in [join_upsampled, portable::join_upsampled] {
        assert!(join(&x, &numbers(&[1, 2, 2, 6], 1)).is_err());
    }
    let of = |c: usize| numbers(&[c], 1);
    assert!(GroupNorm::new(4).apply(&x, &of(6), &of(6)).is_err());
    assert!(GroupNorm::new(0).apply(&x, &of(6), &of(6)).is_err());
    assert!(GroupNorm::new(3).apply(&x, &of(6), &of(5)).is_err());
    assert!(GroupNorm::new(3).apply(&x, &of(6), &of(6)).is_ok());
}

#[test]
fn the_networks_equal_candles_and_their_gradients_finite_differences() {
    for (network, parameters) in [(Network::Cnn, 360_162), (Network::UNet, 1_813_201)] {
        let shapes = network.shapes(64);
        assert_eq!(shapes.iter().map(|s| s.iter().product::<usize>()).sum::<usize>(), parameters);
        // One pixel is left before the classifier's dense layer, so that flattening has one order.
        let side = 16;
        let images = numbers(&[2, 1, side, side], 1);
        let targets = match network {
            Network::Cnn => Tensor::new(&[0_u32, 1], &Device::Cpu).unwrap(),
            Network::UNet => {
                numbers(&[2, 1, side, side], 2).gt(0.0).unwrap().to_dtype(DType::F64).unwrap()
            }
        };
        let logits = |engine, p: &[Var]| {
            let images = images.to_dtype(p[0].dtype()).unwrap();
            network.logits(engine, p, &images).unwrap()
        };
        let loss = |p: &[Var]| {
            let targets = match network {
                Network::Cnn => targets.clone(),
                Network::UNet => targets.to_dtype(p[0].dtype()).unwrap(),
            };
            network.loss(&logits(Engine::Own, p), &targets).unwrap()
        };
        let p = network.parameters(side, DType::F64).unwrap();
        let p32 = network.parameters(side, DType::F32).unwrap();
        let theirs = logits(Engine::Candle, &p);
        assert!(error(&logits(Engine::Own, &p), &theirs) < 1e-11);
        assert!(error(&logits(Engine::Own, &p32), &theirs) < 1e-4);

        // candle's gradients will not do: its max-pooling's are wrong. Along the gradient itself
        // the loss must grow by its squared length.
        let gradients = |p: &[Var]| {
            let found = loss(p).backward().unwrap();
            p.iter().map(|var| found.get(var).unwrap().clone()).collect::<Vec<_>>()
        };
        let (slow, fast) = (gradients(&p), gradients(&p32));
        let squared =
            |of: &[Tensor]| -> f64 { of.iter().map(|g| support::scalar(&dot(g, g))).sum() };
        let along = |by: f64| {
            let moved: Vec<Var> = p
                .iter()
                .zip(&slow)
                .map(|(p, g)| {
                    Var::from_tensor(&(p.as_tensor() + (g * by).unwrap()).unwrap()).unwrap()
                })
                .collect();
            support::scalar(&loss(&moved))
        };
        let step = 1e-7 / squared(&slow).sqrt();
        let found = (along(step) - along(-step)) / (2.0 * step);
        assert!(
            (found / squared(&slow) - 1.0).abs() < 1e-5,
            "{network:?}: {found} is not {}",
            squared(&slow)
        );
        let apart: Vec<Tensor> = fast
            .iter()
            .zip(&slow)
            .map(|(f, s)| (f.to_dtype(DType::F64).unwrap() - s).unwrap())
            .collect();
        let error = (squared(&apart) / squared(&slow)).sqrt();
        assert!(error < 1e-3, "{network:?}: {error}");
    }
}
