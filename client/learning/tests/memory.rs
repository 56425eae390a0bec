//! What a step of training takes, counted, beside what is said before any time is spent on it.

#![allow(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach the helper functions"
)]

use peak_alloc::PeakAlloc;
use ringfence_learning::private::{NoiseSeed, PrivacyUnit, PrivateOptions, PrivateTraining};
use ringfence_learning::{
    Dataset, LearnError, ModelName, Sample, TaskName, TrainOptions, Training, TrainingPlan,
};
use ringfence_weights::MeanStep;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn plan(model: ModelName, channels: usize, side: usize, batch: usize) -> TrainingPlan {
    let task = model.task();
    let classes = match task {
        TaskName::Segmentation => vec![],
        TaskName::Classification => vec!["well".to_owned(), "ill".to_owned()],
    };
    let training = TrainOptions { epochs: 1, batch, ..TrainOptions::for_task(task) };
    let mean_step = MeanStep::default();
    TrainingPlan {
        task,
        model,
        side,
        channels,
        classes,
        rounds: 1,
        training,
        mean_step,
        fine_tuning: None,
        personal: None,
    }
}

fn samples(channels: usize, side: usize, count: usize) -> Vec<Sample> {
    let bits = |from: usize| (from..).map(|i| (i % 7 < 2) as u8 as f32);
    let pixels = |from: usize| bits(from).take(side * side);
    let sample = |i: usize| Sample {
        name: i.to_string(),
        group: i.to_string(),
        image: bits(i).take(channels * side * side).collect(),
        label: Some(i as u32 % 2),
        mask: Some(pixels(i + 1).collect()),
        own_mask: None,
    };
    (0..count).map(sample).collect()
}

/// Bytes of heap that training took at its peak, beyond what was there before.
fn peak(plan: &TrainingPlan) -> f64 {
    let (task, start) = (plan.task().unwrap(), plan.initial_weights().unwrap());
    let samples = samples(plan.channels, plan.side, plan.training.batch);
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let (task, options) = (task.as_ref(), &plan.training);
    Training { task, start: &start, samples: &samples, options }.run(&mut |_| {}).unwrap();
    (HEAP.peak_usage() - before) as f64
}

/// Everybody is in the step.
fn private(count: usize) -> PrivateOptions {
    let (unit, normaliser) = (PrivacyUnit::Record, count as f64);
    PrivateOptions { unit, clip: 1.0, noise_multiplier: 1.0, rate: 1.0, steps: 1, normaliser }
}

/// The same of private training.
fn private_peak(plan: &TrainingPlan) -> f64 {
    let (task, start) = (plan.task().unwrap(), plan.initial_weights().unwrap());
    let samples = samples(plan.channels, plan.side, plan.training.batch);
    let (private, seed) = (private(samples.len()), NoiseSeed::from_bytes([1; 32]));
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let (task, options) = (task.as_ref(), &plan.training);
    let (start, samples, private, seed) = (&start, &samples, &private, &seed);
    let of = "memory";
    PrivateTraining { task, start, samples, options, private, seed, of }.run(&mut |_| {}).unwrap();
    (HEAP.peak_usage() - before) as f64
}

/// One test for both, since a test beside it would count, too.
#[test]
fn a_step_takes_what_is_said_and_one_that_does_not_fit_is_refused() {
    a_step_takes_no_more_than_is_said_and_not_much_less();
    a_step_that_does_not_fit_is_refused_before_it();
}

fn a_step_takes_no_more_than_is_said_and_not_much_less() {
    let mut wrong = vec![];
    for model in ModelName::ALL {
        for (channels, side, batch) in [(1, 64, 16), (1, 128, 8), (3, 128, 8), (1, 256, 2)] {
            let plan = plan(model, channels, side, batch);
            let (said, taken) = (plan.memory().unwrap() as f64, peak(&plan));
            let share = taken / said;
            let said_private = plan.private_memory(&private(batch), batch).unwrap() as f64;
            let taken_private = private_peak(&plan);
            println!(
                "{model} {}, batch {batch}: {:.1} of {:.1} MB, private {:.1} of {:.1} MB",
                plan.images(),
                taken / 1e6,
                said / 1e6,
                taken_private / 1e6,
                said_private / 1e6
            );
            for share in [share, taken_private / said_private] {
                if !(0.4..=1.0).contains(&share) {
                    wrong.push((model, channels, side, batch, share));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn a_step_that_does_not_fit_is_refused_before_it() {
    // 65,536 pixels a side take terabytes.
    let plan = plan(ModelName::UnetLight, 1, 1 << 16, 4);
    let (sites, left_out, unused_columns) = (vec![], vec![], vec![]);
    let (side, classes, remarks, names_patients) = (1 << 16, vec![], vec![], false);
    let data = Dataset { side, classes, sites, left_out, unused_columns, remarks, names_patients };
    let error = plan.check(&data).unwrap_err();
    assert!(matches!(error, LearnError::Memory { side: 65_536, batch: 4, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("unet-light") && text.contains("side"), "{text}");
    let error = plan.check_private(&private(4), 4).unwrap_err();
    assert!(matches!(error, LearnError::Memory { side: 65_536, batch: 4, .. }), "{error}");
    // A sample of a hundredth of 10,000: 100 expected, deviation 9.95, six of these above.
    let rare = PrivateOptions { rate: 0.01, ..private(4) };
    let error = plan.check_private(&rare, 10_000).unwrap_err();
    assert!(matches!(error, LearnError::Memory { batch: 160, .. }), "{error}");
    let patients = PrivacyUnit::Patient { records_per_step: 3 };
    let error = plan.check_private(&PrivateOptions { unit: patients, ..private(4) }, 4);
    assert!(matches!(error, Err(LearnError::Memory { batch: 12, .. })), "{error:?}");
}
