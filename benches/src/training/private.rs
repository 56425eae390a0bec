//! Steps of private training (DP-SGD) beside ordinary ones, each as a site takes them: gradients,
//! clipping, noise, optimizer. Beside them Opacus, where Python can import it, in both of its modes:
//! with a gradient for each sample (`hooks`) and without (`ghost`).
//!
//! The models are `cnn` and `unet` of `ringfence-learning`: the reference networks but for mean-pooling
//! and the groups of the normalisation. Every image is sampled in each step, so that both kinds of
//! step have the same batch.

use std::fmt::Write;
use std::time::Instant;

use ringfence_learning::private::{NoiseSeed, PrivacyUnit, PrivateOptions, PrivateTraining};
use ringfence_learning::{
    Augmentation, Classification, ModelName, Sample, Segmentation, Task, TaskName, TrainOptions,
    Training,
};
use ringfence_weights::Weights;
use serde::Serialize;

use super::pytorch::PyTorch;

/// A model, the side of its images and how many of them a step takes.
const WORKLOADS: [(ModelName, usize, usize); 3] =
    [(ModelName::Cnn, 64, 32), (ModelName::Unet, 64, 16), (ModelName::Unet, 128, 8)];

/// Steps of a turn.
const STEPS: u32 = 4;

/// Seconds of a turn of PyTorch and Opacus, which take one step at least.
const TURN: f64 = 1.0;

/// What a private step may cost of an ordinary one.
const MOST: f64 = 1.6;

/// Both kinds of step on one workload.
#[derive(Clone, Debug, Serialize)]
pub struct PrivateRow {
    /// The model.
    pub model: &'static str,
    /// Side of the images in pixels.
    pub side: usize,
    /// Images a step.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Milliseconds of the best ordinary step.
    pub ordinary: f64,
    /// Milliseconds of the best private step.
    pub private: f64,
    /// The same of PyTorch and Opacus.
    pub opacus: Option<OpacusSteps>,
}

/// Milliseconds of the best steps of the reference network.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OpacusSteps {
    /// By PyTorch, without privacy.
    pub ordinary: f64,
    /// By Opacus, which keeps a gradient of each sample.
    pub hooks: f64,
    /// By Opacus, which keeps none and goes back twice.
    pub ghost: f64,
}

impl PrivateRow {
    /// What a private step costs of an ordinary one.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.private / self.ordinary
    }
}

/// Measures every workload: in each of `rounds` either kind of step has its turn, and the best step
/// of each counts.
///
/// # Errors
/// When training fails.
pub fn run(rounds: usize) -> anyhow::Result<Vec<PrivateRow>> {
    let threads = rayon::current_num_threads();
    let mut rows = Vec::new();
    for (model, side, batch) in WORKLOADS {
        eprintln!("{model}, {side} px, batch of {batch} ...");
        let pair = Pair::new(model, side, batch)?;
        let model = model.name();
        let mut opacus = Opacus::start(model, side, batch, threads)?;
        let (mut ordinary, mut private) = (f64::MAX, f64::MAX);
        for _ in 0..rounds {
            ordinary = ordinary.min(pair.ordinary()?);
            private = private.min(pair.private()?);
            if let Some(opacus) = &mut opacus {
                opacus.turns()?;
            }
        }
        let opacus = opacus.map(|opacus| opacus.best);
        rows.push(PrivateRow { model, side, batch, threads, ordinary, private, opacus });
    }
    Ok(rows)
}

/// The rows as a table.
#[must_use]
pub fn table(rows: &[PrivateRow]) -> String {
    let mut text = String::from(
        "| model | side | batch | threads | ordinary step | private step | ratio | at most | PyTorch's ordinary step | Opacus, hooks | ratio | Opacus, ghost | ratio |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let PrivateRow { model, side, batch, threads, ordinary, private, opacus } = row;
        let opacus = match opacus {
            Some(OpacusSteps { ordinary, hooks, ghost }) => format!(
                "{ordinary:.1} ms | {hooks:.1} ms | {:.2} | {ghost:.1} ms | {:.2}",
                hooks / ordinary,
                ghost / ordinary
            ),
            None => ["not here"; 5].join(" | "),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {model} | {side} | {batch} | {threads} | {ordinary:.1} ms | {private:.1} ms | {:.2} | {MOST} | {opacus} |",
            row.ratio()
        );
    }
    text
}

/// A process for each of Opacus's modes, and the best step of each.
struct Opacus {
    modes: [PyTorch; 3],
    best: OpacusSteps,
}

