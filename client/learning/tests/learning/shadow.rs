//! Each step of the defence by itself, against NumPy's values, finite differences or by hand; then all
//! of them together.

use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use ringfence_learning::shadow::maps::{
    self, amplitude, equalised, noise, share, softmax, to_peak, with_momentum,
};
use ringfence_learning::shadow::{
    Decoder, DefendedRound, Matching, Shadow, diagnosis, grad_cam_plus_plus, saliency,
};
use ringfence_learning::{
    Classification, ModelName, Sample, Segmentation, Task, TaskName, model_input,
};
use ringfence_weights::Weights;

/// Made by NumPy: see the file's own words.
#[derive(Deserialize)]
struct Numpy {
    image: Vec<f32>,
    drawn: Vec<f32>,
    errors: Vec<f64>,
    new: Vec<f64>,
    before: Vec<f64>,
    mask: Vec<f64>,
    equalised: Vec<f64>,
    risk: Vec<f64>,
    levels: Vec<f64>,
    diagnostic: Vec<f64>,
    round: u32,
    rounds: u32,
    share: f64,
    noise: Vec<f64>,
    amplitude: f64,
    scaled: Vec<f64>,
    activations: Vec<f32>,
    gradients: Vec<f32>,
    cam: Vec<f64>,
}

fn numpy() -> Numpy {
    serde_json::from_str(include_str!("shadow_numpy.json")).unwrap()
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (found - expected).abs();
        assert!(off <= 1e-7 * expected.abs() + 1e-12, "{place}: {found} {expected}");
    }
}

/// Bright discs of two sizes on a dark ground: the classes.
fn sample(side: usize, number: usize) -> Sample {
    let mut rng = ChaCha20Rng::seed_from_u64(number as u64);
    let label = (number % 2) as u32;
    let radius = side as f32 * if label == 0 { 0.2 } else { 0.35 };
    let middle = side as f32 / 2.0 + rng.random_range(-1.0..1.0);
    let image = (0..side * side).map(|i| {
        let (x, y) = ((i % side) as f32 - middle, (i / side) as f32 - middle);
        let ground = 0.1 + 0.05 * rng.random::<f32>();
        ground + 0.6 / (1.0 + ((x * x + y * y).sqrt() - radius).exp())
    });
    let image = image.collect();
    let (name, group) = (format!("{number}"), format!("p{number}"));
    Sample { name, group, image, label: Some(label), mask: None, own_mask: None }
}

fn setting(model: ModelName) -> (Classification, Weights, Vec<Sample>) {
    let classes = ["small", "large"].map(String::from);
    let task = Classification::new(model, 16, &classes).unwrap();
    let weights = task.initial_weights(3).unwrap();
    (task, weights, (0..4).map(|number| sample(16, number)).collect())
}

fn at<'a>(
    (task, start, samples): &'a (Classification, Weights, Vec<Sample>),
    round: u32,
) -> DefendedRound<'a> {
    DefendedRound { task, start, samples, round, rounds: 10, seed: 5 }
}

#[test]
fn every_map_is_numpys() {
    let n = numpy();
    close(&maps::square_errors(&n.drawn, &n.image, 64), &n.errors);
    close(&softmax(&n.errors), &n.new);
    close(&with_momentum(&n.new, Some(&n.before)), &n.mask);
    assert_eq!(with_momentum(&n.new, None), n.new);
    let inverse: Vec<f64> = n.mask.iter().map(|m| 1.0 / m).collect();
    close(&equalised(&inverse), &n.equalised);
    close(&maps::risk(&n.mask), &n.risk);
    close(&maps::diagnostic(&n.levels), &n.diagnostic);
    assert_eq!(n.diagnostic.iter().filter(|value| **value > 0.0).count(), 19);
    assert_eq!(share(n.round, n.rounds), n.share);
    close(&noise(&n.risk, &n.diagnostic, n.share), &n.noise);
    let most = f64::from(n.image.iter().copied().fold(0.0, f32::max));
    close(&[amplitude(n.round, n.rounds, most)], &[n.amplitude]);
    close(&to_peak(&n.noise, n.amplitude), &n.scaled);
    close(&grad_cam_plus_plus(&n.activations, &n.gradients, 2), &n.cam);
}

