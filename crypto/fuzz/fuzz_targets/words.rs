//! Wire words of every width, packings from hostile numbers.
//!
//! Invariants: no panic; words come back as they were laid out; laid-out words add like words; a
//! packing that passes its check holds a whole roster's largest values without overflow.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::MODULUS;
use ringfence_crypto::ring::words::{
    GROUP, add_words, from_word, pack, to_word, unpack, word_modulus,
};
use ringfence_crypto::threshold::Threshold;

#[derive(Arbitrary, Debug)]
struct Input {
    packing: [u8; 5],
    noise_bound: u32,
    sites: u16,
    threshold: [u16; 5],
    wire_bits: u8,
    a: Vec<u64>,
    b: Vec<u64>,
    bytes: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let [value_bits, slot_bits, slots, delta_bits, wire_bits] = input.packing;
    let noise_bound = input.noise_bound;
    let packing = Packing { value_bits, noise_bound, slot_bits, slots, delta_bits, wire_bits };
    let sites = usize::from(input.sites).max(1);
    if packing.check(sites, input.threshold[1]).is_ok() {
        let slot = u128::from(packing.slot_limit(sites));
        assert!(slot < 1 << slot_bits);
        let message: u128 = (0..slots).map(|s| slot << (u32::from(s) * u32::from(slot_bits))).sum();
        assert!((message + 1) << delta_bits < u128::from(MODULUS));
    }
    let [holders, collusion, packed, opening, endorsements] = input.threshold;
    let threshold = Threshold { holders, collusion, packing: packed, opening, endorsements };
    if threshold.check(sites).is_ok() {
        let (m, c, l) = (u32::from(holders), u32::from(collusion), u32::from(packed));
        assert!(2 * u32::from(endorsements) > m + c && u32::from(opening) >= c + l);
    }

    let bits = input.wire_bits % 33 + 32;
    let mask = u64::MAX >> (64 - bits);
    let word =
        |list: &[u64], k: usize| list.get(k % list.len().max(1)).copied().unwrap_or(0) & mask;
    let a: Vec<u64> = (0..GROUP).map(|k| word(&input.a, k)).collect();
    let b: Vec<u64> = (0..GROUP).map(|k| word(&input.b, k)).collect();
    let (mut sum, mut other) = (vec![0; 64 * usize::from(bits)], vec![0; 64 * usize::from(bits)]);
    pack(&a, bits, &mut sum);
    pack(&b, bits, &mut other);
    add_words(&mut sum, &other, bits).expect("one group each");
    let mut words = vec![0; GROUP];
    unpack(&sum, bits, &mut words);
    for ((word, a), b) in words.iter().zip(&a).zip(&b) {
        let p = u128::from(word_modulus(bits));
        assert_eq!(u128::from(*word), (u128::from(*a) + u128::from(*b)) % p);
        let residue = from_word(*word, bits);
        assert!(residue < MODULUS);
        // Where words lie further apart than lifting errs, a lifted word rounds back to itself.
        assert!(bits > 60 || to_word(residue, bits) == *word, "{bits} bits");
    }
    let before = input.bytes.clone();
    let mut bytes = input.bytes;
    if add_words(&mut bytes, &other, bits).is_err() {
        assert_eq!(bytes, before);
    }
    let _ = field::parse_residues(&bytes, bytes.len() / 8);
});
