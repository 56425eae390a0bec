//! Images a second of a whole training step: `cargo run --release -p ringfence-nn --example
//! training -- [cnn|unet] [side] [batch] [part] [candle]`.

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;
use ringfence_nn::reference::{Engine, Network};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let network = if words[0] == "cnn" { Network::Cnn } else { Network::UNet };
    let number = |at: usize| words[at].parse::<usize>().unwrap();
    let (side, batch, part) = (number(1), number(2), number(3));
    let engine = if words.len() > 4 { Engine::Candle } else { Engine::Own };
    let p = network.parameters(side, DType::F32)?;
    let x = Tensor::rand(0_f32, 1.0, (batch, 1, side, side), &Device::Cpu)?;
    let y = match network {
        Network::Cnn => Tensor::zeros(batch, DType::U32, &Device::Cpu)?,
        Network::UNet => Tensor::rand(0_f32, 1.0, (batch, 1, side, side), &Device::Cpu)?,
    };
    let mut best = f64::MAX;
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 6.0 {
        let begin = processor_seconds();
        let parts: Vec<_> = (0..batch / part)
            .into_par_iter()
            .map(|i| {
                let (x, y) = (x.narrow(0, i * part, part)?, y.narrow(0, i * part, part)?);
                let logits = network.logits(engine, &p, &x)?;
                let loss = network.loss(&logits, &y)?;
                let found = loss.backward()?;
                p.iter().map(|v| Ok(found.get(v).unwrap().clone())).collect::<Result<Vec<_>>>()
            })
            .collect::<Result<_>>()?;
        for (k, v) in p.iter().enumerate() {
            let mut sum = parts[0][k].clone();
            for part in &parts[1..] {
                sum = (sum + &part[k])?;
            }
            v.set(&(v.as_tensor() - (sum * (0.01 * part as f64 / batch as f64))?)?)?;
        }
        best = best.min(processor_seconds() - begin);
    }
    println!("{network:?} {side} {batch}/{part} {:.1} images/s", batch as f64 / best);
    Ok(())
}

fn processor_seconds() -> f64 {
    let all = std::fs::read_dir("/proc/self/task").unwrap();
    let nanos: u64 = all
        .map(|task| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            stat.split(' ').next().unwrap().parse::<u64>().unwrap()
        })
        .sum();
    nanos as f64 * 1e-9
}
