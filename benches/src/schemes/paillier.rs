//! Paillier with a 2048-bit modulus and packed plaintexts, as FATE and BatchCrypt use it.
//!
//! The site encrypts with the secret key at hand (CRT: about twice as fast as with the public key
//! alone), as cross-silo systems where all sites share the key may. A few thousand values are
//! measured and scaled: the cost is linear in ciphertexts. The arithmetic is num-bigint's, in
//! Rust; GMP's is several times faster.

use std::hint::black_box;

use anyhow::Context;
use fast_paillier::backend::Integer;
use fast_paillier::{Ciphertext, DecryptionKey};
use rand_core_06::OsRng;

use super::measured::{Costs, row};
use super::report::Row;
use super::workload::{Workload, time};

const MODULUS_BITS: u32 = 2048;

/// A product of two 1024-bit primes may be as small as 2^2046 and plaintexts are below half of it.
const PLAIN_BITS: u32 = MODULUS_BITS - 4;

/// Plaintexts measured in a full run and in a quick one.
const PLAINTEXTS: (usize, usize) = (20, 2);

/// Repetitions of what takes seconds.
const REPETITIONS: usize = 3;

/// Joins values of `bits` bits, most significant first.
fn join(values: &[u32], bits: u32) -> Integer {
    let mut bytes = vec![0u8; (values.len() * bits as usize).div_ceil(8)];
    let total = bytes.len() * 8;
    for (index, value) in values.iter().enumerate() {
        for bit in 0..bits {
            // Bit positions count from the least significant bit of the last byte.
            let position = index * bits as usize + bit as usize;
            if let Some(byte) = bytes.get_mut((total - 1 - position) / 8) {
                *byte |= u8::from(value >> bit & 1 == 1) << (position % 8);
            }
        }
    }
    Integer::from_bytes_msf(&bytes)
}

/// Takes `count` values of `bits` bits apart.
fn split(joined: &Integer, bits: u32, count: usize) -> Vec<u64> {
    let bytes = joined.to_bytes_msf();
    let bit = |position: usize| {
        let byte = bytes.iter().rev().nth(position / 8).copied().unwrap_or(0);
        u64::from(byte >> (position % 8) & 1)
    };
    (0..count)
        .map(|index| (0..bits as usize).map(|k| bit(index * bits as usize + k) << k).sum())
        .collect()
}

/// The row of Paillier.
pub(super) fn run(workload: &Workload) -> anyhow::Result<Option<Row>> {
    let bits = workload.slot_bits();
    let slots = (PLAIN_BITS / bits) as usize;
    let quick = workload.repetitions < REPETITIONS;
    let plaintexts = if quick { PLAINTEXTS.1 } else { PLAINTEXTS.0 };
    let workload = workload.first(plaintexts * slots);
    let repetitions = REPETITIONS.min(workload.repetitions);

    let prime = || Integer::generate_prime(&mut OsRng, MODULUS_BITS / 2);
    let key = DecryptionKey::from_primes(prime(), prime())?;
    let public = key.encryption_key();
    let encrypt = |update: &[f32]| -> anyhow::Result<Vec<Ciphertext>> {
        workload
            .quantize(update)
            .chunks(slots)
            .map(|values| Ok(key.encrypt_with_random(&mut OsRng, &join(values, bits))?.0))
            .collect()
    };
    let add = |sum: &[Ciphertext], body: &[Ciphertext]| -> anyhow::Result<Vec<Ciphertext>> {
        sum.iter().zip(body).map(|(sum, term)| Ok(public.oadd(sum, term)?)).collect()
    };

    let one = workload.one()?;
    let (encrypt_seconds, body) = time(repetitions, || encrypt(black_box(one)))?;
    let mut sum = body.clone();
    for update in workload.updates.iter().skip(1) {
        sum = add(&sum, &encrypt(update)?)?;
    }
    let (add_seconds, _) = workload.time(|| add(black_box(&sum), black_box(&body)))?;
    let (open_seconds, max_error) = workload.time_opening(repetitions, || {
        let mut sums = Vec::with_capacity(workload.parameters());
        for ciphertext in &sum {
            let count = slots.min(workload.parameters() - sums.len());
            sums.extend(split(&key.decrypt(ciphertext)?, bits, count));
        }
        Ok(sums)
    })?;
    // A ciphertext is a number modulo N^2.
    let bytes = body.len() as f64 * f64::from(2 * MODULUS_BITS / 8);
    body.first().context("no ciphertexts")?;
    Ok(Some(Row {
        extrapolated: workload.parameters() < workload.asked,
        source: "fast-paillier 0.3.2".into(),
        ..row(
            "paillier",
            &workload,
            Costs {
                encrypt_seconds,
                share_seconds: 0.0,
                body_bytes: bytes,
                upload_bytes: bytes,
                add_seconds,
                open_seconds,
                max_error,
            },
            format!(
                "fast-paillier 0.3.2 with num-bigint (no GMP), {MODULUS_BITS}-bit modulus (112 \
                 bits of security), CRT encryption, {slots} values a plaintext, measured on {} \
                 values (encrypting and opening: median of {repetitions}); ONE secret key held \
                 by every site.",
                workload.parameters(),
            ),
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_values_add_and_come_apart() {
        let values: Vec<u32> = (0..102).map(|k| 65_535 - k * 600).collect();
        let joined = join(&values, 20);
        assert!(joined.significant_bits() <= u64::from(PLAIN_BITS));
        let expected: Vec<u64> = values.iter().map(|value| 2 * u64::from(*value)).collect();
        assert_eq!(split(&(&joined + &joined), 20, 102), expected);
    }
}