impl Opacus {
    /// Starts them; `None` where there is no Opacus.
    fn start(
        model: &str,
        side: usize,
        batch: usize,
        threads: usize,
    ) -> anyhow::Result<Option<Self>> {
        let start = |mode| PyTorch::opacus(mode, model, side, batch, threads);
        let Some(ordinary) = start("ordinary")? else { return Ok(None) };
        let (Some(hooks), Some(ghost)) = (start("hooks")?, start("ghost")?) else {
            return Ok(None);
        };
        let best = OpacusSteps { ordinary: f64::MAX, hooks: f64::MAX, ghost: f64::MAX };
        Ok(Some(Self { modes: [ordinary, hooks, ghost], best }))
    }

    /// A turn of each.
    fn turns(&mut self) -> anyhow::Result<()> {
        let [ordinary, hooks, ghost] = &mut self.modes;
        let best = &mut self.best;
        for (process, best) in
            [(ordinary, &mut best.ordinary), (hooks, &mut best.hooks), (ghost, &mut best.ghost)]
        {
            *best = best.min(1e3 * process.turn(TURN)?);
        }
        Ok(())
    }
}

/// The same images for both kinds of training.
struct Pair {
    task: Box<dyn Task>,
    start: Weights,
    samples: Vec<Sample>,
    options: TrainOptions,
}

impl Pair {
    fn new(model: ModelName, side: usize, batch: usize) -> anyhow::Result<Self> {
        let task: Box<dyn Task> = match model.task() {
            TaskName::Segmentation => Box::new(Segmentation::new(model, side)?),
            TaskName::Classification => {
                Box::new(Classification::new(model, side, &["a".into(), "b".into()])?)
            }
        };
        let start = task.initial_weights(1)?;
        let options = TrainOptions {
            epochs: STEPS as usize,
            batch,
            augmentation: Augmentation::default(),
            ..TrainOptions::for_task(model.task())
        };
        let samples = (0..batch).map(|index| image(index, side)).collect();
        Ok(Self { task, start, samples, options })
    }

    /// Milliseconds of the best ordinary step in a turn.
    fn ordinary(&self) -> anyhow::Result<f64> {
        let Self { task, start, samples, options } = self;
        let training = Training { task: task.as_ref(), start, samples, options };
        let mut clock = Clock::start();
        training.run(&mut |_| clock.step())?;
        Ok(clock.best)
    }

    /// Milliseconds of the best private step in a turn.
    fn private(&self) -> anyhow::Result<f64> {
        let Self { task, start, samples, options } = self;
        let private = PrivateOptions {
            unit: PrivacyUnit::Record,
            clip: 1.0,
            noise_multiplier: 1.0,
            rate: 1.0,
            steps: STEPS,
            normaliser: samples.len() as f64,
        };
        let (task, private, seed) = (task.as_ref(), &private, &NoiseSeed::draw()?);
        let of = "benchmark";
        let training = PrivateTraining { task, start, samples, options, private, seed, of };
        let mut clock = Clock::start();
        training.run(&mut |_| clock.step())?;
        Ok(clock.best)
    }
}

/// An image of numbers without a pattern, labelled and with a mask.
fn image(index: usize, side: usize) -> Sample {
    let value = |at: usize| ((at + 977 * index).wrapping_mul(2_654_435_761) >> 8) % 1009;
    Sample {
        name: index.to_string(),
        group: index.to_string(),
        image: (0..side * side).map(|at| value(at) as f32 / 1009.0).collect(),
        label: Some((index % 2) as u32),
        mask: Some((0..side * side).map(|at| f32::from(at / side < side / 3)).collect()),
        own_mask: None,
    }
}

/// The best time from one step to the next, in milliseconds.
struct Clock {
    last: Instant,
    best: f64,
}

impl Clock {
    fn start() -> Self {
        Self { last: Instant::now(), best: f64::MAX }
    }

    fn step(&mut self) {
        self.best = self.best.min(1e3 * self.last.elapsed().as_secs_f64());
        self.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_step_are_timed_and_compared() {
        let pair = Pair::new(ModelName::CnnLight, 16, 2).unwrap();
        let (ordinary, private) = (pair.ordinary().unwrap(), pair.private().unwrap());
        assert!(ordinary > 0.0 && ordinary < f64::MAX && private > 0.0 && private < f64::MAX);
        let (model, side, batch, threads) = ("cnn", 64, 32, 2);
        let opacus = Some(OpacusSteps { ordinary: 10.0, hooks: 20.0, ghost: 25.0 });
        let row = PrivateRow { model, side, batch, threads, ordinary: 50.0, private: 60.0, opacus };
        let table = table(&[row]);
        let own = "| cnn | 64 | 32 | 2 | 50.0 ms | 60.0 ms | 1.20 | 1.6 |";
        let theirs = "10.0 ms | 20.0 ms | 2.00 | 25.0 ms | 2.50 |";
        assert!(table.ends_with(&format!("{own} {theirs}\n")), "{table}");
    }
}
