//! Ghost norms and book-keeping against one image after the other: every model, grey and in colour,
//! so every kind of layer, with batches of none, one and several, of records and of patients.

use candle_core::Tensor;
use ringfence_learning::private::{ClippedSum, clipped_sum, clipped_sum_one_by_one};
use ringfence_learning::{
    Classification, LearnError, ModelName, Parameters, Sample, Segmentation, Task, TaskName,
};
use ringfence_weights::Weights;

const SIDE: usize = 32;

/// An image of blobs and stripes of its own, with a mask and a label.
fn sample(index: usize, channels: usize) -> Sample {
    let value = |i: usize| {
        let (x, y) = (i % SIDE, i / SIDE % SIDE);
        let wave = ((x * (index + 2)) as f32 / 7.0).sin() + ((y * (index + 1)) as f32 / 5.0).cos();
        let noise = (i * 2_654_435_761 + index * 40_503) % 1009;
        0.5 + 0.15 * wave + 0.2 * (noise as f32 / 1009.0) + 0.1 * (i / (SIDE * SIDE)) as f32
    };
    let inside = |i: usize| {
        let (x, y) = ((i % SIDE) as f32 - 12.0 - index as f32, (i / SIDE) as f32 - 14.0);
        f32::from(index % 3 != 2 && x * x + y * y < 30.0)
    };
    Sample {
        name: index.to_string(),
        group: index.to_string(),
        image: (0..channels * SIDE * SIDE).map(value).collect(),
        label: Some((index % 2) as u32),
        mask: Some((0..SIDE * SIDE).map(inside).collect()),
        own_mask: None,
    }
}

fn task(model: ModelName, channels: usize) -> Box<dyn Task> {
    match model.task() {
        TaskName::Segmentation => {
            Box::new(Segmentation::new(model, SIDE).unwrap().with_channels(channels).unwrap())
        }
        TaskName::Classification => {
            let classes = ["a".to_owned(), "b".to_owned()];
            let task = Classification::new(model, SIDE, &classes).unwrap();
            Box::new(task.with_channels(channels).unwrap())
        }
    }
}

/// Weights as after some training: scales and biases that are neither one nor zero.
fn weights(task: &dyn Task) -> Weights {
    let start = task.initial_weights(3).unwrap();
    let moved = start.values().enumerate().map(|(i, w)| w + 0.05 * ((i * 37 % 101) as f32).sin());
    Weights::from_values(&start.shapes(), moved.collect()).unwrap()
}

fn length(tensors: &[Tensor]) -> f64 {
    let square = |tensor: &Tensor| -> f64 {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.iter().map(|value| f64::from(*value).powi(2)).sum()
    };
    tensors.iter().map(square).sum::<f64>().sqrt()
}

fn apart(a: &[Tensor], b: &[Tensor]) -> f64 {
    let differences: Vec<Tensor> = a.iter().zip(b).map(|(a, b)| (a - b).unwrap()).collect();
    length(&differences)
}

/// Largest relative error of a length, and that of the sum.
fn errors(found: &ClippedSum, expected: &ClippedSum) -> (f64, f64) {
    assert_eq!(found.norms.len(), expected.norms.len());
    let norms = found.norms.iter().zip(&expected.norms).map(|(f, e)| (f / e - 1.0).abs());
    let sum = apart(&found.tensors, &expected.tensors) / length(&expected.tensors);
    (norms.fold(0.0, f64::max), sum)
}

/// Units of these numbers of images.
fn units(sizes: &[usize], channels: usize) -> Vec<Vec<Sample>> {
    let mut next = 0..;
    sizes.iter().map(|n| next.by_ref().take(*n).map(|i| sample(i, channels)).collect()).collect()
}

/// Nine images: so many that several units share a way forward and back.
const RECORDS: [usize; 9] = [1; 9];
/// The same of patients.
const PATIENTS: [usize; 8] = [2, 1, 3, 1, 2, 1, 1, 2];

#[test]
fn ghost_norms_and_sums_are_those_of_one_image_after_the_other() {
    let batches: [(usize, &[usize]); 4] =
        [(1, &[1]), (1, &RECORDS), (1, &[3, 1, 2, 5, 1, 1, 2, 1]), (3, &[2, 1])];
    for model in ModelName::ALL {
        for (channels, sizes) in batches {
            let task = task(model, channels);
            let parameters = Parameters::trainable(&weights(task.as_ref())).unwrap();
            let units = units(sizes, channels);
            let (task, p) = (task.as_ref(), &parameters);
            // A clip length among the lengths: some are clipped, and some are not.
            let mut norms = clipped_sum(task, p, &units, 1.0).unwrap().norms;
            norms.sort_by(f64::total_cmp);
            let clip = norms[norms.len() / 2] * 0.9;
            let found = clipped_sum(task, p, &units, clip).unwrap();
            let expected = clipped_sum_one_by_one(task, p, &units, clip).unwrap();
            let (norm, sum) = errors(&found, &expected);
            let case = format!("{model}, {channels} channels, {sizes:?}, clip {clip}");
            println!("{case}: norms {norm:.1e}, sum {sum:.1e}");
            assert!(norm < 1e-4 && sum < 1e-4, "{case}: norms {norm}, sum {sum}");
            assert!((found.loss / expected.loss - 1.0).abs() < 1e-5, "{case}");
            // Each tensor by itself, as far as it is no zero among larger ones.
            for (found, expected) in found.tensors.iter().zip(&expected.tensors) {
                let (found, expected) = ([found.clone()], [expected.clone()]);
                let (error, size) = (apart(&found, &expected), length(&expected) + 1e-3 * clip);
                assert!(error / size < 1e-3, "{case}: {error} of {size}");
            }
        }
    }
}

