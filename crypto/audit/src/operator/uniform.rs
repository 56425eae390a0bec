//! Whether the words of a body look like uniform residues: what a mask makes of any update.
//!
//! Words are residues modulo the prime `p` of the study's wire words, not bits: what is counted are
//! `floor(256 W / p)`, `W mod 256`, `W mod 251` and neighbours' `floor(16 W / p)`, each against what
//! uniform residues give. Each test raises a false alarm with a chance below `2^-40`, by the bound of
//! Laurent and Massart on the tail of chi-square with `k` degrees of freedom,
//! `P(X >= k + 2 sqrt(k x) + 2 x) <= e^-x`. That counts are distributed so holds as far as each is
//! expected some dozen times.

use std::collections::BTreeSet;

use ringfence_crypto::ring::words::{GROUP, word_modulus};
use serde::Serialize;

use super::scan::words_of;

/// `40 ln 2`: the negative logarithm of a test's chance of a false alarm.
const X: f64 = 27.725_887;

/// The same, in bits.
pub const ALARM_BITS: u32 = 40;

/// Words of a body that are looked at: of larger ones the first 64 blocks or so.
const MOST_WORDS: usize = 1 << 18;

/// Bytes of a body that hold as many words, whatever their width: whole groups.
pub(super) const MOST_BYTES: usize = MOST_WORDS * 8;

/// Times that each class is expected at least.
const EXPECTED: usize = 16;

/// One test of one body, or of the difference of two.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistic {
    /// What is counted.
    pub test: &'static str,
    /// What came out.
    pub value: f64,
    /// What it stays below, but for the stated chance.
    pub limit: f64,
}

impl Statistic {
    /// Whether uniform residues give this.
    pub fn is_uniform(&self) -> bool {
        self.value <= self.limit
    }
}

/// The tests of words of `wire_bits` bits; none of fewer words than they want.
pub fn of_words(words: &[u64], wire_bits: u8) -> Vec<Statistic> {
    let words = words.get(..MOST_WORDS).unwrap_or(words);
    if words.len() < 2 * 256 * EXPECTED {
        return Vec::new();
    }
    let modulus = word_modulus(wire_bits);
    let part = |word: u64, of: u64| {
        (u128::from(word) * u128::from(of) / u128::from(modulus)).min(u128::from(of - 1)) as usize
    };
    let (pairs, _) = words.as_chunks::<2>();
    vec![
        chi_square("upper bits", 256, words.iter().map(|word| part(*word, 256))),
        chi_square("lowest byte", 256, words.iter().map(|word| (word % 256) as usize)),
        chi_square("modulo 251", 251, words.iter().map(|word| (word % 251) as usize)),
        chi_square("neighbours", 256, pairs.iter().map(|[a, b]| part(*a, 16) * 16 + part(*b, 16))),
        repeats(words, modulus),
    ]
}

/// The tests of a body's bytes; none where it is no body of such words.
pub fn of_body(bytes: &[u8], wire_bits: u8) -> Vec<Statistic> {
    let words = words_of(whole_groups(bytes, wire_bits), wire_bits);
    words.map(|words| of_words(&words, wire_bits)).unwrap_or_default()
}

/// The tests of what two bodies differ by: uniform where their masks have nothing to do with each other.
pub fn of_difference(one: &[u8], other: &[u8], wire_bits: u8) -> Vec<Statistic> {
    let words = |bytes| words_of(whole_groups(bytes, wire_bits), wire_bits);
    let (Some(one), Some(other)) = (words(one), words(other)) else {
        return Vec::new();
    };
    let modulus = word_modulus(wire_bits);
    let difference = |(a, b): (&u64, &u64)| {
        let (a, b) = (a % modulus, b % modulus);
        if a >= b { a - b } else { modulus - (b - a) }
    };
    of_words(&one.iter().zip(&other).map(difference).collect::<Vec<_>>(), wire_bits)
}

/// The whole groups of a body's beginning; a whole body as it is.
fn whole_groups(bytes: &[u8], wire_bits: u8) -> &[u8] {
    let group = GROUP / 8 * usize::from(wire_bits);
    let whole = bytes.len().min(MOST_BYTES) / group * group;
    if bytes.len() < MOST_BYTES { bytes } else { bytes.get(..whole).unwrap_or(bytes) }
}

