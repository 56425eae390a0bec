//! What a private step costs beside an ordinary one in processor time, which a busy machine changes
//! less than the clock's: `RAYON_NUM_THREADS=1 cargo run --release -p ringfence-learning --example
//! private_training -- MODEL SIDE BATCH`, on Linux. `ringfence-benches training --private` measures by
//! the clock.

use std::error::Error;
use std::fs;

use ringfence_learning::private::{NoiseSeed, PrivacyUnit, PrivateOptions, PrivateTraining};
use ringfence_learning::{
    Augmentation, Classification, ModelName, Sample, Segmentation, Task, TaskName, TrainOptions,
    Training,
};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, side, batch] = words.as_slice() else {
        return Err("expected: MODEL SIDE BATCH".into());
    };
    let (model, side, batch): (ModelName, usize, usize) =
        (model.parse()?, side.parse()?, batch.parse()?);
    let task: Box<dyn Task> = match model.task() {
        TaskName::Segmentation => Box::new(Segmentation::new(model, side)?),
        TaskName::Classification => {
            Box::new(Classification::new(model, side, &["a".into(), "b".into()])?)
        }
    };
    let start = task.initial_weights(1)?;
    let value = |i: usize| (i.wrapping_mul(2_654_435_761) >> 8) % 1009;
    let samples: Vec<Sample> = (0..batch)
        .map(|k| Sample {
            name: k.to_string(),
            group: k.to_string(),
            image: (0..side * side).map(|i| value(i + k * 977) as f32 / 1009.0).collect(),
            label: Some((k % 2) as u32),
            mask: Some((0..side * side).map(|i| f32::from(i / side < side / 3)).collect()),
            own_mask: None,
        })
        .collect();
    let options = TrainOptions {
        epochs: 4,
        batch,
        augmentation: Augmentation::default(),
        ..TrainOptions::for_task(model.task())
    };
    let private = PrivateOptions {
        unit: PrivacyUnit::Record,
        clip: 1.0,
        noise_multiplier: 1.0,
        rate: 1.0,
        steps: 4,
        normaliser: batch as f64,
    };
    let seed = NoiseSeed::draw()?;
    let mut best = [f64::MAX; 2];
    for _ in 0..5 {
        let mut last = processor_time()?;
        let mut step = |which: usize| {
            // A step whose time cannot be read counts for nothing.
            let now = processor_time().unwrap_or(f64::NAN);
            best[which] = best[which].min(now - last);
            last = now;
        };
        Training { task: task.as_ref(), start: &start, samples: &samples, options: &options }
            .run(&mut |_| step(0))?;
        let training = PrivateTraining {
            task: task.as_ref(),
            start: &start,
            samples: &samples,
            options: &options,
            private: &private,
            seed: &seed,
            of: "measurement",
        };
        training.run(&mut |_| step(1))?;
    }
    let [plain, private] = best;
    println!(
        "{model}, {side} px, batch of {batch}: {plain:.1} ms, private {private:.1} ms, ratio {:.2}",
        private / plain
    );
    Ok(())
}

/// Milliseconds that this process's threads have run so far.
fn processor_time() -> Result<f64, Box<dyn Error>> {
    let mut sum = 0.0;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split(' ').next().ok_or("expected a time in schedstat")?;
        sum += first.parse::<f64>()? / 1e6;
    }
    Ok(sum)
}