#[test]
fn of_no_unit_the_sum_is_nothing() {
    for model in ModelName::ALL {
        let task = task(model, 1);
        let parameters = Parameters::trainable(&weights(task.as_ref())).unwrap();
        let found = clipped_sum(task.as_ref(), &parameters, &[], 1.0).unwrap();
        assert_eq!((found.norms.len(), length(&found.tensors)), (0, 0.0));
        let shapes: Vec<Vec<usize>> = found.tensors.iter().map(|t| t.dims().to_vec()).collect();
        let expected: Vec<Vec<usize>> =
            weights(task.as_ref()).shapes().into_iter().map(|(_, shape)| shape).collect();
        assert_eq!(shapes, expected);
    }
}

#[test]
fn one_unit_changes_the_sum_by_at_most_the_clip_length() {
    for model in ModelName::ALL {
        let task = task(model, 1);
        let parameters = Parameters::trainable(&weights(task.as_ref())).unwrap();
        for sizes in [&RECORDS[..], &PATIENTS] {
            let units = units(sizes, 1);
            let of = |units: &[Vec<Sample>], clip: f64| {
                clipped_sum(task.as_ref(), &parameters, units, clip).unwrap()
            };
            // Shorter than all of them.
            let clip = 0.9 * of(&units, 1.0).norms.into_iter().fold(f64::MAX, f64::min);
            let sum = |units: &[Vec<Sample>]| of(units, clip);
            let all = sum(&units);
            for out in [0, 3, units.len() - 1] {
                let mut others = units.clone();
                others.remove(out);
                let moved = apart(&all.tensors, &sum(&others).tensors);
                assert!(moved <= clip && moved > 0.99 * clip, "{model}, {sizes:?}: {moved}");
            }
        }
    }
}

#[test]
fn a_unit_that_is_not_finite_adds_nothing_and_spoils_nothing() {
    for model in ModelName::ALL {
        let task = task(model, 1);
        let parameters = Parameters::trainable(&weights(task.as_ref())).unwrap();
        let mut units = units(&PATIENTS, 1);
        let mut without = units.clone();
        without.remove(4);
        units[4][0].image[5] = f32::NAN;
        let found = clipped_sum(task.as_ref(), &parameters, &units, 0.5).unwrap();
        let expected = clipped_sum(task.as_ref(), &parameters, &without, 0.5).unwrap();
        assert_eq!(found.left_out(), 1, "{model}: {:?}", found.norms);
        let apart = apart(&found.tensors, &expected.tensors) / length(&expected.tensors);
        assert!(apart < 1e-5, "{model}: {apart}");
    }
}

/// A task whose model scales its logits by a tensor of no layer, and claims to be like the others.
struct Scaled(Classification);

impl Task for Scaled {
    fn name(&self) -> &'static str {
        "scaled"
    }
    fn initial_weights(&self, seed: u64) -> Result<Weights, LearnError> {
        self.0.initial_weights(seed)
    }
    fn check_sample(&self, sample: &Sample) -> Result<(), LearnError> {
        self.0.check_sample(sample)
    }
    fn logits(&self, p: &Parameters, images: &Tensor) -> candle_core::Result<Tensor> {
        let scale = p.get("head.bias")?.sum_all()?;
        self.0.logits(p, images)?.broadcast_mul(&scale)
    }
    fn loss(&self, logits: &Tensor, samples: &[&Sample]) -> Result<Tensor, LearnError> {
        self.0.loss(logits, samples)
    }
    fn images_are_independent(&self) -> bool {
        true
    }
    fn scores(
        &self,
        samples: &[Sample],
        logits: &[Vec<f32>],
    ) -> Result<ringfence_learning::Scores, LearnError> {
        self.0.scores(samples, logits)
    }
    fn picture(
        &self,
        sample: &Sample,
        logits: Option<&[f32]>,
    ) -> Result<ringfence_learning::task::Panel, LearnError> {
        self.0.picture(sample, logits)
    }
}

#[test]
fn a_tensor_that_is_used_beside_its_layer_is_refused() {
    let classes = ["a".to_owned(), "b".to_owned()];
    let task = Scaled(Classification::new(ModelName::CnnLight, SIDE, &classes).unwrap());
    let parameters = Parameters::trainable(&weights(&task)).unwrap();
    let error = clipped_sum(&task, &parameters, &units(&[1, 1], 1), 1.0).unwrap_err().to_string();
    assert!(error.contains("`head.bias`"), "{error}");
    // One by one it is no matter.
    clipped_sum_one_by_one(&task, &parameters, &units(&[1, 1], 1), 1.0).unwrap();
}
