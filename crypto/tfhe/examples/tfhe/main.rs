//! TFHE computation goes on from encrypted sums.
//!
//! Two rounds of aggregation, each under its own keys. tfhe computes `first + 2 second` on the two
//! encrypted sums without any key, takes one value out of the packed result, decrypts all of it
//! with the opened key sums, and bootstraps some of it to encrypted bits. What comes out is
//! compared with the plain sums.
//!
//! ```sh
//! cargo run --release -p ringfence-tfhe --example tfhe
//! ```
//!
//! The opened key sum is what decrypts here, so whoever computes on must not have it; that is for
//! a server that is to learn nothing from the round: neither the updates nor their sum.

use std::error::Error;
use std::time::Instant;

use ringfence_crypto::ring::field;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::{MODULUS, RING_DEGREE};
use ringfence_crypto::ring::words::block_bytes;
use ringfence_testkit::{FinishedRound, Rehearsal, Setup};
use ringfence_tfhe::glwe;
use tfhe::core_crypto::algorithms::slice_algorithms::{
    slice_wrapping_add_assign_custom_mod, slice_wrapping_scalar_mul_assign_custom_mod,
};
use tfhe::core_crypto::prelude::{
    GlweCiphertextOwned, GlweSecretKey, GlweSecretKeyOwned, LweCiphertext, LweSize, MonomialDegree,
    PlaintextCount, PlaintextList, PolynomialSize, decrypt_glwe_ciphertext, decrypt_lwe_ciphertext,
    extract_lwe_sample_from_glwe_ciphertext,
};

mod bootstrap;

/// Sites of the roster: slots have room for so many values.
const ROSTER: usize = 64;
/// Sites that contribute. `first + 2 second` adds up as much as 18 sites: within the roster's room,
/// as to the slots and as to the noise (6 + 4 * 6 = 30 sites' variance).
const SITES: usize = 6;
/// How much the second sum counts.
const WEIGHT: u64 = 2;
const PARAMETERS: usize = 20_000;
/// The updates are clipped to `[-CLIP, CLIP]`.
const CLIP: f32 = 0.5;

fn main() -> Result<(), Box<dyn Error>> {
    let setup = Setup {
        sites: ROSTER,
        threshold: None,
        parameters: PARAMETERS as u32,
        clip: CLIP,
        value_bits: 16,
    };
    let mut rehearsal = Rehearsal::of(setup, ringfence_keys::system_rng()?);
    let first = rehearsal.run(&updates(0));
    let second = rehearsal.run(&updates(1));
    let packing = &rehearsal.study.packing;
    println!("two rounds: {SITES} of {ROSTER} sites, {PARAMETERS} values of 16 bits");

    // The computing server: encrypted sums in, an encrypted result out.
    let start = Instant::now();
    let bytes = block_bytes(packing.wire_bits);
    let results = (first.sum.chunks(bytes).zip(second.sum.chunks(bytes)).zip(0u64..))
        .map(|((one, other), block)| {
            let one = glwe::ciphertext(packing, first.manifest_id(), block, one)?;
            let mut other = glwe::ciphertext(packing, second.manifest_id(), block, other)?;
            // tfhe's wrappers of these take moduli that are powers of two only.
            slice_wrapping_scalar_mul_assign_custom_mod(other.as_mut(), WEIGHT, MODULUS);
            Ok(joined(&one, &other))
        })
        .collect::<Result<Vec<_>, glwe::GlweError>>()?;
    println!(
        "tfhe: first + {WEIGHT} second in {} GLWE ciphertexts of dimension 2, {:.1} ms, no key",
        results.len(),
        start.elapsed().as_secs_f64() * 1e3
    );

    // Whoever has both opened key sums decrypts.
    let key = joined_key(&first, &second);
    let counted = SITES as u64 * (1 + WEIGHT);
    let mut values = decrypted(&key, &results, packing);
    let count = values.next();
    if count != Some(counted) {
        return Err(format!("the count of sites is {count:?}, expected {counted}").into());
    }
    let expected = first.plain.iter().zip(&second.plain).map(|(a, b)| a + WEIGHT * b);
    let expected: Vec<u64> = expected.collect();
    let values: Vec<u64> = values.take(PARAMETERS).collect();
    let wrong = expected.iter().zip(&values).filter(|(a, b)| a != b).count();
    if wrong > 0 || values.len() != PARAMETERS {
        return Err(format!("{wrong} of {} values differ from the plain sums", values.len()).into());
    }
    println!("tfhe: decrypted; count {counted}, all {PARAMETERS} values equal the plain sums");

    // One coefficient alone, as an LWE ciphertext, which TFHE's other operations start from.
    let (block, coefficient) = (results.len() - 2, 77);
    let ciphertext = results.get(block).ok_or("no such block")?;
    let size = LweSize(2 * RING_DEGREE + 1);
    let mut sample = LweCiphertext::new(0u64, size, glwe::modulus());
    let degree = MonomialDegree(coefficient);
    extract_lwe_sample_from_glwe_ciphertext(ciphertext, &mut sample, degree);
    let phase = decrypt_lwe_ciphertext(&key.as_lwe_secret_key(), &sample).0;
    let found = slot(message(phase, packing), 0, packing);
    // Slot 0 of coefficient k of block j holds value j S N + k, and value 0 is the count.
    let index = block * packing.block_values() + coefficient - 1;
    if expected.get(index) != Some(&found) {
        return Err(format!("value {index} is {found}, expected {:?}", expected.get(index)).into());
    }
    let step = f64::from(2.0 * CLIP) / packing.value_limit() as f64;
    let mean = found as f64 * step / counted as f64 - f64::from(CLIP);
    println!(
        "tfhe: value {index} as an LWE ciphertext of dimension {}: mean {mean:.6}, as it should be",
        size.0 - 1
    );
    decide(&key, ciphertext, block, &expected, packing)
}

