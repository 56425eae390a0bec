//! Private training: what a step releases, when the chance in it repeats, and what is refused.
//!
//! On the quadratic of `algorithms` the gradient for a sample `x` is `a (w - x)`: a sum of clipped
//! gradients is known by hand. A noise multiplier of 1e-12 leaves it to be seen.

use candle_core::Tensor;
use ringfence_learning::private::{
    NoiseSeed, PrivacyUnit, PrivateOptions, PrivateProgress, PrivateTraining, clipped_sum,
};
use ringfence_learning::task::Panel;
use ringfence_learning::{
    Algorithm, Augmentation, Checkpoint, Classification, KeptCheckpoint, LearnError, MetaGradient,
    ModelName, Optimizer, Parameters, Sample, Scores, Task, TrainOptions,
};
use ringfence_weights::Weights;

use crate::algorithms::Quadratic;

/// Next to no noise: for seeing what it is added to.
const SILENT: f64 = 1e-12;

fn private(unit: PrivacyUnit) -> PrivateOptions {
    let noise_multiplier = SILENT;
    PrivateOptions { unit, clip: 1.0, noise_multiplier, rate: 1.0, steps: 1, normaliser: 4.0 }
}

/// Plain gradient descent of step 1: what moves the weights is the direction itself.
fn plain() -> TrainOptions {
    TrainOptions {
        algorithm: Algorithm::FedAvg,
        epochs: 1,
        batch: 1,
        learning_rate: 1.0,
        optimizer: Optimizer::Sgd { momentum: 0.0 },
        augmentation: Augmentation::default(),
        seed: 1,
    }
}

fn sample(name: &str, group: &str, image: &[f32]) -> Sample {
    Sample {
        name: name.into(),
        group: group.into(),
        image: image.to_vec(),
        label: Some(0),
        mask: None,
        own_mask: None,
    }
}

fn run(
    samples: &[Sample],
    options: &TrainOptions,
    private: &PrivateOptions,
) -> Result<Weights, LearnError> {
    run_task(&Quadratic, samples, options, private)
}

fn run_task(
    task: &dyn Task,
    samples: &[Sample],
    options: &TrainOptions,
    private: &PrivateOptions,
) -> Result<Weights, LearnError> {
    let seed = NoiseSeed::from_bytes([7; 32]);
    let start = task.initial_weights(0).unwrap();
    let training =
        PrivateTraining { task, start: &start, samples, options, private, seed: &seed, of: "test" };
    training.run(&mut |_| {})
}

/// How far a run moves the quadratic's weights.
fn moved(samples: &[Sample], private: &PrivateOptions) -> Vec<f64> {
    let start = Quadratic.initial_weights(0).unwrap();
    let last = run(samples, &plain(), private).unwrap();
    start.values().zip(last.values()).map(|(from, to)| f64::from(from - to)).collect()
}

fn close(found: &[f64], expected: &[f64]) {
    let near = found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 3e-4);
    assert!(near && found.len() == expected.len(), "found {found:?}, expected {expected:?}");
}

/// The start is `(1, -2, 3, 0.5)`, the curvature `(0.5, 1, 2, 4)`.
const START: [f32; 4] = [1.0, -2.0, 3.0, 0.5];

#[test]
fn each_unit_is_clipped_by_itself_and_the_divisor_is_the_constant() {
    // Gradients (0, 0, 0, 0.4), (0, 0, 6, 0), (-8, 0, 0, 0): lengths 0.4, 6, 8. Clipped together
    // they would be one vector of length 1.
    let short = sample("a", "a", &[1.0, -2.0, 3.0, 0.4]);
    let long = sample("b", "b", &[1.0, -2.0, 0.0, 0.5]);
    let longer = sample("c", "c", &[17.0, -2.0, 3.0, 0.5]);
    let options = private(PrivacyUnit::Record);
    let all = [short.clone(), long.clone(), longer];
    close(&moved(&all, &options), &[-0.25, 0.0, 0.25, 0.1]);
    // Fewer units are not divided by fewer.
    close(&moved(std::slice::from_ref(&short), &options), &[0.0, 0.0, 0.0, 0.1]);
    close(&moved(&all[..2], &options), &[0.0, 0.0, 0.25, 0.1]);
    // However large one is, it adds at most the clip length.
    let huge = sample("c", "c", &[1e12, 1e12, 1e12, 1e12]);
    let with = moved(&[short.clone(), long.clone(), huge], &options);
    let without = moved(&[short.clone(), long], &options);
    let away = with.iter().zip(&without).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    assert!(away <= 0.25 && away > 0.2499, "{away}");
    // One without a finite gradient adds nothing, and stops nothing.
    let broken = sample("c", "c", &[f32::NAN, 0.0, 0.0, 0.0]);
    close(&moved(&[short, broken], &options), &[0.0, 0.0, 0.0, 0.1]);
}

