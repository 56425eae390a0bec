use ringfence_learning::data::phantom::{PhantomOptions, generate};
use ringfence_learning::{Classification, ModelName, Segmentation, batch_gradient, model_input};

use super::super::observe::{Round, Site};
use super::super::score::mse;
use super::super::terms::Stage;
use super::*;

fn samples() -> Vec<Sample> {
    let options = PhantomOptions { side: 16, sites: 1, patients: 8, slices: 3, seed: 2 };
    let mut samples = generate(&options).unwrap().sites.remove(0).train;
    samples.truncate(4);
    samples
}

fn classes() -> [String; 2] {
    ["healthy", "lesion"].map(String::from)
}

/// Smooth everywhere.
fn lenet() -> Classification {
    Classification::sigmoid_lenet(16, &classes()).unwrap()
}

fn normal(count: usize, seed: u64) -> Vec<f32> {
    StandardNormal.sample_iter(ChaCha20Rng::seed_from_u64(seed)).take(count).collect()
}

fn public(samples: &[Sample]) -> Public {
    Public::new(&samples.iter().collect::<Vec<_>>()).unwrap()
}

fn inputs(samples: &[Sample]) -> Vec<f32> {
    samples.iter().flat_map(|sample| model_input(sample).unwrap()).collect()
}

fn inversion<'a>(
    (task, weights): (&'a dyn Task, &'a Weights),
    truth: &'a [&'a Sample],
    made: Made<'a>,
    public: &'a Public,
) -> Inversion<'a> {
    let range = (-3.0, 3.0);
    Inversion { task, weights, truth, made, range, public, steps: 10, seed: 1 }
}

/// The gradient of the likeness against its own differences along a few directions.
fn check(inversion: &Inversion<'_>, observed: &[f32], bend: f64) {
    let count = inversion.truth.len() * 256;
    let images = normal(count, 7);
    let (_, gradient) = inversion.likeness(&images, observed, bend).unwrap();
    for seed in 8..11 {
        let along = normal(count, seed);
        let at = |step: f32| {
            let moved: Vec<f32> = images.iter().zip(&along).map(|(x, a)| x + step * a).collect();
            1.0 - inversion.likeness(&moved, observed, bend).unwrap().0
        };
        let slope = (at(3e-3) - at(-3e-3)) / 6e-3;
        let exact: f64 = gradient.iter().zip(&along).map(|(g, a)| g * f64::from(*a)).sum();
        let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!((slope - exact).abs() < 0.1 * length, "{slope} {exact}, length {length}");
    }
}

#[test]
fn one_steps_gradient_equals_finite_differences() {
    let samples = samples();
    let truth: Vec<&Sample> = samples.iter().take(1).collect();
    let public = public(&samples);
    let light = Classification::light(16, &classes()).unwrap();
    let unet = Segmentation::new(ModelName::UnetLight, 16).unwrap();
    // Where ReLUs bend smoothly there is no jump that differences could stumble over.
    let tasks: [(&dyn Task, f64); 3] = [(&lenet(), 0.0), (&light, BEND), (&unet, WIDE_BEND)];
    for (task, bend) in tasks {
        let weights = task.initial_weights(1).unwrap();
        let observed = batch_gradient(task, &weights, &samples[..1]).unwrap();
        check(&inversion((task, &weights), &truth, Made::OneStep, &public), &observed, bend);
    }
}

#[test]
fn narrow_bends_are_nearly_those_of_the_model_as_it_is_trained() {
    let samples = samples();
    let truth: Vec<&Sample> = samples.iter().collect();
    let light = Classification::light(16, &classes()).unwrap();
    let residual = Classification::new(ModelName::Residual, 16, &classes()).unwrap();
    let dense = Classification::new(ModelName::Dense, 16, &classes()).unwrap();
    let unet = Segmentation::new(ModelName::UnetLight, 16).unwrap();
    let tasks: [&dyn Task; 4] = [&light, &residual, &dense, &unet];
    for task in tasks {
        let weights = task.initial_weights(1).unwrap();
        let gradient = |bend| {
            let probe = Probe { task, truth: &truth, bend };
            probe.at(&weights, &inputs(&samples), Sought::Weights).unwrap().weights
        };
        let (trained, narrow, wide) = (gradient(0.0), gradient(1e-4), gradient(0.5));
        assert!(cosine(&narrow, &trained).0 > 0.999);
        assert!(cosine(&wide, &trained).0 < cosine(&narrow, &trained).0);
    }
}

#[test]
fn a_training_is_repeated_as_it_was_and_its_gradient_equals_finite_differences() {
    let (samples, task) = (samples(), lenet());
    let (truth, public): (Vec<&Sample>, _) = (samples.iter().collect(), public(&samples));
    let weights = task.initial_weights(1).unwrap();
    let sites = [Site { samples: samples.clone(), weights: weights.clone() }];
    let round = Round { task: &task, sites: &sites, seed: 5 };
    let observed = round.see(Stage::Update).unwrap().values;
    let options = round.several_steps();
    let inversion = inversion((&task, &weights), &truth, Made::Several(&options), &public);
    assert_eq!(inversion.batches().len(), 4);
    let (followed, _) = inversion.follow(&inputs(&samples), 0.0).unwrap();
    let likeness = cosine(&followed, &observed).0;
    assert!(likeness > 1.0 - 1e-6, "{likeness}");
    check(&inversion, &observed, 0.0);
}

#[test]
fn an_image_is_found_through_several_steps() {
    let (samples, task) = (samples(), lenet());
    let own = &samples[..1];
    let (truth, public): (Vec<&Sample>, _) = (own.iter().collect(), public(&samples[1..]));
    let weights = task.initial_weights(1).unwrap();
    let sites = [Site { samples: own.to_vec(), weights: weights.clone() }];
    let round = Round { task: &task, sites: &sites, seed: 5 };
    let seen = round.see(Stage::Update).unwrap();
    let options = round.several_steps();
    let steps = 300;
    let inversion = Inversion {
        steps,
        ..inversion((&task, &weights), &truth, Made::Several(&options), &public)
    };
    assert!(inversion.batches().len() > 1);
    let found = inversion.run(&seen).unwrap();
    let image = inputs(own);
    let (away, guess) = (mse(&found.images[0], &image), mse(&public.mean, &image));
    assert!(away < 0.5 * guess, "{away} {guess}, likeness {}", found.likeness);
}

#[test]
fn the_light_models_gradient_says_nothing_of_contrast_and_is_most_like_that_of_the_truth() {
    let samples = samples();
    let truth: Vec<&Sample> = samples.iter().take(1).collect();
    let public = public(&samples);
    let task = Classification::light(16, &classes()).unwrap();
    let weights = task.initial_weights(1).unwrap();
    let values = batch_gradient(&task, &weights, &samples[..1]).unwrap();
    let inversion = inversion((&task, &weights), &truth, Made::OneStep, &public);
    let image = inputs(&samples[..1]);
    let of = |image: &[f32]| cosine(&inversion.follow(image, 0.0).unwrap().0, &values).0;
    let flat: Vec<f32> = image.iter().map(|value| 0.5 * value).collect();
    assert!(of(&image) > 1.0 - 1e-6 && of(&flat) > 1.0 - 1e-4, "{}", of(&flat));
    // So a search alone is free to flatten what it finds. It does not.
    let found = inversion.run(&Seen { values: values.clone(), noise: 0.0 }).unwrap();
    assert!(found.likeness < of(&image));
    let (mean, variance) = moments(&found.images[0]);
    assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
}