/// Bootstrapping: encrypted bits that say which means of a block are positive.
fn decide(
    key: &GlweSecretKeyOwned<u64>,
    ciphertext: &GlweCiphertextOwned<u64>,
    block: usize,
    expected: &[u64],
    packing: &Packing,
) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let (evaluation, bit_key) = bootstrap::generate(key);
    println!("tfhe: keys for bootstrapping, {:.1} s", start.elapsed().as_secs_f64());
    // The highest slot decides about a coefficient's phase; what is below it is less than one.
    let top = packing.slots - 1;
    let limit = SITES as u64 * (1 + WEIGHT) * packing.value_limit();
    let scale = (u32::from(packing.delta_bits) + u32::from(top * packing.slot_bits)) as i32;
    let largest = limit as f64 * 2f64.powi(scale) / (MODULUS as f64 / 2.0);
    if largest > bootstrap::LARGEST {
        return Err(
            format!("phases reach {largest} of the half torus: take a larger roster").into()
        );
    }
    let start = Instant::now();
    let switched = evaluation.switched(ciphertext);
    let (mut right, mut positive) = (0, 0);
    for coefficient in (0..RING_DEGREE).step_by(RING_DEGREE / 32) {
        let index = block * packing.block_values() + usize::from(top) * RING_DEGREE + coefficient;
        let sum = *expected.get(index - 1).ok_or("no such value")?;
        // Switching and bootstrapping blur the threshold by about 1/300 of the half torus; a value
        // that near to it may be decided either way.
        if sum.abs_diff(limit / 2) < limit / 20 {
            continue;
        }
        let bit = evaluation.is_above(&switched, coefficient, largest / 2.0);
        if bit_key.open(&bit)? != (sum > limit / 2) {
            return Err(
                format!("value {}: sum {sum} of at most {limit} decided wrong", index - 1).into()
            );
        }
        right += 1;
        positive += usize::from(sum > limit / 2);
    }
    println!(
        "tfhe: {right} bootstrapped bits say whether a mean is positive ({positive} are), all right; {:.1} s",
        start.elapsed().as_secs_f64()
    );
    if positive == 0 || positive == right {
        return Err("expected means of both signs".into());
    }
    Ok(())
}

/// Every site's update of a round.
fn updates(round: usize) -> Vec<Vec<f32>> {
    let value = |site: usize, k: usize| {
        ((k * (7 + site) + 131 * round) % 1000) as f32 / 1000.0 * (2.0 * CLIP) - CLIP
    };
    (0..SITES).map(|site| (0..PARAMETERS).map(|k| value(site, k)).collect()).collect()
}

/// The sum of two ciphertexts under different keys: a ciphertext of dimension 2 under both. Two
/// rounds have different public polynomials, so that the masks stand side by side.
fn joined(
    one: &GlweCiphertextOwned<u64>,
    other: &GlweCiphertextOwned<u64>,
) -> GlweCiphertextOwned<u64> {
    let (of_one, of_other) = (one.get_mask(), other.get_mask());
    let mut container = [of_one.as_ref(), of_other.as_ref()].concat();
    let mut body = one.get_body().as_ref().to_vec();
    slice_wrapping_add_assign_custom_mod(&mut body, other.get_body().as_ref(), MODULUS);
    container.extend(body);
    GlweCiphertextOwned::from_container(container, PolynomialSize(RING_DEGREE), glwe::modulus())
}

/// The key of [`joined`] sums.
fn joined_key(first: &FinishedRound, second: &FinishedRound) -> GlweSecretKeyOwned<u64> {
    let keys = [first, second].map(|round| glwe::secret_key(&round.key_sum(ROSTER - 1)));
    let container = keys.iter().flat_map(|key| key.as_ref().iter().copied()).collect();
    GlweSecretKey::from_container(container, PolynomialSize(RING_DEGREE))
}

/// All slots of all blocks, in the order of the values.
fn decrypted<'a>(
    key: &'a GlweSecretKeyOwned<u64>,
    blocks: &'a [GlweCiphertextOwned<u64>],
    packing: &'a Packing,
) -> impl Iterator<Item = u64> {
    blocks.iter().flat_map(move |ciphertext| {
        let mut phases = PlaintextList::new(0u64, PlaintextCount(RING_DEGREE));
        decrypt_glwe_ciphertext(key, ciphertext, &mut phases);
        let messages: Vec<u64> = phases.as_ref().iter().map(|p| message(*p, packing)).collect();
        let of_slot = |index| messages.iter().map(move |m| slot(*m, index, packing));
        (0..packing.slots).flat_map(of_slot).collect::<Vec<u64>>()
    })
}

/// The integer above the noise: tfhe gives `Delta M` and the noise.
fn message(phase: u64, packing: &Packing) -> u64 {
    field::add(phase, 1 << (packing.delta_bits - 1)) >> packing.delta_bits
}

fn slot(message: u64, index: u8, packing: &Packing) -> u64 {
    message >> (index * packing.slot_bits) & ((1 << packing.slot_bits) - 1)
}
