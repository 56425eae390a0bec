//! Training, selection, scores and pictures, on data small enough to learn in seconds.

use ringfence_learning::data::phantom::{PhantomOptions, generate};
use ringfence_learning::picture::Heading;
use ringfence_learning::task::Caption;
use ringfence_learning::{
    Algorithm, Augmentation, Checkpoint, Classification, Dataset, FineTuning, KeptCheckpoint,
    LearnError, ModelName, Optimizer, Progress, Sample, Segmentation, SiteData, Task, TaskName,
    TrainOptions, Training, TrainingPlan, evaluate, fine_tune, picture, predict,
};
use ringfence_weights::{MeanStep, Weights};

fn phantoms() -> Dataset {
    generate(&PhantomOptions { side: 32, sites: 1, patients: 12, slices: 4, seed: 2 }).unwrap()
}

fn options(epochs: usize) -> TrainOptions {
    TrainOptions {
        algorithm: Algorithm::FedAvg,
        epochs,
        batch: 4,
        learning_rate: 0.005,
        optimizer: Optimizer::Adam,
        augmentation: Augmentation::FLIP,
        seed: 9,
    }
}

fn quietly(
    task: &dyn Task,
    start: &Weights,
    samples: &[Sample],
    options: &TrainOptions,
) -> Weights {
    Training { task, start, samples, options }.run(&mut |_| {}).unwrap()
}

fn bits(weights: &Weights) -> Vec<u32> {
    weights.values().map(f32::to_bits).collect()
}

#[test]
fn segmentation_learns_lesions_of_other_patients() {
    let data = phantoms();
    let site = &data.sites[0];
    let task = Segmentation::light(32).unwrap();
    task.check(&data).unwrap();
    let start = task.initial_weights(1).unwrap();
    let mut steps = Vec::new();
    let training =
        Training { task: &task, start: &start, samples: &site.train, options: &options(24) };
    let trained = training.run(&mut |step: Progress| steps.push(step)).unwrap();
    let before = evaluate(&task, &start, &site.test).unwrap().primary().value.unwrap();
    let after = evaluate(&task, &trained, &site.test).unwrap().primary().value.unwrap();
    assert!(before < 0.1 && after > 0.4, "Dice {before} before and {after} after");
    assert_eq!(steps.len(), 24 * site.train.len().div_ceil(4));
    let last = steps.last().unwrap();
    assert_eq!((last.epoch, last.epochs, last.batch, last.batches), (24, 24, last.batches, 5));
    let mean =
        |steps: &[Progress]| steps.iter().map(|step| step.loss).sum::<f64>() / steps.len() as f64;
    assert!(mean(&steps[steps.len() - 10..]) < 0.7 * mean(&steps[..10]));
}

#[test]
fn classification_learns_two_textures() {
    // Stripes against blocks, at random places and brightness: not to be told by mean or variance.
    let sample = |index: usize| {
        let (label, shift) = (index % 2, index * 7 % 16);
        let value = |i: usize| {
            let (x, y) = (i % 16 + shift, i / 16 + shift / 2);
            let on = if label == 1 { x / 2 % 2 == 0 } else { (x / 4 + y / 4) % 2 == 0 };
            if on { 0.8 } else { 0.1 + index as f32 * 0.005 }
        };
        Sample {
            name: index.to_string(),
            group: index.to_string(),
            image: (0..256).map(value).collect(),
            label: Some(label as u32),
            mask: None,
            own_mask: None,
        }
    };
    let samples: Vec<Sample> = (0..60).map(sample).collect();
    let task = Classification::light(16, &["blocks".into(), "stripes".into()]).unwrap();
    let start = task.initial_weights(1).unwrap();
    let trained = quietly(&task, &start, &samples[..40], &options(6));
    let scores = evaluate(&task, &trained, &samples[40..]).unwrap();
    assert!(scores.primary().value > Some(0.9), "{scores:?}");
}

