//! How long one encryption takes here, on one thread: 10^6 parameters of 16 bits for 10 sites. And
//! how much memory it takes when values stream in and wire words stream out.
//!
//! ```sh
//! cargo run --release -p ringfence-keys --example encrypt
//! cargo run --release -p ringfence-keys --example encrypt --no-default-features   # without AVX-512
//! cargo run --release -p ringfence-keys --example encrypt -- streamed 25600000
//! ```

#![allow(clippy::unwrap_used, clippy::panic, reason = "an example that cannot run stops")]

use std::io::{self, Write};
use std::time::Instant;

use ringfence_crypto::Digest;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::statement::Summands;
use ringfence_keys::encrypt::check::CheckKey;
use ringfence_keys::encrypt::one_time_key::{Encryption, EncryptionContext, OneTimeKey};
use ringfence_keys::system_rng;

const PARAMETERS: usize = 1_000_000;

/// Values of the model that are in memory at once when it is streamed.
const CHUNK: usize = 65_536;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    pool.install(|| match arguments[..] {
        [] => timed(),
        ["streamed", parameters] => streamed(parameters.parse().unwrap()),
        _ => panic!("expected no arguments, or: streamed PARAMETERS"),
    });
}

/// Medians of whole encryptions in memory.
fn timed() {
    let study = Study::new(PARAMETERS);
    let values: Vec<f32> = (0..PARAMETERS).map(value).collect();
    let mut body = Vec::new();
    let mut times = Vec::new();
    for _ in 0..26 {
        body.clear();
        let start = Instant::now();
        let mut encryption = study.start();
        encryption.update(&values, &mut body).unwrap();
        encryption.finish(&mut body).unwrap();
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    // The first one warms up.
    let mut times = times.split_off(1);
    times.sort_by(f64::total_cmp);
    let avx512 = if cfg!(feature = "avx512") { "with" } else { "without" };
    println!(
        "{PARAMETERS} parameters, {} bytes, {avx512} the avx512 feature: median {:.1} ms, best {:.1} ms",
        body.len(),
        times[times.len() / 2],
        times[0]
    );
}

/// One encryption of values that are made as they are needed, into a sink that keeps nothing.
fn streamed(parameters: usize) {
    let study = Study::new(parameters);
    let before = peak_kib();
    let mut body = Counted::default();
    let mut encryption = study.start();
    let mut chunk = Vec::with_capacity(CHUNK);
    let start = Instant::now();
    for first in (0..parameters).step_by(CHUNK) {
        chunk.clear();
        chunk.extend((first..parameters.min(first + CHUNK)).map(value));
        encryption.update(&chunk, &mut body).unwrap();
    }
    encryption.finish(&mut body).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{parameters} parameters streamed, {} bytes in {seconds:.3} s with making the values",
        body.0
    );
    match (before, peak_kib()) {
        (Some(before), Some(peak)) => println!(
            "peak resident memory of the process: {:.1} MiB ({:.1} MiB before encrypting)",
            peak / 1024.0,
            before / 1024.0
        ),
        _ => println!("peak resident memory: this system does not tell"),
    }
}

/// What an encryption depends on.
struct Study {
    packing: Packing,
    layout: Layout,
    check_key: CheckKey,
}

impl Study {
    fn new(parameters: usize) -> Self {
        let tensor = TensorLayout { name: "w".into(), shape: vec![parameters as u32], clip: 0.5 };
        Self {
            packing: Packing::derive(16, 0, 10, 2).unwrap(),
            layout: Layout { tensors: vec![tensor] },
            check_key: CheckKey::generate(&mut system_rng().unwrap()),
        }
    }

    fn start(&self) -> Encryption<'_, f32> {
        let Self { packing, layout, check_key } = self;
        let manifest = Digest::of(b"example").into();
        let range = Summands::alike(1, packing);
        let context = EncryptionContext { manifest, packing, layout, range, check_key };
        let mut rng = system_rng().unwrap();
        OneTimeKey::generate(&mut rng).start(context, &mut rng).unwrap()
    }
}

/// Value `k` of the update.
fn value(k: usize) -> f32 {
    (k % 1000) as f32 / 1000.0 - 0.5
}

/// Counts what is written and keeps nothing.
#[derive(Default)]
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The process's largest resident memory so far, in KiB, as Linux tells it.
fn peak_kib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}
