//! Encrypt, add and open at 10^5 and 10^6 parameters of 16 bits, 10 sites, one thread.
//! A plain modular addition and BLAKE3 stand beside them, so that machines can be compared.

#![allow(missing_docs, clippy::expect_used, reason = "a bench that cannot run stops")]

use std::hint::black_box;
use std::io;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringfence_benches::{decode, key_sum, round_of};
use ringfence_crypto::Digest;
use ringfence_crypto::ring::words::{WordSum, block_bytes};
use ringfence_keys::encrypt::one_time_key::{EncryptionContext, OneTimeKey};
use ringfence_keys::update::quantize::QuantizedUpdate;

const SITES: usize = 10;

fn cipher(criterion: &mut Criterion) {
    let mut rng = ringfence_keys::system_rng().expect("randomness");
    let mut group = criterion.benchmark_group("10 sites, 16 bits");
    group.sample_size(20);
    for parameters in [100_000u32, 1_000_000] {
        let round = round_of(SITES, parameters).expect("a finished round");
        let study = &round.parties.study;
        group.throughput(Throughput::Elements(u64::from(parameters)));

        let values = vec![0.125f32; parameters as usize];
        group.bench_function(BenchmarkId::new("quantize", parameters), |bencher| {
            let (layout, packing) = (&study.layout, &study.packing);
            bencher.iter(|| {
                QuantizedUpdate::quantize(black_box(&values), layout, packing, &mut rng)
                    .expect("quantized")
            });
        });
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("pool");
            let name = format!("quantize, pack, encrypt; {threads} threads");
            let context =
                EncryptionContext::new(study, 0, &round.manifest, &round.parties.check_key);
            group.bench_function(BenchmarkId::new(name, parameters), |bencher| {
                bencher.iter(|| {
                    pool.install(|| {
                        let key = OneTimeKey::generate(&mut rng);
                        let mut encryption = key.start(context, &mut rng).expect("started");
                        encryption.update(black_box(&values), &mut io::sink()).expect("encrypted");
                        encryption.finish(&mut io::sink()).expect("encrypted")
                    })
                });
            });
        }
        group.bench_function(
            BenchmarkId::new("open: unseal and reconstruct", parameters),
            |bencher| {
                bencher.iter(|| key_sum(&round));
            },
        );
        let keys = key_sum(&round);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("pool");
        group.bench_function(BenchmarkId::new("open: decode and check", parameters), |bencher| {
            bencher.iter(|| pool.install(|| decode(&round, &keys).expect("opened")));
        });

        group.throughput(Throughput::Bytes(round.body.len() as u64));
        // As the aggregator adds: a running sum of some blocks, into which bodies stream.
        let bits = study.packing.wire_bits;
        let chunk = 20 * block_bytes(bits);
        let body = round.body.repeat(40);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new("add bodies", parameters), |bencher| {
            bencher.iter(|| {
                let mut sum = WordSum::new(bits, chunk).expect("whole blocks");
                for part in black_box(&body).chunks_exact(chunk) {
                    sum.add(part).expect("added");
                }
                sum.finish()
            });
        });
        group.bench_function(BenchmarkId::new("BLAKE3 of the bodies", parameters), |bencher| {
            bencher.iter(|| Digest::of(black_box(&body)));
        });
    }
    group.finish();
}

criterion_group!(benches, cipher);
criterion_main!(benches);