#[test]
fn the_same_call_gives_the_same_bits() {
    let data = phantoms();
    let samples = &data.sites[0].train[..6];
    let task = Segmentation::light(32).unwrap();
    let start = task.initial_weights(1).unwrap();
    assert_eq!(bits(&start), bits(&task.initial_weights(1).unwrap()));
    assert_ne!(bits(&start), bits(&task.initial_weights(2).unwrap()));
    let first = quietly(&task, &start, samples, &options(2));
    assert_eq!(bits(&first), bits(&quietly(&task, &start, samples, &options(2))));
    let other = TrainOptions { seed: 10, ..options(2) };
    assert_ne!(bits(&first), bits(&quietly(&task, &start, samples, &other)));
}

#[test]
fn one_step_of_gradient_descent_does_not_depend_on_the_order_of_samples() {
    let data = phantoms();
    let samples = &data.sites[0].train[..4];
    let turned: Vec<Sample> = samples.iter().rev().cloned().collect();
    let task = Segmentation::light(32).unwrap();
    let start = task.initial_weights(1).unwrap();
    let once = TrainOptions {
        optimizer: Optimizer::Sgd { momentum: 0.0 },
        learning_rate: 0.1,
        augmentation: Augmentation::default(),
        ..options(1)
    };
    let (a, b) = (quietly(&task, &start, samples, &once), quietly(&task, &start, &turned, &once));
    let moved =
        a.values().zip(start.values()).fold(0.0_f32, |most, (a, s)| most.max((a - s).abs()));
    let gap = a.values().zip(b.values()).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(moved > 1e-3 && gap < 1e-5, "moved {moved}, gap {gap}");
}

#[test]
fn the_best_checkpoint_is_chosen_on_validation_data() {
    let data = phantoms();
    let site = &data.sites[0];
    let task = Segmentation::light(32).unwrap();
    let start = task.initial_weights(1).unwrap();
    let samples = &site.train;
    let choose = |rate| {
        let options = &TrainOptions { learning_rate: rate, ..options(3) };
        let training = Training { task: &task, start: &start, samples, options };
        training.select(&site.validation, &mut |_| {}).unwrap()
    };
    let (weights, scores) = choose(0.005);
    assert_eq!(evaluate(&task, &weights, &site.validation).unwrap(), scores);
    assert!(
        scores.primary().value
            >= evaluate(&task, &start, &site.validation).unwrap().primary().value
    );
    // Steps too small to change any prediction: the start is as good, and comes first.
    assert_eq!(choose(1e-12).0, start);
    let training = Training { task: &task, start: &start, samples, options: &options(1) };
    let none = training.select(&[], &mut |_| {});
    assert!(matches!(none, Err(LearnError::NoSamples(_))));
}

#[test]
fn personalisation_keeps_the_epoch_that_does_best_at_the_site() {
    let data = phantoms();
    let site = &data.sites[0];
    let plan = |fine_tuning| TrainingPlan {
        task: TaskName::Segmentation,
        model: ModelName::UnetLight,
        side: 32,
        channels: 1,
        classes: Vec::new(),
        rounds: 1,
        training: options(1),
        mean_step: MeanStep::Add,
        fine_tuning,
        personal: None,
    };
    let task = Segmentation::light(32).unwrap();
    let start = task.initial_weights(1).unwrap();
    assert!(plan(None).personalise(&start, site).unwrap().is_none());
    let tuned = |alpha, steps, epochs| {
        let plan = plan(Some(FineTuning { alpha, steps, epochs, learning_rate: None }));
        plan.personalise(&start, site).unwrap().unwrap()
    };
    let stepped = fine_tune(&task, &start, &site.train, 0.1, 2).unwrap();
    assert_eq!(tuned(0.1, 2, 0), stepped);
    assert_eq!(tuned(0.1, 0, 0), start);
    // Of ten epochs after two steps the best on validation images, which here is not the start.
    let score = |weights: &Weights| {
        evaluate(&task, weights, &site.validation).unwrap().primary().value.unwrap()
    };
    let chosen = tuned(0.1, 2, 10);
    let mut best = score(&stepped);
    for epochs in 1..=10 {
        best = best.max(score(&quietly(&task, &stepped, &site.train, &options(epochs))));
    }
    assert!(best > score(&stepped));
    assert_eq!(score(&chosen), best);
    // Where there is nothing to choose by, training images serve.
    let alone = SiteData { validation: Vec::new(), ..site.clone() };
    assert_eq!(alone.choosing().len(), site.train.len());
    let one = FineTuning { alpha: 0.1, steps: 1, epochs: 1, learning_rate: None };
    assert!(plan(Some(one)).personalise(&start, &alone).unwrap().is_some());
    // Its own step size: what training at that rate gives, and other weights than at the plan's.
    let own = FineTuning { steps: 0, epochs: 10, learning_rate: Some(0.002), ..one };
    let slower = TrainOptions { learning_rate: 0.002, ..options(10) };
    let training = Training { task: &task, start: &start, samples: &site.train, options: &slower };
    let (expected, _) = training.select(&site.validation, &mut |_| ()).unwrap();
    assert_eq!(plan(Some(own)).personalise(&start, site).unwrap().unwrap(), expected);
    assert_ne!(tuned(0.1, 0, 10), expected);
    // A step size that is none is refused before any training.
    plan(Some(own)).check(&data).unwrap();
    for bad in [
        FineTuning { learning_rate: Some(0.0), ..own },
        FineTuning { learning_rate: Some(f64::NAN), ..own },
        FineTuning { alpha: -0.1, ..own },
    ] {
        let error = plan(Some(bad)).check(&data).unwrap_err().to_string();
        assert!(error.contains("a positive number"), "{error}");
    }
}

