//! Words of every width against plain integers.

use super::*;
use crate::ring::field;
use crate::ring::noise_bound::LIFTING_SLACK;
use crate::ring::params::MODULUS;
use proptest::prelude::*;

/// Whether `n` is prime: Miller and Rabin with the twelve bases that decide below `2^64`.
fn is_prime(n: u64) -> bool {
    let bases = [2u64, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    let times = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(n)) as u64;
    let shift = (n - 1).trailing_zeros();
    bases.iter().all(|base| {
        let (mut power, mut square, mut exponent) = (1, base % n, (n - 1) >> shift);
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = times(power, square);
            }
            square = times(square, square);
            exponent >>= 1;
        }
        let mut witness = power != 1;
        for _ in 0..shift {
            witness &= power != n - 1;
            power = times(power, power);
        }
        !witness
    })
}

#[test]
fn moduli_are_the_largest_primes_below_powers_of_two() {
    for bits in WIRE_BITS {
        let modulus = word_modulus(bits);
        assert!(is_prime(modulus), "{bits} bits: {modulus}");
        let mut above = modulus + 1..=u64::MAX >> (64 - bits);
        assert!(!above.any(is_prime), "{bits} bits: there is a larger prime");
    }
}

/// `value p - c q` brought next to zero modulo `q p`, over `p`: how far a word is from a
/// residue, in residues. As a float: 2^-50 of it is lost.
fn distance(word: u64, residue: u64, bits: u8) -> f64 {
    let (q, p) = (u128::from(MODULUS), u128::from(word_modulus(bits)));
    let (left, right) = (u128::from(word) * q, u128::from(residue) * p);
    let apart = left.abs_diff(right);
    apart.min(q * p - apart) as f64 / p as f64
}

fn residue() -> impl Strategy<Value = u64> {
    let q = MODULUS;
    let edges = [0, 1, 2, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, q / 2, q / 2 + 1, q - 2, q - 1];
    prop_oneof![
        prop::sample::select(edges.to_vec()),
        0..MODULUS,
        (0u32..64, 0..3u64).prop_map(|(shift, off)| field::sub(field::canonical(1 << shift), off)),
    ]
}

proptest! {
    #[test]
    fn words_are_the_rounded_quotients(value in residue(), bits in WIRE_BITS) {
        let word = to_word(value, bits);
        prop_assert!(word < word_modulus(bits));
        let half = MODULUS as f64 / word_modulus(bits) as f64 / 2.0;
        let off = distance(word, value, bits);
        prop_assert!(off <= (half + 1.001) * (1.0 + 2f64.powi(-50)), "{} of {}", off, half);
    }

    #[test]
    fn words_do_not_fall_when_residues_grow(value in residue(), bits in WIRE_BITS) {
        let (word, next) = (to_word(value, bits), to_word(field::add(value, 1), bits));
        // Where a residue is worth more than a word, one may be skipped.
        let p = word_modulus(bits);
        let step = (u128::from(next) + u128::from(p - word)) % u128::from(p);
        prop_assert!(step <= if bits == 64 { 2 } else { 1 }, "{} to {}", word, next);
    }

    #[test]
    fn any_word_lifts_to_a_near_residue(word: u64, bits in WIRE_BITS) {
        let word = word >> (64 - bits);
        let residue = from_word(word, bits);
        prop_assert!(residue < MODULUS);
        let off = distance(word % word_modulus(bits), residue, bits);
        prop_assert!(off < LIFTING_SLACK, "{}", off);
    }

    #[test]
    fn sums_are_those_modulo_the_prime(seed: u64, bits in WIRE_BITS, bodies in 1usize..7) {
        let p = u128::from(word_modulus(bits));
        let mut expected = vec![0u128; 2 * GROUP];
        let mut sum = WordSum::new(bits, 2 * 64 * usize::from(bits)).unwrap();
        // As if so many had been added before: the next reduction comes in between.
        sum.room = sum.room.min(seed % 4);
        for body in 0..bodies as u64 {
            let words = words(seed ^ body, bits);
            expected.iter_mut().zip(&words).for_each(|(e, word)| *e += u128::from(*word));
            sum.add(&bytes_of(&words, bits)).unwrap();
        }
        let expected: Vec<u64> = expected.iter().map(|sum| (sum % p) as u64).collect();
        prop_assert!(sum.finish() == bytes_of(&expected, bits));
    }

    #[test]
    fn any_wide_number_is_reduced(value: u128, bits in WIRE_BITS) {
        let p = u128::from(word_modulus(bits));
        for value in [value, value >> 40, u128::MAX, p, p - 1, value / p * p] {
            prop_assert_eq!(u128::from(reduce_wide(value, bits)), value % p);
        }
    }

    #[test]
    fn full_sums_are_reduced(sum: u64, bits in WIRE_BITS) {
        let mut sums = [sum, u64::MAX, 0, word_modulus(bits)];
        let expected = sums.map(|sum| sum % word_modulus(bits));
        reduce_sums(&mut sums, bits);
        prop_assert_eq!(sums, expected);
    }
}

