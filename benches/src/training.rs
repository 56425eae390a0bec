//! Whole training steps (forward, backward, gradient descent) of two networks: by Ringfence's
//! operations, by stock candle's and, where Python can import it, by PyTorch's.
//!
//! The engines take turns in one run, so that a busy machine slows all of them, and each one's
//! best step counts. Threads are rayon's and candle's: all cores, or `RAYON_NUM_THREADS`.

pub mod private;
mod pytorch;

use std::fmt::Write;
use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use ringfence_nn::reference::{Descent, Engine, Network};
use serde::Serialize;

use pytorch::PyTorch;

/// A network, its images and how many of them a step takes.
#[derive(Clone, Copy, Debug)]
struct Workload {
    network: Network,
    model: &'static str,
    side: usize,
    batch: usize,
}

const WORKLOADS: [Workload; 3] = [
    Workload { network: Network::Cnn, model: "cnn", side: 64, batch: 32 },
    Workload { network: Network::UNet, model: "unet", side: 64, batch: 16 },
    Workload { network: Network::UNet, model: "unet", side: 128, batch: 8 },
];

/// Pixels of the images that Ringfence trains on as one unit: few enough for the caches, enough
/// that packing kernels and adding up gradients costs little. Eight images of 64 px.
const PART_PIXELS: usize = 1 << 15;

/// Size of a step. It changes no time.
const RATE: f64 = 0.01;

/// Seconds of an engine's turn, in which it makes at least one step.
const TURN: f64 = 1.0;

/// What one engine does with one workload.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `ringfence`, `candle` or `pytorch`.
    pub engine: &'static str,
    /// `cnn` or `unet`.
    pub model: &'static str,
    /// Side of the images in pixels.
    pub side: usize,
    /// Images a step.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Images a second, in the best step.
    pub images_per_second: f64,
}

/// Measures every workload: in each of `rounds` every engine has its turn.
///
/// # Errors
/// When an engine fails. PyTorch that cannot be imported is no failure: it has no rows.
pub fn run(rounds: usize, with_candle: bool) -> anyhow::Result<Vec<Row>> {
    let threads = rayon::current_num_threads();
    let mut rows = Vec::new();
    for workload in WORKLOADS {
        let Workload { network, model, side, batch } = workload;
        eprintln!("{model}, {side} px, batch of {batch} ...");
        let part = (PART_PIXELS / (side * side)).clamp(1, batch);
        let mut own = Trainer::new(workload, Engine::Own, part)?;
        // As one would use it: the whole batch at once, threads being its own affair.
        let mut stock = Trainer::new(workload, Engine::Candle, batch)?;
        let mut pytorch = PyTorch::start(model, side, batch, threads)?;
        let (mut of_own, mut of_stock, mut of_pytorch) = (f64::MAX, f64::MAX, f64::MAX);
        for _ in 0..rounds {
            of_own = of_own.min(own.turn()?);
            if with_candle {
                of_stock = of_stock.min(stock.turn()?);
            }
            if let Some(pytorch) = &mut pytorch {
                of_pytorch = of_pytorch.min(pytorch.turn(TURN)?);
            }
        }
        if let Some(pytorch) = pytorch {
            let (theirs, ours) = (pytorch.parameters, parameters(network, side));
            anyhow::ensure!(
                theirs == ours,
                "PyTorch's {model} has {theirs} parameters, not {ours}"
            );
        }
        let found = [("ringfence", of_own), ("candle", of_stock), ("pytorch", of_pytorch)];
        for (engine, seconds) in found.into_iter().filter(|(_, seconds)| *seconds < f64::MAX) {
            let images_per_second = batch as f64 / seconds;
            rows.push(Row { engine, model, side, batch, threads, images_per_second });
        }
    }
    Ok(rows)
}

fn parameters(network: Network, side: usize) -> usize {
    network.shapes(side).iter().map(|shape| shape.iter().product::<usize>()).sum()
}

/// A network being trained on random images.
struct Trainer {
    workload: Workload,
    engine: Engine,
    part: usize,
    parameters: Vec<Var>,
    images: Tensor,
    targets: Tensor,
}

impl Trainer {
    fn new(workload: Workload, engine: Engine, part: usize) -> anyhow::Result<Self> {
        let Workload { network, side, batch, .. } = workload;
        let images = Tensor::rand(0_f32, 1.0, (batch, 1, side, side), &Device::Cpu)?;
        let random = Tensor::rand(0_f32, 1.0, (batch, 1, side, side), &Device::Cpu)?;
        let targets = match network {
            Network::Cnn => random.flatten_from(1)?.narrow(1, 0, 1)?.flatten_all()?.ge(0.5)?,
            Network::UNet => random.ge(0.5)?,
        };
        let targets = targets.to_dtype(match network {
            Network::Cnn => DType::U32,
            Network::UNet => DType::F32,
        })?;
        let parameters = network.parameters(side, DType::F32)?;
        Ok(Self { workload, engine, part, parameters, images, targets })
    }

    /// Seconds of the best step in a turn.
    fn turn(&mut self) -> anyhow::Result<f64> {
        let (network, engine, part) = (self.workload.network, self.engine, self.part);
        let descent = Descent { network, engine, part, rate: RATE };
        let start = Instant::now();
        let mut best = f64::MAX;
        while best == f64::MAX || start.elapsed().as_secs_f64() < TURN {
            let begin = Instant::now();
            let data = (&self.images, &self.targets);
            descent.step(&self.parameters, data)?;
            best = best.min(begin.elapsed().as_secs_f64());
        }
        // Steps that lead nowhere are not measured.
        for parameter in &self.parameters {
            let sum = parameter.abs()?.sum_all()?.to_scalar::<f32>()?;
            anyhow::ensure!(sum.is_finite(), "{:?} diverged", self.engine);
        }
        Ok(best)
    }
}

/// The rows as a table.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| model | side | batch | threads | engine | images a second | Ringfence is |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let same = |other: &&Row| {
            other.engine == "ringfence" && (other.model, other.side) == (row.model, row.side)
        };
        let ours = rows.iter().find(same).map_or(0.0, |ours| ours.images_per_second);
        let Row { engine, model, side, batch, threads, images_per_second } = row;
        let ratio = ours / images_per_second;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {model} | {side} | {batch} | {threads} | {engine} | {images_per_second:.1} | {ratio:.2} times as fast |"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_compares_rows_of_the_same_workload() {
        let row = |engine, side, images_per_second| Row {
            engine,
            model: "unet",
            side,
            batch: 8,
            threads: 2,
            images_per_second,
        };
        let rows =
            [row("ringfence", 64, 90.0), row("ringfence", 128, 30.0), row("candle", 128, 3.0)];
        let table = table(&rows);
        assert!(table.ends_with("| unet | 128 | 8 | 2 | candle | 3.0 | 10.00 times as fast |\n"));
    }

    #[test]
    fn both_engines_train_the_small_workload() {
        let workload = Workload { network: Network::Cnn, model: "cnn", side: 16, batch: 2 };
        for engine in [Engine::Own, Engine::Candle] {
            let mut trainer = Trainer::new(workload, engine, 1).unwrap();
            let before = trainer.parameters[0].as_tensor().copy().unwrap();
            assert!(trainer.turn().unwrap() > 0.0);
            let moved = (trainer.parameters[0].as_tensor() - before).unwrap().abs().unwrap();
            assert!(moved.sum_all().unwrap().to_scalar::<f32>().unwrap() > 0.0);
        }
    }
}
