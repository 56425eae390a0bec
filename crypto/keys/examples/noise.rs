//! How long the noise of 2^20 values takes beside as many errors of the encryption, each with its
//! randomness, in turns on one thread.
//!
//! ```sh
//! cargo run --release -p ringfence-keys --features internals --example noise
//! ```

#![allow(clippy::unwrap_used, clippy::panic, reason = "an example that cannot run stops")]

use std::hint::black_box;
use std::time::Instant;

use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_keys::internals::{draw_errors, draw_noise};
use ringfence_keys::update::site_noise::discrete_gaussian::DiscreteGaussian;

const BLOCKS: usize = (1 << 20) / RING_DEGREE;
const TURNS: usize = 41;

fn main() {
    for sigma in [20.0, 903.7, 250_000.0] {
        let sampler = DiscreteGaussian::new(sigma).unwrap();
        let mut turns: Vec<(f64, f64)> = (0..TURNS)
            .map(|turn| {
                let seed = [turn as u8; 32];
                let errors = milliseconds(|| drop(black_box(draw_errors(seed, BLOCKS))));
                let noise = milliseconds(|| drop(black_box(draw_noise(&sampler, seed, BLOCKS))));
                (errors, noise)
            })
            // The first one warms up.
            .skip(1)
            .collect();
        let (errors, noise) = (median(&mut turns, |t| t.0), median(&mut turns, |t| t.1));
        let ratio = median(&mut turns, |t| t.1 / t.0);
        println!("sigma {sigma}: errors {errors:.2} ms, noise {noise:.2} ms, {ratio:.2} times");
    }
}

fn milliseconds(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64() * 1e3
}

fn median(turns: &mut [(f64, f64)], of: impl Fn(&(f64, f64)) -> f64) -> f64 {
    turns.sort_by(|a, b| of(a).total_cmp(&of(b)));
    of(turns.get(turns.len() / 2).unwrap())
}
