//! The models: their sizes, that they learn, and their gradients against finite differences,
//! through the loss and every layer.

use candle_core::{Device, Tensor};
use ringfence_learning::data::phantom::{PhantomOptions, generate};
use ringfence_learning::{
    Algorithm, Augmentation, Classification, ModelName, Optimizer, Parameters, Sample,
    Segmentation, Task, TaskName, TrainOptions, Training, predict,
};
use ringfence_weights::Weights;

fn sample(side: usize, label: u32, salt: f32) -> Sample {
    let pixels = side * side;
    Sample {
        name: format!("sample-{label}"),
        group: "patient".into(),
        image: (0..pixels).map(|i| (i as f32 * 0.37 + salt).sin() * 0.5 + 0.5).collect(),
        label: Some(label),
        mask: Some((0..pixels).map(|i| f32::from(i % side < 3 && label == 1)).collect()),
        own_mask: None,
    }
}

fn images(samples: &[Sample]) -> Tensor {
    let (channels, side) = samples[0].shape().unwrap();
    let values = samples.iter().flat_map(|sample| sample.image.clone()).collect();
    Tensor::from_vec(values, (samples.len(), channels, side, side), &Device::Cpu).unwrap()
}

fn loss(task: &dyn Task, weights: &Weights, samples: &[Sample]) -> f64 {
    let parameters = Parameters::fixed(weights).unwrap();
    let logits = task.logits(&parameters, &images(samples)).unwrap();
    let samples: Vec<&Sample> = samples.iter().collect();
    f64::from(task.loss(&logits, &samples).unwrap().to_scalar::<f32>().unwrap())
}

/// Compares the derivative along one direction per tensor, the gradient's own (where the
/// signal is strongest), with the central difference of the loss.
fn check(task: &dyn Task, samples: &[Sample]) {
    check_part(task, samples, "");
}

/// The same of the tensors whose names begin so.
fn check_part(task: &dyn Task, samples: &[Sample], part: &str) {
    let weights = task.initial_weights(5).unwrap();
    let parameters = Parameters::trainable(&weights).unwrap();
    let logits = task.logits(&parameters, &images(samples)).unwrap();
    let found =
        task.loss(&logits, &samples.iter().collect::<Vec<_>>()).unwrap().backward().unwrap();
    let mut checked = 0;
    let of_part = || weights.iter().filter(|(name, ..)| name.starts_with(part));
    for (name, shape, _) in of_part() {
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
            loss(task, &moved, samples)
        };
        let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        assert!(
            (slope - norm).abs() < 0.05 * norm + 5e-4,
            "{name}: gradient {norm}, difference {slope}"
        );
        checked += 1;
    }
    assert!(checked * 3 > of_part().count() * 2, "only {checked} tensors had a gradient to check");
}

#[test]
fn unet_gradients_equal_finite_differences() {
    let samples = [sample(16, 0, 0.2), sample(16, 1, 0.9)];
    let task = Segmentation::light(16).unwrap();
    check(&task, &samples);
    // What lies deeper does not see how many channels there are.
    check_part(&task.with_channels(3).unwrap(), &samples.map(in_colour), "down0");
}

/// The sample with two more channels, of other patterns.
fn in_colour(sample: Sample) -> Sample {
    let channel = |step: usize| sample.image.iter().cycle().skip(7 * step).step_by(step);
    let pixels = sample.image.len();
    let image = [1, 2, 3].into_iter().flat_map(|step| channel(step).take(pixels)).copied();
    Sample { image: image.collect(), ..sample }
}

#[test]
fn classifiers_gradients_equal_finite_differences() {
    for name in [ModelName::CnnLight, ModelName::Residual, ModelName::Dense] {
        let samples = [sample(16, 0, 0.2), sample(16, 1, 0.9)];
        check(task(name, 16).as_ref(), &samples);
        let classes = ["normal", "lesion"].map(String::from);
        let colour = Classification::new(name, 16, &classes).unwrap().with_channels(3).unwrap();
        check(&colour, &samples.map(in_colour));
    }
}

/// The task that the model is for, of two classes.
fn task(name: ModelName, side: usize) -> Box<dyn Task> {
    let classes = ["normal", "lesion"].map(String::from);
    match name.task() {
        TaskName::Segmentation => Box::new(Segmentation::new(name, side).unwrap()),
        TaskName::Classification => Box::new(Classification::new(name, side, &classes).unwrap()),
    }
}

/// Eight slices, of both classes.
fn handful() -> Vec<Sample> {
    let options = PhantomOptions { side: 16, sites: 1, patients: 12, slices: 4, seed: 2 };
    let samples = generate(&options).unwrap().sites.remove(0).train;
    let (ill, well): (Vec<_>, Vec<_>) = samples.into_iter().partition(|s| s.label == Some(1));
    assert!(well.len() >= 3 && ill.len() >= 5, "{} and {}", well.len(), ill.len());
    ill.into_iter().take(5).chain(well.into_iter().take(3)).collect()
}