/// Not even where the factor is so small that 32 bits round it to twice as much.
#[test]
fn a_gradient_is_cut_to_the_clip_however_long_it_is() {
    let start = Quadratic.initial_weights(0).unwrap();
    let parameters = Parameters::trainable(&start).unwrap();
    let clip = 2.3e-9;
    for exponent in 0..40 {
        let long = sample("a", "a", &[1.0, -2.0, 1e35 * 1.1_f32.powi(exponent), 0.5]);
        let sum = clipped_sum(&Quadratic, &parameters, &[vec![long]], clip).unwrap();
        let values = sum.tensors.iter().map(|tensor| tensor.flatten_all()?.to_vec1::<f32>());
        let values = values.collect::<candle_core::Result<Vec<_>>>().unwrap().concat();
        let squares = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        assert!(squares.sqrt() <= clip, "{} clips", squares.sqrt() / clip);
    }
}

#[test]
fn a_patients_images_are_clipped_together() {
    // Two of `p`: (0, 0, 2, 0) each, together of length 4; one of `q`: (0, 0.5, 0, 0).
    let records = [
        sample("a", "p", &[1.0, -2.0, 2.0, 0.5]),
        sample("b", "q", &[1.0, -2.5, 3.0, 0.5]),
        sample("c", "p", &[1.0, -2.0, 2.0, 0.5]),
    ];
    let patients = |records_per_step| private(PrivacyUnit::Patient { records_per_step });
    close(&moved(&records, &patients(2)), &[0.0, 0.125, 0.25, 0.0]);
    // Of at most one image a patient, a clip length of 3 cuts nothing.
    let wide = |records_per_step| PrivateOptions { clip: 3.0, ..patients(records_per_step) };
    close(&moved(&records, &wide(1)), &[0.0, 0.125, 0.5, 0.0]);
    close(&moved(&records, &wide(2)), &[0.0, 0.125, 0.75, 0.0]);
    let error = run(&records, &plain(), &private(PrivacyUnit::Record)).unwrap_err().to_string();
    assert!(error.contains("2 images of `p`"), "{error}");
}

#[test]
fn the_proximal_term_comes_after_noise_and_division() {
    let records = [sample("a", "a", &[1.0, -2.0, 0.0, 0.5])];
    let options = PrivateOptions { steps: 2, ..private(PrivacyUnit::Record) };
    let fedprox = TrainOptions { algorithm: Algorithm::FedProx { mu: 0.5 }, ..plain() };
    let last = run(&records, &fedprox, &options).unwrap();
    let found: Vec<f64> =
        START.iter().zip(last.values()).map(|(from, to)| f64::from(from - to)).collect();
    // 1/4, then 1/4 again, less half of the way so far.
    close(&found, &[0.0, 0.0, 0.25 + 0.25 - 0.125, 0.0]);
}

fn classes() -> Classification {
    Classification::new(ModelName::CnnLight, 32, &["a".into(), "b".into()]).unwrap()
}

fn images(count: usize) -> Vec<Sample> {
    let image =
        |k: usize| -> Vec<f32> { (0..1024).map(|i| ((i * (k + 3)) % 17) as f32 / 17.0).collect() };
    let sample = |k: usize| Sample {
        label: Some((k % 2) as u32),
        ..sample(&k.to_string(), &k.to_string(), &image(k))
    };
    (0..count).map(sample).collect()
}

#[test]
fn an_empty_batch_moves_the_weights_by_noise_of_the_stated_deviation() {
    let task = classes();
    let start = task.initial_weights(1).unwrap();
    let samples = images(3);
    let options = PrivateOptions {
        clip: 0.5,
        noise_multiplier: 3.0,
        rate: 1e-15,
        normaliser: 6.0,
        ..private(PrivacyUnit::Record)
    };
    let mut steps = Vec::new();
    let seed = NoiseSeed::draw().unwrap();
    let training = PrivateTraining {
        task: &task,
        start: &start,
        samples: &samples,
        options: &plain(),
        private: &options,
        seed: &seed,
        of: "test",
    };
    let last = training.run(&mut |step| steps.push(step)).unwrap();
    let progress =
        PrivateProgress { step: 1, steps: 1, units: 0, images: 0, left_out: 0, loss: None };
    assert_eq!(steps, [progress]);
    // 41,082 values of deviation 3 * 0.5 / 6: the estimate's relative error is 0.35 %.
    let squares = start.values().zip(last.values()).map(|(a, b)| f64::from(a - b).powi(2));
    let deviation = (squares.sum::<f64>() / start.len() as f64).sqrt();
    assert!((deviation / 0.25 - 1.0).abs() < 0.014, "{deviation}");
}