#[test]
fn steps_by_hand() {
    // Errors of two channels: the mean of 0.25 and 0.01, and of 0 and 0.04.
    let errors = maps::square_errors(&[0.5, 0.0, 0.1, 0.2], &[0.0, 0.0, 0.0, 0.0], 2);
    assert!((errors[0] - 0.13).abs() < 1e-8 && (errors[1] - 0.02).abs() < 1e-8);
    let halves = softmax(&[0.0, 20.0 * 3.0_f64.ln()]);
    assert!((halves[0] - 0.25).abs() < 1e-12 && (halves[1] - 0.75).abs() < 1e-12);
    // Of four values the lowest is at 0, the others at thirds of what is above it.
    assert_eq!(equalised(&[3.0, 1.0, 2.0, 9.0]), [170.0, 0.0, 85.0, 255.0]);
    assert_eq!(equalised(&[5.0; 3]), [0.0; 3]);
    // Where the decoder is right, there the risk is.
    let risk = maps::risk(&[0.5, 0.1, 0.4]);
    assert!(risk[1] > risk[2] && risk[2] > risk[0]);
    let shares = [share(0, 10), share(3, 10), share(9, 10)];
    assert_eq!(shares, [0.1, 0.3, 0.5]);
    // At full risk and full diagnosis a share less; a half of the risk at no diagnosis is a half.
    assert_eq!(noise(&[0.4, 0.2], &[0.3, 0.0], 0.5), [0.5, 0.5]);
    assert_eq!(noise(&[0.4, 0.2], &[0.0, 0.0], 0.5), [1.0, 0.5]);
    assert!((amplitude(0, 10, 0.5) - 0.095).abs() < 1e-12);
    assert!((amplitude(10, 10, 1.0) - 0.19 * std::f64::consts::E).abs() < 1e-12);
    assert_eq!(maps::added(&[0.1, 0.2, 0.3, 0.4], &[0.5, 0.0]), [0.6, 0.2, 0.8, 0.4]);
    // Nothing speaks for the class: nothing is diagnostic.
    assert_eq!(maps::diagnostic(&[0.0; 10]), [0.0; 10]);
    // One channel, one pixel with a slope of 1, A = 2 in all: alpha = 1 / (2 + 2), w = 1/4.
    assert_eq!(grad_cam_plus_plus(&[1.5, 0.5], &[1.0, 0.0], 1), [0.375, 0.125]);
    assert_eq!(saliency(&[0.0, 2.0, 2.0, 4.0], 2), [0.0, 127.5, 127.5, 255.0]);
}

#[test]
fn the_decoder_learns_an_image_and_then_to_match_its_gradient() {
    let setting = setting(ModelName::CnnLight);
    let (task, weights, samples) = &setting;
    let sample = &samples[0];
    let decoder = Decoder::new(1, 16);
    let first = decoder.initial(&[7; 32]).unwrap();
    assert_eq!(first.len(), decoder.len());
    let error = |weights: &Weights| {
        let drawn = decoder.draw(weights).unwrap();
        let errors = maps::square_errors(&drawn, &sample.image, 256);
        errors.iter().sum::<f64>() / 256.0
    };
    let fitted = decoder.trained(&first, (&sample.image, None), 60).unwrap();
    assert!(error(&fitted) < 0.05 * error(&first), "{} {}", error(&fitted), error(&first));
    let matching = Matching::new(task, weights, sample).unwrap();
    let away = |decoded: &Weights| {
        let drawn = Sample { image: decoder.draw(decoded).unwrap(), ..sample.clone() };
        matching.at(&model_input(&drawn).unwrap()).unwrap().0
    };
    let hardly = decoder.trained(&first, (&sample.image, None), 8).unwrap();
    let matched = decoder.trained(&hardly, (&sample.image, Some(&matching)), 30).unwrap();
    assert!(away(&matched) < 0.5 * away(&hardly), "{} {}", away(&matched), away(&hardly));
    assert!(matching.at(&model_input(sample).unwrap()).unwrap().0 < 1e-6);
}