#[test]
fn models_have_the_parameters_that_their_layers_add_up_to() {
    // By hand for the smallest two at 32 px: 1024 * 64 + 64 and 64 * 2 + 2; and
    // 9 (8 + 8 * 16 + 16 * 32 + 32 * 64) + 2 (8 + 16 + 32 + 64), 64 * 4 * 64 + 64 and 64 * 2 + 2.
    // The others by the same sums over their documented layers.
    let expected = [
        (ModelName::Dense, 65_600 + 130),
        (ModelName::CnnLight, 24_264 + 240 + 16_448 + 130),
        (ModelName::Cnn, 163_314),
        (ModelName::Residual, 174_258),
        (ModelName::UnetLight, 112_913),
        (ModelName::Unet, 1_811_489),
    ];
    assert_eq!(expected.len(), ModelName::ALL.len());
    for (name, count) in expected {
        assert_eq!(task(name, 32).initial_weights(1).unwrap().len(), count, "{name}");
    }
    // Of these only the pooled and the convolutional ones are the same at another side.
    for name in [ModelName::Residual, ModelName::UnetLight, ModelName::Unet] {
        let weights = |side| task(name, side).initial_weights(1).unwrap();
        assert_eq!(weights(32), weights(64), "{name}");
    }
    assert_eq!(task(ModelName::Dense, 64).initial_weights(1).unwrap().len(), 262_338);
}

#[test]
fn a_seed_fixes_the_first_weights_to_the_bit() {
    for name in ModelName::ALL {
        let bits = |seed| {
            let weights = task(name, 32).initial_weights(seed).unwrap();
            weights.values().map(f32::to_bits).collect::<Vec<u32>>()
        };
        assert_eq!(bits(3), bits(3), "{name}");
        assert_ne!(bits(3), bits(4), "{name}");
    }
}

#[test]
fn every_model_learns_a_handful_of_images_by_heart_and_is_saved_and_loaded() {
    let samples = handful();
    for name in ModelName::ALL {
        let task = task(name, 16);
        let start = task.initial_weights(1).unwrap();
        // The large one learns the same in fewer steps, which take longer.
        let epochs = if name == ModelName::Unet { 25 } else { 75 };
        let options = TrainOptions {
            algorithm: Algorithm::FedAvg,
            epochs,
            batch: 4,
            learning_rate: 0.003,
            optimizer: Optimizer::Adam,
            augmentation: Augmentation::default(),
            seed: 1,
        };
        let mut losses = Vec::new();
        let training =
            Training { task: task.as_ref(), start: &start, samples: &samples, options: &options };
        let trained = training.run(&mut |step| losses.push(step.loss)).unwrap();
        let (first, last) =
            (losses[..2].iter().sum::<f64>(), losses[2 * epochs - 2..].iter().sum::<f64>());
        assert!(last < 0.4 * first, "{name}: loss {first} first, {last} last");

        let file = tempfile::tempdir().unwrap();
        let file = file.path().join("model.safetensors");
        trained.save(&file).unwrap();
        let loaded = Weights::load(&file).unwrap();
        let bits = |weights: &Weights| -> Vec<Vec<u32>> {
            let logits = predict(task.as_ref(), weights, &samples).unwrap();
            logits.iter().map(|logits| logits.iter().map(|z| z.to_bits()).collect()).collect()
        };
        assert_eq!(bits(&trained), bits(&loaded), "{name}");
        assert_ne!(bits(&trained), bits(&start), "{name}");
    }
}

#[test]
fn a_model_of_another_task_is_refused_with_those_that_fit() {
    let classes = ["normal", "lesion"].map(String::from);
    for name in ModelName::ALL {
        let wrong = if name.task() == TaskName::Segmentation {
            Classification::new(name, 32, &classes).unwrap_err().to_string()
        } else {
            Segmentation::new(name, 32).unwrap_err().to_string()
        };
        let fitting = match name.task() {
            TaskName::Segmentation => "cnn-light, cnn, residual, dense",
            TaskName::Classification => "unet-light, unet",
        };
        assert!(wrong.contains(&format!("one of the models {fitting}, found `{name}`")), "{wrong}");
    }
    let refused = |name, side| Classification::new(name, side, &classes).unwrap_err().to_string();
    assert!(refused(ModelName::Residual, 20).contains("multiple of 8, found 20"));
    assert!(refused(ModelName::Dense, 0).contains("found 0"));
    assert!(Segmentation::new(ModelName::Unet, 24).is_err());
    let one = Classification::new(ModelName::Dense, 32, &classes[..1]).unwrap_err().to_string();
    assert!(one.contains("at least two classes"), "{one}");
}

#[test]
fn names_are_the_same_on_the_command_line_and_in_files() {
    for name in ModelName::ALL {
        assert_eq!(serde_json::to_string(&name).unwrap(), format!("\"{name}\""));
        assert_eq!(name.name().parse(), Ok(name));
    }
    for task in TaskName::ALL {
        assert_eq!(serde_json::to_string(&task).unwrap(), format!("\"{task}\""));
        assert_eq!(task.name().parse(), Ok(task));
    }
    assert!("unet-heavy".parse::<ModelName>().unwrap_err().contains("cnn-light, cnn"));
    assert!("detection".parse::<TaskName>().unwrap_err().contains("segmentation, classification"));
    let fitting = ModelName::for_task(TaskName::Segmentation);
    assert_eq!(fitting, [ModelName::UnetLight, ModelName::Unet]);
}