#[test]
fn what_cannot_be_trained_is_refused_before_the_first_step() {
    let data = phantoms();
    let samples = &data.sites[0].train[..2];
    let task = Segmentation::light(32).unwrap();
    let start = task.initial_weights(1).unwrap();
    let refused = |start: &Weights, samples: &[Sample], options: &TrainOptions| {
        let training = Training { task: &task, start, samples, options };
        training.run(&mut |_| panic!("a step was taken")).unwrap_err()
    };
    assert!(matches!(refused(&start, &[], &options(1)), LearnError::NoSamples(_)));
    for bad in [
        options(0),
        TrainOptions { batch: 0, ..options(1) },
        TrainOptions { learning_rate: f64::NAN, ..options(1) },
        TrainOptions { learning_rate: -1.0, ..options(1) },
    ] {
        assert!(matches!(refused(&start, samples, &bad), LearnError::Option { .. }), "{bad:?}");
    }
    let shapes = start.shapes();
    let mut values: Vec<f32> = start.values().collect();
    values[17] = f32::NAN;
    let broken = Weights::from_values(&shapes, values).unwrap();
    assert!(matches!(refused(&broken, samples, &options(1)), LearnError::Weights(_)));
    let other =
        Classification::light(32, &["a".into(), "b".into()]).unwrap().initial_weights(1).unwrap();
    let error = refused(&other, samples, &options(1)).to_string();
    assert!(error.contains("down0.first.conv.kernel"), "{error}");
    let diverged = TrainOptions {
        optimizer: Optimizer::Sgd { momentum: 0.9 },
        learning_rate: 1e30,
        ..options(3)
    };
    let training = Training { task: &task, start: &start, samples, options: &diverged };
    let error = training.run(&mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("diverged"), "{error}");
}