fn chi_square(
    test: &'static str,
    classes: usize,
    found: impl ExactSizeIterator<Item = usize>,
) -> Statistic {
    let mut counts = vec![0u32; classes];
    let expected = found.len() as f64 / classes as f64;
    for class in found {
        if let Some(count) = counts.get_mut(class) {
            *count += 1;
        }
    }
    let value = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    let freedom = classes as f64 - 1.0;
    Statistic { test, value, limit: freedom + 2.0 * (freedom * X).sqrt() + 2.0 * X }
}

/// Words that occurred before. Of `n` uniform ones `l = n^2 / 2p` are expected to, and `r` or more do with
/// a chance of at most `e^-l (e l / r)^r`, as Chernoff bounds a Poisson variable.
fn repeats(words: &[u64], modulus: u64) -> Statistic {
    let mut seen = BTreeSet::new();
    let again = words.iter().filter(|word| !seen.insert(**word)).count();
    let expected = (words.len() as f64).powi(2) / 2.0 / modulus as f64;
    let log_chance = |r: f64| r - expected + r * (expected / r).ln();
    let first = expected.floor() as u32 + 1;
    // Beyond some hundred times as many the bound is far below.
    let too_many = (first..first + 1000).find(|r| log_chance(f64::from(*r)) <= -X);
    let limit = f64::from(too_many.unwrap_or(first + 1000) - 1);
    Statistic { test: "repeated words", value: again as f64, limit }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::ChaCha20Rng};

    use super::*;

    fn uniform(seed: u64, wire_bits: u8, words: usize) -> Vec<u64> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let modulus = word_modulus(wire_bits);
        (0..words)
            .map(|_| ((u128::from(rng.next_u64()) * u128::from(modulus)) >> 64) as u64)
            .collect()
    }

    fn bad(words: &[u64], wire_bits: u8) -> Vec<&'static str> {
        let tests = of_words(words, wire_bits);
        assert_eq!(tests.len(), 5);
        tests.into_iter().filter(|test| !test.is_uniform()).map(|test| test.test).collect()
    }

    #[test]
    fn uniform_residues_pass() {
        for (seed, wire_bits) in (0..300).zip((32..=64).cycle()) {
            assert_eq!(bad(&uniform(seed, wire_bits, 8192), wire_bits), [""; 0], "{seed}");
        }
        assert_eq!(bad(&uniform(1, 32, MOST_WORDS), 32), [""; 0]);
        assert_eq!(of_words(&uniform(1, 48, 8191), 48), []);
    }

    #[test]
    fn what_is_not_uniform_is_found() {
        let words = uniform(1, 48, 8192);
        // One word in eight carries a value and no mask.
        let some: Vec<u64> =
            words.iter().enumerate().map(|(k, w)| if k % 8 == 0 { *w >> 3 } else { *w }).collect();
        assert!(bad(&some, 48).contains(&"upper bits"));
        let even: Vec<u64> = words.iter().map(|word| word & !1).collect();
        assert!(bad(&even, 48).contains(&"lowest byte"));
        let multiples: Vec<u64> = words.iter().map(|word| word / 251 * 251).collect();
        assert_eq!(bad(&multiples, 48), ["modulo 251"]);
        let twice: Vec<u64> = words.iter().take(4096).flat_map(|word| [*word, *word]).collect();
        let found = bad(&twice, 48);
        assert!(found.contains(&"neighbours") && found.contains(&"repeated words"), "{found:?}");
    }

    #[test]
    fn bodies_under_one_mask_differ_by_what_they_hold() {
        use ringfence_crypto::ring::words::{block_bytes, pack};
        let body = |words: &[u64]| {
            let mut bytes = vec![0; 2 * block_bytes(48)];
            pack(words, 48, &mut bytes);
            bytes
        };
        let modulus = word_modulus(48);
        let (mask, other) = (uniform(1, 48, 8192), uniform(2, 48, 8192));
        let add = |value: u64| -> Vec<u64> {
            mask.iter()
                .enumerate()
                .map(|(k, m)| (m + value * (k as u64 % 1000)) % modulus)
                .collect()
        };
        let (one, two) = (body(&add(5)), body(&add(1 << 30)));
        assert!(of_body(&one, 48).iter().all(Statistic::is_uniform));
        assert!(of_difference(&one, &two, 48).iter().any(|test| !test.is_uniform()));
        assert!(of_difference(&one, &body(&other), 48).iter().all(Statistic::is_uniform));
    }
}
