//! Derivatives by finite differences, in double precision.

use candle_core::{DType, Device, Result, Tensor, Var};

/// Numbers between -1 and 1 that repeat only after 2^32.
pub(crate) fn numbers(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let values: Vec<f64> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 23) - 1.0
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub(crate) fn dot(a: &Tensor, b: &Tensor) -> Tensor {
    (a * b).unwrap().sum_all().unwrap()
}

pub(crate) fn scalar(x: &Tensor) -> f64 {
    x.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
}

/// The largest difference over the largest value.
pub(crate) fn error(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) =
        (found.to_dtype(DType::F64).unwrap(), expected.to_dtype(DType::F64).unwrap());
    let most = |x: Tensor| scalar(&x.abs().unwrap().flatten_all().unwrap().max(0).unwrap());
    most((found - &expected).unwrap()) / most(expected).max(1e-30)
}

/// A function of tensors.
pub(crate) type Function<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

fn moved(inputs: &[Tensor], which: usize, direction: &Tensor, by: f64) -> Vec<Var> {
    let moved = |(k, x): (usize, &Tensor)| {
        let x = if k == which { (x + (direction * by).unwrap()).unwrap() } else { x.clone() };
        Var::from_tensor(&x).unwrap()
    };
    inputs.iter().enumerate().map(moved).collect()
}

fn tensors(vars: &[Var]) -> Vec<Tensor> {
    vars.iter().map(|var| var.as_tensor().clone()).collect()
}

/// `sum(weights * f(inputs))`, with weights that are the same each time.
fn value(f: Function, vars: &[Var]) -> Tensor {
    let out = f(&tensors(vars)).unwrap();
    dot(&out, &numbers(out.dims(), 99))
}

const STEP: f64 = 1e-5;

/// The slope of a function of `by`, by central differences.
fn slope(of: impl Fn(f64) -> f64) -> f64 {
    (of(STEP) - of(-STEP)) / (2.0 * STEP)
}

fn close(name: &str, found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-6 * expected.abs().max(1.0),
        "{name}: {found} is not {expected}"
    );
}

/// Checks the first derivative of `f` for each input, along two directions.
pub(crate) fn check_first(name: &str, inputs: &[Tensor], f: Function) {
    for (which, input) in inputs.iter().enumerate() {
        for seed in [7, 8] {
            let direction = numbers(input.dims(), seed);
            let vars = moved(inputs, which, &direction, 0.0);
            let gradients = value(f, &vars).backward().unwrap();
            let found = scalar(&dot(gradients.get(&vars[which]).unwrap(), &direction));
            let expected = slope(|by| scalar(&value(f, &moved(inputs, which, &direction, by))));
            close(&format!("{name}, input {which}"), found, expected);
            assert!(expected.abs() > 1e-9, "{name}, input {which}: {expected} proves nothing");
        }
    }
}

/// Checks the derivative of each input's gradient for each input. candle must keep gradients'
/// graphs: `CANDLE_GRAD_DO_NOT_DETACH`.
pub(crate) fn check_second(name: &str, inputs: &[Tensor], f: Function) {
    let mut different = 0;
    for (first, input) in inputs.iter().enumerate() {
        let pull = numbers(input.dims(), 17);
        let along = |vars: &[Var]| {
            let gradients = value(f, vars).backward().unwrap();
            dot(gradients.get(&vars[first]).unwrap(), &pull)
        };
        for (second, input) in inputs.iter().enumerate() {
            let direction = numbers(input.dims(), 27);
            let vars = moved(inputs, second, &direction, 0.0);
            let gradients = along(&vars).backward().unwrap();
            let found = gradients.get(&vars[second]).map_or(0.0, |g| scalar(&dot(g, &direction)));
            let expected = slope(|by| scalar(&along(&moved(inputs, second, &direction, by))));
            close(&format!("{name}, inputs {first} and {second}"), found, expected);
            different += usize::from(expected.abs() > 1e-6);
        }
    }
    if inputs.len() > 1 {
        assert!(different > 0, "{name}: all second derivatives are zero, which proves nothing");
    }
}

/// Runs the test `name` of this program again with candle keeping gradients' graphs, and returns
/// false; or true if it does so now.
pub(crate) fn keeps_graphs(name: &str) -> bool {
    if std::env::var_os("CANDLE_GRAD_DO_NOT_DETACH").is_some() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let status = std::process::Command::new(program)
        .args(["--exact", name, "--nocapture"])
        .env("CANDLE_GRAD_DO_NOT_DETACH", "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed with gradients' graphs kept");
    false
}
