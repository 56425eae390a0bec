//! A sum under a key sum of zero: what is put into a coefficient is what stands there.

use super::*;
use crate::encrypt::check::{CheckKey, CheckWords};
use crate::open::OpenedSum;
use crate::share::reconstruct::KeySum;
use crate::share::share::{Share, share_words};
use crate::testing::{rng, study};
use proptest::prelude::*;
use rand::Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::packing::{Packing, VALUE_BITS};
use ringfence_crypto::ring::params::MODULUS;
use ringfence_crypto::ring::words::{pack, to_word};
use ringfence_crypto::statement::{Study, Summands};

const BLOCKS: usize = 2;

/// A sum of two blocks, over so many sites.
struct Sum<'a> {
    study: &'a Study,
    check_key: &'a CheckKey,
    sites: usize,
    /// Words of both blocks.
    words: Vec<u64>,
}

impl Sum<'_> {
    /// Puts a message and noise into a coefficient, counted over both blocks.
    fn put(&mut self, at: usize, message: u64, noise: i64) {
        let Packing { delta_bits, wire_bits, .. } = self.study.packing;
        let plain = field::reduce(u128::from(message) << delta_bits);
        self.words[at] = to_word(field::add(plain, field::from_signed(noise)), wire_bits);
    }

    /// What the position says, and whether the sum decodes: they must agree.
    fn position(&self) -> Option<Position> {
        let Self { study, check_key, sites, .. } = *self;
        let wire_bits = study.packing.wire_bits;
        let mut sum = vec![0; BLOCKS * block_bytes(wire_bits)];
        for (words, out) in
            self.words.chunks(RING_DEGREE).zip(sum.chunks_mut(block_bytes(wire_bits)))
        {
            pack(words, wire_bits, out);
        }
        let zeros = vec![0; 8 * share_words(&study.threshold)];
        let share = |k| (k, Share::from_bytes(&zeros, &study.threshold).unwrap());
        let keys = KeySum::reconstruct(&[share(0), share(1)], &study.threshold, 0).unwrap();
        let check = CheckWords::zero(wire_bits);
        let manifest = Digest::of(b"round").into();
        let summands = Summands::alike(sites, &study.packing);
        let context =
            SumContext { study, manifest, summands, keys: &keys, check: &check, check_key };
        let position = first_failure(context, &mut &sum[..]).unwrap();
        let decoded = match OpenedSum::open(context, &mut &sum[..]) {
            // Check words come last: they are those of no sum here.
            Ok(_) | Err(OpenError::Check) => true,
            Err(OpenError::Noise { .. } | OpenError::Slot { .. } | OpenError::Count { .. }) => {
                false
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(decoded, position.is_none(), "{position:?}, {:?}", study.packing);
        position
    }
}

/// A sum within its bounds, of a study with these packing and values.
fn sum<'a>(study: &'a Study, check_key: &'a CheckKey, sites: usize, seed: u64) -> Sum<'a> {
    let words = vec![0; BLOCKS * RING_DEGREE];
    let mut sum = Sum { study, check_key, sites, words };
    let (limits, mut rng) =
        (SlotLimits::new(study, Summands::alike(sites, &study.packing)), rng(seed));
    let Packing { slots, slot_bits, .. } = study.packing;
    for at in 0..BLOCKS * RING_DEGREE {
        let position = position(at);
        let mut message = 0;
        for slot in 0..slots {
            let value = limits.largest(position, slot);
            // Values at their largest, zero, or between; the count always.
            let value = match rng.next_u32() % 3 {
                _ if at == 0 && slot == 0 => value,
                0 => 0,
                1 => value,
                _ => value / 2,
            };
            message |= value << (slot * slot_bits);
        }
        sum.put(at, message, i64::from(rng.next_u32() % 21) - 10);
    }
    sum
}

fn position(at: usize) -> Position {
    Position { block: (at / RING_DEGREE) as u64, coefficient: (at % RING_DEGREE) as u16 }
}

/// A study of such values, of which there are `missing` fewer than two blocks have room for.
fn with_packing(study: &Study, packing: Packing, collusion: u16, missing: usize) -> Study {
    let mut study = study.clone();
    (study.packing, study.threshold.collusion) = (packing, collusion);
    let values = BLOCKS * packing.block_values() - 1 - missing;
    study.layout.tensors[0].shape = vec![values as u32];
    study
}

#[test]
fn the_first_position_is_by_block_then_coefficient_whatever_fails_there() {
    let (study, identities) = study(3);
    let check_key = identities[0].check_key(&study).unwrap();
    let packing = Packing::derive(16, 0, 10, 1).unwrap();
    assert!(packing.slots > 1);
    // The highest slot of the last 100 coefficients is padding.
    let study = with_packing(&study, packing, 1, 100);
    let bound = Decoder::new(&study, Summands::alike(10, &packing), Digest::of(b"round").into())
        .bound() as i64;
    let step = (u128::from(MODULUS) >> packing.wire_bits) as i64 + 8;
    let good = || sum(&study, &check_key, 10, 1);
    assert_eq!(good().position(), None);
    let last = (packing.slots - 1) * packing.slot_bits;
    let limit = packing.slot_limit(10);
    let faults: [(usize, u64, i64); 9] = [
        (2 * RING_DEGREE - 1, 1 << last, 0),
        (2 * RING_DEGREE - 100, 1 << last, 0),
        (RING_DEGREE + 9, 0, -bound - step),
        (RING_DEGREE + 8, limit << last, bound + step),
        (RING_DEGREE, (limit + 1) << last, 0),
        (4000, limit + 1, 0),
        (17, 0, bound + step),
        (0, 11, 0),
        (0, 9, 0),
    ];
    let mut all = good();
    for (at, message, noise) in faults {
        let mut one = good();
        one.put(at, message, noise);
        assert_eq!(one.position(), Some(position(at)), "{message} {noise}");
        // Each lies before those that fail already.
        all.put(at, message, noise);
        assert_eq!(all.position(), Some(position(at)), "{message} {noise}");
    }
    // Within the layout the same slot may be filled.
    let mut within = good();
    within.put(2 * RING_DEGREE - 101, 1 << last, 0);
    assert_eq!(within.position(), None);
}

#[test]
fn a_sum_decodes_exactly_if_no_position_fails() {
    let (study, identities) = study(3);
    let check_key = identities[0].check_key(&study).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(96));
    let strategy = (
        (VALUE_BITS, 3usize..=200, 1u16..=4, 0u8..=64, 0usize..9000),
        any::<u64>(),
        prop::collection::vec((0..BLOCKS * RING_DEGREE, -4i64..=4, any::<u64>(), 0u8..4), 0..3),
    );
    let strategy =
        strategy.prop_map(|((bits, sites, collusion, wire_bits, missing), seed, changes)| {
            let packing = Packing::derive(bits, 0, sites, collusion).unwrap();
            let wire_bits = wire_bits.clamp(packing.wire_bits, 64);
            let packing = Packing { wire_bits, ..packing };
            let missing = missing.min(packing.block_values());
            (packing, sites, collusion, missing, seed, changes)
        });
    let counts = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let test =
        |(packing, sites, collusion, missing, seed, changes): (Packing, _, _, _, _, Vec<_>)| {
            let study = with_packing(&study, packing, collusion, missing);
            let mut sum = sum(&study, &check_key, sites, seed);
            let bound =
                Decoder::new(&study, Summands::alike(sites, &packing), Digest::of(b"round").into())
                    .bound() as i64;
            let half = 1i64 << (packing.delta_bits - 1);
            for (at, quarters, random, kind) in changes {
                let random: u64 = random;
                match kind {
                    // Near the bound on noise, or at the edges of a digit.
                    0 => sum.put(at, 0, (bound / 2).saturating_mul(quarters)),
                    1 => sum.put(at, 0, half / 4 * quarters),
                    // Any word, and any slot.
                    2 => sum.words[at] = to_word(random % MODULUS, packing.wire_bits),
                    _ => sum.put(at, 1 << (random % (63 - u64::from(packing.delta_bits))), 0),
                }
            }
            let count = if sum.position().is_some() { &counts.0 } else { &counts.1 };
            count.set(count.get() + 1);
            Ok(())
        };
    runner.run(&strategy, test).unwrap();
    let (failed, decoded) = (counts.0.get(), counts.1.get());
    assert!(failed > 10 && decoded > 10, "{failed} failed, {decoded} did not");
}