fn bytes_of(words: &[u64], bits: u8) -> Vec<u8> {
    let mut bytes = vec![0; words.len() / 8 * usize::from(bits)];
    pack(words, bits, &mut bytes);
    bytes
}

/// Words of two groups that reach every edge: all ones, zero, the highest bit.
fn words(seed: u64, bits: u8) -> Vec<u64> {
    let mask = u64::MAX >> (64 - bits);
    (0..2 * GROUP as u64)
        .map(|k| match (k + seed) % 7 {
            0 => mask,
            1 => 0,
            2 => mask / 2 + 1,
            3 => mask / 2,
            _ => (k + 1).wrapping_mul(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1) & mask,
        })
        .collect()
}

#[test]
fn laid_out_words_come_back_and_add_one_by_one_at_every_width() {
    for bits in WIRE_BITS {
        let p = u128::from(word_modulus(bits));
        let (a, b) = (words(3, bits), words(12, bits));
        let mut sum = bytes_of(&a, bits);
        let mut back = vec![0; a.len()];
        unpack(&sum, bits, &mut back);
        assert_eq!(back, a, "{bits} bits");
        add_words(&mut sum, &bytes_of(&b, bits), bits).unwrap();
        unpack(&sum, bits, &mut back);
        let total = |(a, b): (&u64, &u64)| ((u128::from(*a) + u128::from(*b)) % p) as u64;
        let expected: Vec<u64> = a.iter().zip(&b).map(total).collect();
        assert_eq!(back, expected, "{bits} bits");
        assert_eq!(sum, bytes_of(&expected, bits), "{bits} bits: stray bits");
    }
}

#[test]
fn layout_of_the_bytes_is_the_specified_one() {
    let bits = 44;
    let words = words(5, bits);
    let mut bytes = vec![0; words.len() / 8 * usize::from(bits)];
    pack(&words, bits, &mut bytes);
    for (index, word) in words.iter().enumerate() {
        let (group, lane, j) = (index / GROUP, index % LANES, index % GROUP / LANES);
        for bit in 0..usize::from(bits) {
            let place = j * usize::from(bits) + bit;
            let number = group * LANES * usize::from(bits) + place / 64 * LANES + lane;
            let byte = bytes[number * 8 + place % 64 / 8];
            assert_eq!(u64::from(byte >> (place % 8) & 1), word >> bit & 1, "word {index}");
        }
    }
}

#[test]
fn refuses_other_lengths() {
    let mut sum = vec![1u8; 64 * 44];
    assert!(add_words(&mut sum, &[0; 64], 44).is_err());
    assert!(add_words(&mut sum[..64], &[0; 64], 44).is_err());
    assert!(add_words(&mut sum, &[0; 64 * 44], 0).is_err());
    assert!(add_words(&mut sum, &[0; 64 * 44], 31).is_err());
    assert!(add_words(&mut sum, &[0; 64 * 44], 65).is_err());
    let error = add_words(&mut sum, &[0; 64 * 43], 44).unwrap_err().to_string();
    assert!(error.contains("a multiple of 2816"), "{error}");
    assert_eq!(sum, vec![1u8; 64 * 44]);
}
