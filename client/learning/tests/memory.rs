//! What a step of training takes, counted, beside what is said before any time is spent on it.

#![allow(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach the helper functions"
)]

use peak_alloc::PeakAlloc;
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
            println!(
                "{model} {}, batch {batch}: {:.1} of {:.1} MB",
                plan.images(),
                taken / 1e6,
                said / 1e6
            );
            if !(0.4..=1.0).contains(&share) {
                wrong.push((model, channels, side, batch, share));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn a_step_that_does_not_fit_is_refused_before_it() {
    // 65,536 pixels a side take terabytes.
    let plan = plan(ModelName::UnetLight, 1, 1 << 16, 4);
    let (sites, left_out, unused_columns) = (vec![], vec![], vec![]);
    let (side, classes, names_patients) = (1 << 16, vec![], false);
    let data = Dataset { side, classes, sites, left_out, unused_columns, names_patients };
    let error = plan.check(&data).unwrap_err();
    assert!(matches!(error, LearnError::Memory { side: 65_536, batch: 4, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("unet-light") && text.contains("side"), "{text}");
}
