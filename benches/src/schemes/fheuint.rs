//! tfhe's high-level integers: one encrypted 32-bit integer for each parameter, default settings.
//!
//! Radix integers bootstrap after additions, so they compute anything; a sum needs none of that.
//! A few values are measured and scaled: the cost is linear in them.

use std::hint::black_box;

use anyhow::Context;
use tfhe::prelude::{FheDecrypt, FheTryEncrypt};
use tfhe::safe_serialization::safe_serialized_size;
use tfhe::{CompressedFheUint32, ConfigBuilder, FheUint32, generate_keys, set_server_key};

use super::measured::{Costs, row};
use super::report::Row;
use super::workload::{Workload, time};

/// Values that are measured; one addition takes about a second on one thread.
const VALUES: usize = 2;

/// Repetitions of what takes a second.
const REPETITIONS: usize = 3;

/// The row of FheUint32.
pub(super) fn run(workload: &Workload) -> anyhow::Result<Option<Row>> {
    let workload = workload.first(VALUES);
    let (client_key, server_key) = generate_keys(ConfigBuilder::default().build());
    set_server_key(server_key);
    let encrypt = |update: &[f32]| -> anyhow::Result<Vec<CompressedFheUint32>> {
        let values = workload.quantize(update);
        Ok(values
            .into_iter()
            .map(|value| CompressedFheUint32::try_encrypt(value, &client_key))
            .collect::<Result<_, _>>()?)
    };
    let one = workload.one()?;
    let (encrypt_seconds, body) = workload.time(|| encrypt(black_box(one)))?;
    let mut bytes = 0;
    for value in &body {
        bytes += safe_serialized_size(value)?;
    }

    let mut sum: Vec<FheUint32> = body.iter().map(CompressedFheUint32::decompress).collect();
    for update in workload.updates.iter().skip(1) {
        for (sum, value) in sum.iter_mut().zip(encrypt(update)?) {
            *sum = &*sum + &value.decompress();
        }
    }
    let (add_seconds, _) = time(REPETITIONS.min(workload.repetitions), || {
        let added = sum.iter().zip(&body).map(|(sum, value)| sum + &value.decompress());
        Ok(added.collect::<Vec<_>>())
    })?;
    let (open_seconds, max_error) = workload.time_opening(workload.repetitions, || {
        let plain = |value: &FheUint32| FheDecrypt::<u32>::decrypt(value, &client_key);
        Ok(sum.iter().map(|value| u64::from(plain(value))).collect())
    })?;
    let parameters = u32::try_from(workload.parameters()).context("too many values")?;
    Ok(Some(Row {
        extrapolated: true,
        source: "tfhe 1.8, ConfigBuilder::default()".into(),
        ..row(
            "tfhe-fheuint",
            &workload,
            Costs {
                encrypt_seconds,
                share_seconds: 0.0,
                body_bytes: bytes as f64,
                upload_bytes: bytes as f64,
                add_seconds,
                open_seconds,
                max_error,
            },
            format!(
                "tfhe 1.8 FheUint32, default configuration, compressed ciphertexts, expanded at \
                 the aggregator; measured on {parameters} values (additions: median of at most \
                 {REPETITIONS}); ONE secret key held by every site."
            ),
        )
    }))
}
