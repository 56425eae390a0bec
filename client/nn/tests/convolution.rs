//! Convolution against candle's own, against finite differences, and `f32` against `f64`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exception for tests does not reach the helper functions"
)]

mod support;

use candle_core::{DType, Tensor, Var};
use ringfence_nn::{Conv2d, portable};
use support::{check_first, check_second, dot, error, keeps_graphs, numbers};

/// A configuration: settings, `[b, h, w, c]`, outputs, kernel.
type Case = (Conv2d, [usize; 4], usize, [usize; 2]);

/// Every setting, sides that do not divide, channels beside multiples of the registers, many and
/// few of them, images smaller and larger than a task.
fn cases() -> Vec<Case> {
    let conv = |stride, padding, dilation, groups| Conv2d { stride, padding, dilation, groups };
    vec![
        (conv(1, 1, 1, 1), [2, 5, 4, 3], 5, [3, 3]),
        (conv(1, 1, 1, 1), [2, 6, 6, 16], 16, [3, 3]),
        (conv(1, 1, 1, 1), [3, 4, 4, 17], 40, [3, 3]),
        (conv(1, 1, 1, 1), [1, 20, 18, 1], 16, [3, 3]),
        (conv(1, 1, 1, 1), [1, 17, 19, 8], 33, [3, 3]),
        (conv(1, 0, 1, 1), [2, 5, 7, 12], 20, [1, 1]),
        (conv(1, 0, 1, 1), [2, 4, 4, 16], 1, [1, 1]),
        (conv(2, 0, 1, 1), [2, 6, 7, 9], 4, [1, 1]),
        (conv(2, 1, 1, 1), [2, 7, 8, 10], 6, [3, 3]),
        (conv(1, 2, 1, 1), [1, 6, 5, 2], 3, [5, 5]),
        (conv(1, 3, 1, 1), [2, 4, 5, 4], 18, [3, 2]),
        (conv(1, 2, 2, 1), [2, 7, 6, 8], 9, [3, 3]),
        (conv(3, 1, 2, 1), [2, 9, 11, 3], 7, [3, 2]),
        (conv(1, 1, 1, 2), [2, 5, 5, 6], 8, [3, 3]),
        (conv(2, 1, 2, 3), [2, 8, 7, 9], 6, [2, 3]),
        (conv(1, 1, 1, 4), [1, 6, 6, 4], 4, [3, 3]),
        (conv(1, 1, 1, 2), [1, 5, 5, 64], 80, [3, 3]),
        (conv(1, 0, 1, 1), [1, 10, 8, 8], 16, [3, 3]),
        (conv(1, 2, 1, 1), [2, 5, 6, 9], 12, [3, 3]),
    ]
}

fn inputs((conv, images, outputs, kernel): &Case) -> [Tensor; 3] {
    let [_, _, _, c] = *images;
    let kernel = [*outputs, c / conv.groups, kernel[0], kernel[1]];
    [numbers(images, 1), numbers(&kernel, 2), numbers(&[*outputs], 3)]
}

#[test]
fn values_equal_candles() {
    for case in cases() {
        let [x, k, bias] = inputs(&case);
        let conv = case.0;
        let theirs = portable::convolution(conv, &x, &k, Some(&bias)).unwrap();
        assert!(error(&conv.apply(&x, &k, Some(&bias)).unwrap(), &theirs) < 1e-12, "{case:?}");
        let first = |x: &Tensor| x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        let ours = conv.apply_channels_first(&first(&x), &k, Some(&bias)).unwrap();
        assert!(error(&ours, &first(&theirs)) < 1e-12, "{case:?}");
        let f32 = |x: &Tensor| x.to_dtype(DType::F32).unwrap();
        let fast = conv.apply(&f32(&x), &f32(&k), Some(&f32(&bias))).unwrap();
        // Winograd's algorithm is off by more than direct sums, whose bound would be 2e-6.
        assert!(error(&fast, &theirs) < 1e-5, "{case:?}: {}", error(&fast, &theirs));
    }
}

