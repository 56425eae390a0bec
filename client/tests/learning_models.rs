//! The models' gradients against finite differences, through the loss and every layer.

// The lint's exception for tests does not reach the helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{Device, Tensor};
use ringfence::learning::{Classification, Parameters, Sample, Segmentation, Task};
use ringfence::weights::Weights;

fn sample(side: usize, label: u32, salt: f32) -> Sample {
    let pixels = side * side;
    Sample {
        name: format!("sample-{label}"),
        group: "patient".into(),
        image: (0..pixels).map(|i| (i as f32 * 0.37 + salt).sin() * 0.5 + 0.5).collect(),
        label: Some(label),
        mask: Some((0..pixels).map(|i| f32::from(i % side < 3 && label == 1)).collect()),
    }
}

fn images(samples: &[Sample], side: usize) -> Tensor {
    let values = samples.iter().flat_map(|sample| sample.image.clone()).collect();
    Tensor::from_vec(values, (samples.len(), 1, side, side), &Device::Cpu).unwrap()
}

fn loss(task: &dyn Task, weights: &Weights, samples: &[Sample], side: usize) -> f64 {
    let parameters = Parameters::fixed(weights).unwrap();
    let logits = task.logits(&parameters, &images(samples, side)).unwrap();
    let samples: Vec<&Sample> = samples.iter().collect();
    f64::from(task.loss(&logits, &samples).unwrap().to_scalar::<f32>().unwrap())
}

/// Compares the derivative along one direction per tensor, the gradient's own (where the
/// signal is strongest), with the central difference of the loss.
fn check(task: &dyn Task, side: usize) {
    let samples = [sample(side, 0, 0.2), sample(side, 1, 0.9)];
    let weights = task.initial_weights(5).unwrap();
    let parameters = Parameters::trainable(&weights).unwrap();
    let logits = task.logits(&parameters, &images(&samples, side)).unwrap();
    let found =
        task.loss(&logits, &samples.iter().collect::<Vec<_>>()).unwrap().backward().unwrap();
    let mut checked = 0;
    for (name, shape, _) in weights.iter() {
        let gradient = found
            .get(parameters.get(name).unwrap())
            .unwrap_or_else(|| panic!("no gradient for {name}"));
        assert_eq!(gradient.dims(), shape, "{name}");
        let gradient = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        if norm < 1e-4 {
            continue;
        }
        // A step that changes the loss by about 0.002: above f32 rounding, below curvature.
        let step = (1e-3 / norm).min(5e-3);
        let moved = |sign: f64| {
            let values = weights.iter().flat_map(|(other, _, values)| {
                let direction = gradient.iter().map(|g| f64::from(*g) / norm * step * sign);
                let direction = if other == name { Some(direction) } else { None };
                let mut direction = direction.into_iter().flatten();
                values
                    .iter()
                    .map(move |v| v + direction.next().unwrap_or(0.0) as f32)
                    .collect::<Vec<_>>()
            });
            let moved = Weights::from_values(&weights.shapes(), values.collect()).unwrap();
            loss(task, &moved, &samples, side)
        };
        let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        assert!(
            (slope - norm).abs() < 0.05 * norm + 5e-4,
            "{name}: gradient {norm}, difference {slope}"
        );
        checked += 1;
    }
    assert!(
        checked * 3 > weights.shapes().len() * 2,
        "only {checked} tensors had a gradient to check"
    );
}

#[test]
fn unet_gradients_equal_finite_differences() {
    check(&Segmentation::light(16).unwrap(), 16);
}

#[test]
fn cnn_gradients_equal_finite_differences() {
    let classes = ["normal", "lesion"].map(String::from);
    check(&Classification::light(16, &classes).unwrap(), 16);
}
