//! Images a second of a whole training step, for a look while working on the operations:
//! `cargo run --release -p ringfence-nn --example training -- cnn|unet side batch part [candle]`.
//! `ringfence-benches training` compares with others.

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor, bail};
use ringfence_nn::reference::{Descent, Engine, Network};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, side, batch, part, engine @ ..] = words.as_slice() else {
        bail!("expected: cnn|unet side batch part [candle]");
    };
    let number = |word: &str| word.parse::<usize>().map_err(candle_core::Error::wrap);
    let (side, batch, part) = (number(side)?, number(batch)?, number(part)?);
    let network = if name == "cnn" { Network::Cnn } else { Network::UNet };
    let engine = if engine.is_empty() { Engine::Own } else { Engine::Candle };
    let parameters = network.parameters(side, DType::F32)?;
    let images = Tensor::rand(0_f32, 1.0, (batch, 1, side, side), &Device::Cpu)?;
    let targets = match network {
        Network::Cnn => Tensor::zeros(batch, DType::U32, &Device::Cpu)?,
        Network::UNet => images.ge(0.5)?.to_dtype(DType::F32)?,
    };
    let descent = Descent { network, engine, part, rate: 0.01 };
    let mut best = f64::MAX;
    let start = Instant::now();
    while start.elapsed().as_secs() < 6 {
        let begin = Instant::now();
        descent.step(&parameters, (&images, &targets))?;
        best = best.min(begin.elapsed().as_secs_f64());
    }
    println!("{network:?} {side} {batch}/{part} {:.1} images/s", batch as f64 / best);
    Ok(())
}