#[test]
fn the_gradient_of_the_mismatch_equals_finite_differences() {
    let classes = ["one", "other"].map(String::from);
    // Smooth everywhere.
    let task = Classification::sigmoid_lenet(16, &classes).unwrap();
    let weights = task.initial_weights(3).unwrap();
    let sample = sample(16, 1);
    let matching = Matching::new(&task, &weights, &sample).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut normal = || -> Vec<f32> { (0..256).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let (place, along) = (normal(), normal());
    let slope = matching.at(&place).unwrap().1;
    let moved = |step: f32| {
        let moved: Vec<f32> = place.iter().zip(&along).map(|(p, a)| p + step * a).collect();
        matching.at(&moved).unwrap().0
    };
    let expected = (moved(0.02) - moved(-0.02)) / 0.04;
    let found: f64 = slope.iter().zip(&along).map(|(s, a)| f64::from(s * a)).sum();
    assert!((found - expected).abs() < 0.02 * expected.abs(), "{found} {expected}");
}

#[test]
fn the_noise_peaks_at_the_amplitude_and_the_same_seed_makes_the_same() {
    let setting = setting(ModelName::CnnLight);
    for round in [0, 4] {
        let mut shadow = Shadow::new();
        let defended = shadow.defended(&at(&setting, round)).unwrap();
        for (after, before) in defended.iter().zip(&setting.2) {
            let away = after.image.iter().zip(&before.image).map(|(a, b)| f64::from(a - b));
            let peak = away.fold(0.0, |most: f64, away| most.max(away.abs()));
            let most = f64::from(before.image.iter().copied().fold(0.0, f32::max));
            let expected = 0.19 * (f64::from(round) / 10.0).exp() * most;
            assert!((peak - expected).abs() < 1e-5, "{peak} {expected}");
            assert_eq!((&after.name, after.label), (&before.name, before.label));
        }
        let again = Shadow::new().defended(&at(&setting, round)).unwrap();
        assert_eq!(again, defended);
        // Entered once.
        assert_eq!(shadow.defended(&at(&setting, round)).unwrap(), defended);
        let other = DefendedRound { seed: 6, ..at(&setting, round) };
        assert_ne!(Shadow::new().defended(&other).unwrap(), defended);
    }
}

#[test]
fn it_goes_on_from_its_file_and_not_from_anothers() {
    let setting = setting(ModelName::CnnLight);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shadow.safetensors");
    let mut shadow = Shadow::new();
    shadow.enter(&at(&setting, 0)).unwrap();
    shadow.save(&path).unwrap();
    let kept = Shadow::load(&path, &at(&setting, 0));
    assert_eq!(kept, shadow);
    let mut kept = Shadow::load(&path, &at(&setting, 1));
    assert_eq!(kept, shadow);
    assert_eq!(
        kept.defended(&at(&setting, 1)).unwrap(),
        shadow.defended(&at(&setting, 1)).unwrap()
    );
    assert_eq!(kept, shadow);
    // A later round's, other images', and what is none.
    shadow.save(&path).unwrap();
    assert_eq!(Shadow::load(&path, &at(&setting, 0)), Shadow::new());
    let mut other = setting.clone();
    other.2[3].image[0] += 0.1;
    assert_eq!(Shadow::load(&path, &at(&other, 1)), Shadow::new());
    std::fs::write(&path, b"none").unwrap();
    assert_eq!(Shadow::load(&path, &at(&setting, 1)), Shadow::new());
}

#[test]
fn all_networks_with_convolutions_have_a_diagnosis_and_others_are_refused() {
    let colour = |sample: &Sample| Sample { image: sample.image.repeat(3), ..sample.clone() };
    for model in [ModelName::CnnLight, ModelName::Cnn, ModelName::Residual] {
        Shadow::check(TaskName::Classification, model).unwrap();
        let (task, weights, samples) = setting(model);
        let map = diagnosis(&task, &weights, &samples[0]).unwrap();
        assert_eq!(map.len(), 256);
        let total: f64 = map.iter().sum();
        assert!((total - 1.0).abs() < 1e-9 || total == 0.0, "{model}: {total}");
        // Block and logits are the model's own.
        let task = task.with_channels(3).unwrap();
        let weights = task.initial_weights(1).unwrap();
        assert_eq!(diagnosis(&task, &weights, &colour(&samples[0])).unwrap().len(), 256);
    }
    for (task, model) in [
        (TaskName::Classification, ModelName::Dense),
        (TaskName::Segmentation, ModelName::UnetLight),
    ] {
        let error = Shadow::check(task, model).unwrap_err().to_string();
        for text in ["--defence shadow", "cnn-light, cnn or residual", model.name(), "leave it out"]
        {
            assert!(error.contains(text), "{error}");
        }
    }
    let (task, weights, samples) = setting(ModelName::Dense);
    assert!(diagnosis(&task, &weights, &samples[0]).is_err());
    let task = Segmentation::new(ModelName::UnetLight, 16).unwrap();
    let weights = task.initial_weights(1).unwrap();
    let masked = Sample { mask: Some(vec![0.0; 256]), ..samples[0].clone() };
    let error = diagnosis(&task, &weights, &masked).unwrap_err().to_string();
    assert!(error.contains("with convolutions") && error.contains("segmentation"), "{error}");
}