#[test]
fn sheets_show_image_truth_and_predictions() {
    let data = phantoms();
    let samples = picture::spread(&data.sites[0].test, 2);
    assert_ne!(samples[0].group, samples[1].group);
    assert!(samples[0].mask.as_ref().unwrap().contains(&1.0));
    let segmentation = Segmentation::light(32).unwrap();
    let start = segmentation.initial_weights(1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sheet.png");
    let heading = Heading { title: "hospital-1: test images", object: "lesion" };
    let columns = [("a very long caption of a model", &start)];
    picture::save_sheet(&path, &segmentation, heading, &samples, &columns).unwrap();
    let page = image::open(&path).unwrap().to_rgb8();
    assert_eq!(page, picture::sheet(&segmentation, heading, &samples, &columns).unwrap());
    // Below the legend the truth is overlaid in blue, the image is grey.
    let blue = |left: u32, right: u32| {
        let pixels =
            page.enumerate_pixels().filter(|(x, y, _)| (left..right).contains(x) && *y > 100);
        pixels.filter(|(_, _, pixel)| pixel[2] > pixel[0].saturating_add(40)).count()
    };
    assert_eq!(blue(0, 210), 0);
    assert!(blue(210, 414) > 36);
    assert_eq!(blue(414, 612), 0);

    let classification = Classification::light(32, &data.classes).unwrap();
    let start = classification.initial_weights(1).unwrap();
    let logits = predict(&classification, &start, &samples).unwrap();
    let panel = classification.picture(&samples[0], Some(&logits[0])).unwrap();
    let named = usize::from(logits[0][1] > logits[0][0]);
    let Caption::Text(caption) = &panel.caption else { panic!("{:?}", panel.caption) };
    assert!(caption.starts_with(&data.classes[named]), "{caption}");
    assert_eq!(panel.picture, None);
    assert_eq!(panel.right, Some(samples[0].label == Some(named as u32)));
    let page = picture::sheet(&classification, heading, &samples, &[("initial", &start)]).unwrap();
    assert_eq!(page.width(), 12 + 3 * 204);
    assert!(matches!(
        picture::sheet(&classification, heading, &[], &[]),
        Err(LearnError::NoSamples(_))
    ));
}

#[test]
fn training_goes_on_from_a_checkpoint_with_the_same_bits() {
    let data = phantoms();
    let task = Segmentation::light(32).unwrap();
    let start = task.initial_weights(1).unwrap();
    let samples = &data.sites[0].train;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    for optimizer in [Optimizer::Adam, Optimizer::Sgd { momentum: 0.9 }] {
        let options = TrainOptions { optimizer, ..options(4) };
        let whole = quietly(&task, &start, samples, &options);
        let training = Training { task: &task, start: &start, samples, options: &options };
        let name = training.name("this training").unwrap();
        // Killed in the third epoch: what is on disk is the second's.
        let mut save = |made: &Checkpoint| match made.epoch {
            3 => made.save(&folder.path().join("not/there"), &name),
            _ => made.save(&path, &name),
        };
        assert!(training.run_from(None, &mut |_| {}, &mut save).is_err());
        let another = training.name("another training").unwrap();
        assert_eq!(Checkpoint::load(&path, &another), KeptCheckpoint::Nothing);
        // Other images, weights or options under the same name.
        let mut changed = samples.clone();
        changed[0].image[0] += 1e-3;
        let (fewer, slower) =
            (&samples[1..], TrainOptions { learning_rate: 1e-3, ..options.clone() });
        let nudged = task.initial_weights(2).unwrap();
        for other in [
            Training { samples: &changed, ..training },
            Training { samples: fewer, ..training },
            Training { start: &nudged, ..training },
            Training { options: &slower, ..training },
        ] {
            let name = other.name("this training").unwrap();
            assert_eq!(Checkpoint::load(&path, &name), KeptCheckpoint::MadeFromOther);
        }
        let checkpoint = Checkpoint::load(&path, &name).own().unwrap();
        assert_eq!(checkpoint.epoch, 2);
        let mut epochs = Vec::new();
        let mut progress = |step: Progress| epochs.push(step.epoch);
        let resumed = training.run_from(Some(&checkpoint), &mut progress, &mut |_| Ok(()));
        assert_eq!(bits(&resumed.unwrap()), bits(&whole));
        assert_eq!(epochs.first(), Some(&3));
    }
    // One that is cut short, or of another model, is not used.
    let bytes = std::fs::read(&path).unwrap();
    let last = TrainOptions { optimizer: Optimizer::Sgd { momentum: 0.9 }, ..options(4) };
    let training = Training { task: &task, start: &start, samples, options: &last };
    let name = training.name("this training").unwrap();
    let whole = Checkpoint::load(&path, &name).own().unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(Checkpoint::load(&path, &name), KeptCheckpoint::Nothing);
    let other = Classification::light(32, &["a".to_owned(), "b".to_owned()]).unwrap();
    let start = other.initial_weights(1).unwrap();
    let from = |checkpoint| {
        let (mut quiet, mut drop) = (|_| {}, |_: &Checkpoint| Ok(()));
        let training = Training { task: &other, start: &start, samples, options: &options(1) };
        training.run_from(checkpoint, &mut quiet, &mut drop).unwrap()
    };
    assert_eq!(bits(&from(Some(&whole))), bits(&from(None)));
}
