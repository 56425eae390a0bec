//! Encrypt, add and open at 10^5 and 10^6 parameters of 16 bits, 10 sites, one thread.
//! A plain modular addition and BLAKE3 stand beside them, so that machines can be compared.

#![allow(missing_docs, clippy::expect_used, reason = "a bench that cannot run stops")]

use std::hint::black_box;
use std::io;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringfence_benches::FinishedRound;
use ringfence_crypto::Digest;
use ringfence_crypto::ciphertext::add_words;
use ringfence_crypto::statement::Statement;
use ringfence_keys::one_time_key::{EncryptionContext, OneTimeKey};
use ringfence_keys::quantize::QuantizedUpdate;

const SITES: usize = 10;

fn cipher(criterion: &mut Criterion) {
    let mut rng = ringfence_keys::system_rng().expect("randomness");
    let mut group = criterion.benchmark_group("10 sites, 16 bits");
    group.sample_size(20);
    for parameters in [100_000u32, 1_000_000] {
        let round = FinishedRound::run(SITES, parameters).expect("a finished round");
        let study = &round.study;
        let digest = round.manifest.digest();
        group.throughput(Throughput::Elements(u64::from(parameters)));

        let values = vec![0.125f32; parameters as usize];
        group.bench_function(BenchmarkId::new("quantize", parameters), |bencher| {
            bencher.iter(|| {
                QuantizedUpdate::quantize(
                    black_box(&values),
                    &study.layout,
                    &study.packing,
                    &mut rng,
                )
                .expect("quantized")
            });
        });
        group.bench_function(
            BenchmarkId::new("encrypt (pack, mask, noise, check)", parameters),
            |bencher| {
                let context = EncryptionContext {
                    round: &digest,
                    packing: &study.packing,
                    check_key: &round.check_key,
                };
                bencher.iter(|| {
                    let key = OneTimeKey::generate(&mut rng);
                    key.encrypt(&round.update, context, &mut rng, &mut io::sink())
                        .expect("encrypted")
                });
            },
        );
        group.bench_function(
            BenchmarkId::new("open: unseal and reconstruct", parameters),
            |bencher| {
                bencher.iter(|| round.key_sum().expect("key sum"));
            },
        );
        let keys = round.key_sum().expect("key sum");
        group.bench_function(BenchmarkId::new("open: decode and check", parameters), |bencher| {
            bencher.iter(|| round.decode(&keys).expect("opened"));
        });

        group.throughput(Throughput::Bytes(round.body.len() as u64));
        let mut sum = round.sum.clone();
        group.bench_function(BenchmarkId::new("add one body", parameters), |bencher| {
            bencher.iter(|| add_words(&mut sum, black_box(&round.body)).expect("added"));
        });
        group.bench_function(BenchmarkId::new("BLAKE3 of one body", parameters), |bencher| {
            bencher.iter(|| Digest::of(black_box(&round.body)));
        });
    }
    group.finish();
}

criterion_group!(benches, cipher);
criterion_main!(benches);
