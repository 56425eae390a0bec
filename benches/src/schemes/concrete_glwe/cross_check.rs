//! concrete-core's GLWE against Ringfence's arithmetic, both at the native modulus 2^64.
//!
//! Ringfence's cipher is `c = a s + e + Delta m` in `Z_q[X]/(X^N + 1)` with keys that add. Here q
//! is 2^64, the product is the schoolbook's, the packing is Ringfence's (q is just below 2^64, so
//! what fits there fits here), and bodies are added by the aggregator's own function at 64-bit
//! words.

use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::RING_DEGREE;

use super::*;

const SITES: usize = 3;

/// `a b` in `Z[X]/(X^N + 1)` modulo 2^64.
fn product(a: &[u64], b: &[u64]) -> Vec<u64> {
    let n = a.len();
    let mut out = vec![0u64; n];
    for (i, a) in a.iter().enumerate() {
        for (j, b) in b.iter().enumerate() {
            let (term, place) = (a.wrapping_mul(*b), (i + j) % n);
            // X^N = -1.
            out[place] = match i + j < n {
                true => out[place].wrapping_add(term),
                false => out[place].wrapping_sub(term),
            };
        }
    }
    out
}

/// concrete-core shows no keys, but the phase of a ciphertext whose mask is -1 and whose body is 0
/// is the key.
fn key_polynomials(cipher: &mut Cipher, dimension: usize) -> Vec<Vec<u64>> {
    (0..dimension)
        .map(|index| {
            let mut trivial = vec![0; (dimension + 1) * RING_DEGREE];
            trivial[index * RING_DEGREE] = u64::MAX;
            cipher.decrypt(trivial).unwrap()
        })
        .collect()
}

/// Values of a site at every slot of every coefficient, the largest one among them.
fn values(site: usize, packing: &Packing) -> Vec<u64> {
    let limit = packing.value_limit();
    let value = |k: usize| {
        if k.is_multiple_of(5) { limit } else { (k * (977 + site)) as u64 % (limit + 1) }
    };
    (0..packing.block_values()).map(value).collect()
}

/// Slot s of coefficient k holds value `s N + k`, above the scale.
fn scaled(values: &[u64], packing: &Packing) -> Vec<u64> {
    let mut words = vec![0; RING_DEGREE];
    for (slot, values) in values.chunks(RING_DEGREE).enumerate() {
        let shift = slot as u32 * u32::from(packing.slot_bits) + u32::from(packing.delta_bits);
        words.iter_mut().zip(values).for_each(|(word, value)| *word |= value << shift);
    }
    words
}

/// The values back from phases: noise rounded away, slots apart.
fn unscaled(phases: &[u64], packing: &Packing) -> Vec<u64> {
    let message =
        |phase: &u64| phase.wrapping_add(1 << (packing.delta_bits - 1)) >> packing.delta_bits;
    let slot = |phase: &u64, slot: u8| {
        message(phase) >> (slot * packing.slot_bits) & ((1 << packing.slot_bits) - 1)
    };
    (0..packing.slots).flat_map(|index| phases.iter().map(move |p| slot(p, index))).collect()
}

fn plain_sums(packing: &Packing) -> Vec<u64> {
    let mut sums = vec![0; packing.block_values()];
    for site in 0..SITES {
        sums.iter_mut().zip(values(site, packing)).for_each(|(sum, value)| *sum += value);
    }
    sums
}

/// Adds words modulo 2^64.
fn add(sum: &mut [u64], body: &[u64]) {
    sum.iter_mut().zip(body).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
}

#[test]
fn a_key_additive_sum_of_ours_decrypts_in_concrete_core() {
    let packing = Packing::derive(16, 0, SITES, 1).unwrap();
    // Each site has a key of its own; concrete-core holds all three as one of dimension three, and
    // the mask that they share stands three times.
    let mut cipher = Cipher::generate(SITES, RING_DEGREE).unwrap();
    let keys = key_polynomials(&mut cipher, SITES);
    for key in &keys {
        let ones: u64 = key.iter().sum();
        assert!(key.iter().all(|bit| *bit <= 1) && ones.abs_diff(2048) < 320, "{ones} ones");
    }
    assert_ne!(keys[0], keys[1]);

    let mut rng = system_rng().unwrap();
    let mut word = || rng.next_u64();
    let mask: Vec<u64> = (0..RING_DEGREE).map(|_| word()).collect();
    let mut sum = vec![0u64; RING_DEGREE];
    for (site, key) in keys.iter().enumerate() {
        let mut body = product(&mask, key);
        let messages = scaled(&values(site, &packing), &packing);
        for (body, message) in body.iter_mut().zip(messages) {
            // Within 10 widths of Ringfence's errors.
            let error = (word() % 129).wrapping_sub(64);
            *body = body.wrapping_add(message).wrapping_add(error);
        }
        add(&mut sum, &body);
    }
    let container = [mask.repeat(SITES), sum].concat();
    let phases = cipher.decrypt(container.clone()).unwrap();
    assert!(unscaled(&phases, &packing) == plain_sums(&packing));

    // Under one key less, nothing of the sum is there.
    let mut short = container;
    short[..RING_DEGREE].fill(0);
    let phases = cipher.decrypt(short).unwrap();
    let pairs = unscaled(&phases, &packing).into_iter().zip(plain_sums(&packing));
    assert!(pairs.filter(|(a, b)| a == b).count() < 20);
}

#[test]
fn what_concrete_core_encrypts_adds_and_decrypts_in_our_arithmetic() {
    // concrete-core's noise is wider than Ringfence's (2^15.7 of 2^64): a slot less, more scale.
    let packing = Packing { slots: 2, delta_bits: 27, ..Packing::derive(16, 0, SITES, 1).unwrap() };
    packing.check(SITES, 1).unwrap();
    let mut cipher = Cipher::generate(1, RING_DEGREE).unwrap();
    let key = key_polynomials(&mut cipher, 1).remove(0);
    let mut sum = vec![0u64; 2 * RING_DEGREE];
    for site in 0..SITES {
        let seeded = cipher.encrypt(&scaled(&values(site, &packing), &packing)).unwrap();
        let body = cipher.expand(seeded).unwrap();
        add(&mut sum, &body);
    }
    let (mask, body) = sum.split_at(RING_DEGREE);
    let masked = product(mask, &key);
    let phases: Vec<u64> = body.iter().zip(masked).map(|(b, m)| b.wrapping_sub(m)).collect();
    assert!(unscaled(&phases, &packing) == plain_sums(&packing));
    assert_eq!(cipher.decrypt(sum.clone()).unwrap(), phases, "noise and all");
}