fn bits(weights: &Weights) -> Vec<u32> {
    weights.values().map(f32::to_bits).collect()
}

#[test]
fn a_stopped_run_goes_on_with_the_same_bits_and_chance_never_serves_twice() {
    let task = classes();
    let start = task.initial_weights(1).unwrap();
    let samples = images(6);
    let options = PrivateOptions {
        noise_multiplier: 1.0,
        rate: 0.4,
        steps: 7,
        ..private(PrivacyUnit::Record)
    };
    let train = TrainOptions {
        augmentation: Augmentation::FLIP,
        optimizer: Optimizer::Adam,
        learning_rate: 0.01,
        ..plain()
    };
    let (seed, other_seed) = (NoiseSeed::from_bytes([1; 32]), NoiseSeed::from_bytes([2; 32]));
    let training = PrivateTraining {
        task: &task,
        start: &start,
        samples: &samples,
        options: &train,
        private: &options,
        seed: &seed,
        of: "study, round 0",
    };
    let mut checkpoints: Vec<Checkpoint> = Vec::new();
    let mut save = |checkpoint: &Checkpoint| {
        checkpoints.push(checkpoint.clone());
        Ok(())
    };
    let whole = training.run_from(None, &mut |_| {}, &mut save).unwrap();
    let at: Vec<usize> = checkpoints.iter().map(|checkpoint| checkpoint.epoch).collect();
    assert_eq!(at, [3, 6, 7]);
    for checkpoint in &checkpoints {
        let mut steps = 0;
        let resumed =
            training.run_from(Some(checkpoint), &mut |_| steps += 1, &mut |_| Ok(())).unwrap();
        assert_eq!((bits(&resumed), steps), (bits(&whole), 7 - checkpoint.epoch));
    }
    // Who is sampled and the noise differ as soon as anything does.
    let trace = |training: &PrivateTraining<'_>| {
        let mut sizes = Vec::new();
        let last = training.run(&mut |step| sizes.push(step.units)).unwrap();
        (bits(&last), sizes)
    };
    let expected = trace(&training);
    assert_eq!(expected.0, bits(&whole));
    let mut changed = samples.clone();
    changed[5].image[0] += 1e-3;
    let mut nudged = start.clone().values().collect::<Vec<f32>>();
    nudged[0] += 1e-6;
    let nudged = Weights::from_values(&start.shapes(), nudged).unwrap();
    let quieter = PrivateOptions { noise_multiplier: 0.999, ..options };
    let slower = TrainOptions { learning_rate: 0.009, ..train.clone() };
    let others = [
        PrivateTraining { seed: &other_seed, ..training },
        PrivateTraining { of: "study, round 1", ..training },
        PrivateTraining { samples: &changed, ..training },
        PrivateTraining { start: &nudged, ..training },
        PrivateTraining { private: &quieter, ..training },
        PrivateTraining { options: &slower, ..training },
    ];
    // A checkpoint is its own training's and no other's: neither one of other patients nor one after
    // a patient has left is gone on from.
    let mut renamed = samples.clone();
    renamed[5].group = "somebody else".into();
    let fewer = [
        PrivateTraining { samples: &samples[..5], ..training },
        PrivateTraining { samples: &renamed, ..training },
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    checkpoints[1].save(&path, &training.name().unwrap()).unwrap();
    let own = Checkpoint::load(&path, &training.name().unwrap());
    assert_eq!(own, KeptCheckpoint::Own(checkpoints[1].clone()));
    for other in others.iter().chain(&fewer) {
        let found = Checkpoint::load(&path, &other.name().unwrap());
        let expected = if other.of == training.of {
            KeptCheckpoint::MadeFromOther
        } else {
            KeptCheckpoint::Nothing
        };
        assert_eq!(found, expected);
    }
    for other in &others {
        let found = trace(other);
        assert_ne!(found.1, expected.1, "the same sizes of batches seven times");
        let same = found.0.iter().zip(&expected.0).filter(|(a, b)| a == b).count();
        assert!(same < expected.0.len() / 100, "{same} values are the same");
    }
}

