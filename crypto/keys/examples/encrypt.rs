//! How long one encryption takes here, on one thread: 10^6 parameters of 16 bits for 10 sites.
//!
//! ```sh
//! cargo run --release -p ringfence-keys --example encrypt
//! cargo run --release -p ringfence-keys --example encrypt --no-default-features   # without AVX-512
//! ```

#![allow(clippy::unwrap_used, reason = "an example that cannot run stops")]

use std::time::Instant;

use ringfence_crypto::Digest;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::packing::Packing;
use ringfence_keys::check::CheckKey;
use ringfence_keys::one_time_key::{EncryptionContext, OneTimeKey};

const PARAMETERS: usize = 1_000_000;

fn main() {
    let tensor = TensorLayout { name: "w".into(), shape: vec![PARAMETERS as u32], clip: 0.5 };
    let layout = Layout { tensors: vec![tensor] };
    let packing = Packing::derive(16, 10).unwrap();
    let values: Vec<f32> = (0..PARAMETERS).map(|k| (k % 1000) as f32 / 1000.0 - 0.5).collect();
    let mut rng = ringfence_keys::system_rng().unwrap();
    let check_key = CheckKey::generate(&mut rng);
    let mut body = Vec::new();
    let mut times = Vec::new();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for _ in 0..26 {
        body.clear();
        let round = Digest::of(b"example");
        let (packing, layout, check_key) = (&packing, &layout, &check_key);
        let context = EncryptionContext { round, packing, layout, check_key };
        let start = Instant::now();
        pool.install(|| {
            let mut encryption = OneTimeKey::generate(&mut rng).start(context, &mut rng).unwrap();
            encryption.update(&values, &mut body).unwrap();
            encryption.finish(&mut body).unwrap();
        });
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