#[test]
fn gradients_equal_candles_where_candle_has_them() {
    // Without groups and with a stride that divides: elsewhere candle has none.
    for case in cases().into_iter().filter(|(conv, ..)| conv.groups == 1 && conv.stride == 1) {
        let [x, k, _] = inputs(&case);
        let conv = case.0;
        let (x, k) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(&k).unwrap());
        let theirs = portable::convolution(conv, &x, &k, None).unwrap();
        let ours = conv.apply(&x, &k, None).unwrap();
        let g = numbers(theirs.dims(), 4);
        let (theirs, ours) =
            (dot(&theirs, &g).backward().unwrap(), dot(&ours, &g).backward().unwrap());
        for var in [&x, &k] {
            let error = error(ours.get(var).unwrap(), theirs.get(var).unwrap());
            assert!(error < 1e-12, "{case:?}: {error}");
        }
    }
}

#[test]
fn f32_gradients_equal_those_in_double_precision() {
    for case in cases() {
        let gradients = |dtype| {
            let vars =
                inputs(&case).map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap());
            let out = case.0.apply(&vars[0], &vars[1], Some(&vars[2])).unwrap();
            let g = numbers(out.dims(), 5).to_dtype(dtype).unwrap();
            let found = dot(&out, &g).backward().unwrap();
            vars.map(|var| found.get(&var).unwrap().clone())
        };
        for (fast, slow) in gradients(DType::F32).iter().zip(&gradients(DType::F64)) {
            assert!(error(fast, slow) < 1e-5, "{case:?}: {}", error(fast, slow));
        }
    }
}

#[test]
fn first_derivatives_equal_finite_differences() {
    for case in cases() {
        let f = |x: &[Tensor]| case.0.apply(&x[0], &x[1], Some(&x[2]));
        check_first(&format!("{case:?}"), &inputs(&case), &f);
    }
}

#[test]
fn second_derivatives_equal_finite_differences() {
    if keeps_graphs("second_derivatives_equal_finite_differences") {
        for case in cases() {
            // Squared, so that every second derivative is there.
            let f = |x: &[Tensor]| case.0.apply(&x[0], &x[1], Some(&x[2]))?.sqr();
            check_first(&format!("{case:?}"), &inputs(&case), &f);
            check_second(&format!("{case:?}"), &inputs(&case), &f);
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let case = (Conv2d { padding: 1, ..Conv2d::default() }, [3, 33, 20, 24], 40, [3, 3]);
    let [x, k, bias] = inputs(&case).map(|x| x.to_dtype(DType::F32).unwrap());
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (x, k) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(&k).unwrap());
            let out = case.0.apply(&x, &k, Some(&bias)).unwrap();
            let found = out.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            [out.detach(), found.get(&x).unwrap().clone(), found.get(&k).unwrap().clone()]
                .map(|x| x.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn what_does_not_fit_is_refused() {
    let (x, k) = (numbers(&[1, 4, 4, 6], 1), numbers(&[4, 6, 3, 3], 2));
    let conv = Conv2d::default();
    assert!(conv.apply(&x, &k, None).is_ok());
    assert!(conv.apply(&x, &k, Some(&numbers(&[5], 3))).is_err());
    assert!(conv.apply(&x, &numbers(&[4, 5, 3, 3], 2), None).is_err());
    assert!(conv.apply(&x, &numbers(&[4, 6, 5, 5], 2), None).is_err());
    assert!(conv.apply(&x, &k.to_dtype(DType::F32).unwrap(), None).is_err());
    assert!(Conv2d { groups: 4, ..conv }.apply(&x, &k, None).is_err());
    let half = |x: &Tensor| x.to_dtype(DType::F16).unwrap();
    assert!(conv.apply(&half(&x), &half(&k), None).is_err());
}