/// The quadratic, so many times as steep.
struct Steep(f64);

impl Task for Steep {
    fn name(&self) -> &'static str {
        "steep"
    }
    fn initial_weights(&self, seed: u64) -> Result<Weights, LearnError> {
        Quadratic.initial_weights(seed)
    }
    fn check_sample(&self, sample: &Sample) -> Result<(), LearnError> {
        Quadratic.check_sample(sample)
    }
    fn logits(&self, p: &Parameters, images: &Tensor) -> candle_core::Result<Tensor> {
        Quadratic.logits(p, images)
    }
    fn loss(&self, logits: &Tensor, samples: &[&Sample]) -> Result<Tensor, LearnError> {
        Ok((Quadratic.loss(logits, samples)? * self.0)?)
    }
    fn scores(&self, samples: &[Sample], logits: &[Vec<f32>]) -> Result<Scores, LearnError> {
        Quadratic.scores(samples, logits)
    }
    fn picture(&self, sample: &Sample, logits: Option<&[f32]>) -> Result<Panel, LearnError> {
        Quadratic.picture(sample, logits)
    }
}

#[test]
fn the_same_noise_never_hides_two_sums() {
    // Trainings of the same name, secret, options, data and weights, whose gradients differ all the
    // same, as they might by rounding on another machine. If noise depended on less than what it
    // hides, the difference would be that of the sums: 0.2 / 4.
    let options = PrivateOptions { noise_multiplier: 50.0, ..private(PrivacyUnit::Record) };
    let samples = [sample("a", "a", &[1.0, -2.0, 2.8, 0.5])];
    let of = |steep: f64| -> Vec<f32> {
        let task = Steep(steep);
        run_task(&task, &samples, &plain(), &options).unwrap().values().collect()
    };
    let apart = of(1.0).iter().zip(of(1.5)).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
    assert!(apart > 1.0, "{apart}");
    assert_eq!(of(1.0), of(1.0));
}

#[test]
fn what_cannot_be_private_is_refused() {
    let records = [sample("a", "a", &START)];
    let good = private(PrivacyUnit::Record);
    run(&records, &plain(), &good).unwrap();
    let bad = [
        ("rate", PrivateOptions { rate: 0.0, ..good }),
        ("rate", PrivateOptions { rate: -0.1, ..good }),
        ("rate", PrivateOptions { rate: 1.000_001, ..good }),
        ("rate", PrivateOptions { rate: f64::NAN, ..good }),
        ("clip", PrivateOptions { clip: 0.0, ..good }),
        ("clip", PrivateOptions { clip: 9e-13, ..good }),
        ("clip", PrivateOptions { clip: f64::INFINITY, ..good }),
        ("noise_multiplier", PrivateOptions { noise_multiplier: 0.0, ..good }),
        ("noise_multiplier", PrivateOptions { noise_multiplier: f64::NAN, ..good }),
        ("steps", PrivateOptions { steps: 0, ..good }),
        ("normaliser", PrivateOptions { normaliser: 0.0, ..good }),
        ("records_per_step", private(PrivacyUnit::Patient { records_per_step: 0 })),
    ];
    for (option, bad) in bad {
        let error = run(&records, &plain(), &bad).unwrap_err().to_string();
        assert!(error.contains(&format!("`{option}`")), "{bad:?}: {error}");
    }
    let metas = [MetaGradient::FirstOrder, MetaGradient::HessianFree { delta: 0.01 }];
    for meta in metas {
        let algorithm = Algorithm::PerFedAvg { alpha: 0.1, meta };
        let error = run(&records, &TrainOptions { algorithm, ..plain() }, &good).unwrap_err();
        assert!(error.to_string().contains("meta-gradients"), "{error}");
    }
    assert!(matches!(run(&[], &plain(), &good), Err(LearnError::NoSamples(_))));
}

#[test]
fn options_are_written_as_a_policy_has_them() {
    let text = r#"{"unit":{"patient":{"records_per_step":4}},"clip":1.0,"noise_multiplier":1.1,"rate":0.04,"steps":20,"normaliser":3.2}"#;
    let options: PrivateOptions = serde_json::from_str(text).unwrap();
    assert_eq!(options.unit, PrivacyUnit::Patient { records_per_step: 4 });
    assert_eq!(serde_json::to_string(&options).unwrap(), text);
    assert!(serde_json::from_str::<PrivateOptions>(&text.replace("clip", "clips")).is_err());
    let record = serde_json::to_string(&PrivacyUnit::Record).unwrap();
    assert_eq!(record, r#""record""#);
}
