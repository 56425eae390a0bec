//! What stands in for ciphertexts at the level of statements: keys, bodies and check words of two
//! words. Shares, masks and codewords are as real ones.

use rand::Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::id::FreezeId;
use ringfence_crypto::ring::codeword::{holder_point, lagrange, secret_point};
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::MODULUS;
use ringfence_crypto::threshold::Threshold;

/// Words of a key, and of a body.
pub(crate) const WORDS: usize = 2;
/// Masks of a dealing.
const MASKS: usize = 2;
/// The count of sites stands above so many bits of a plain word.
const COUNT_BIT: u32 = 56;
/// Largest value of one site.
pub(crate) const LIMIT: u64 = u32::MAX as u64;

/// Two words of a key, a body or a sum.
pub(crate) type Pair = [u64; WORDS];

/// What a site encrypts in one word.
pub(crate) fn plain(value: u32) -> u64 {
    (1 << COUNT_BIT) | u64::from(value)
}

/// The value of a plain word.
pub(crate) fn value(word: u64) -> u64 {
    word & ((1 << COUNT_BIT) - 1)
}

/// Whether a word is a sum of so many sites' words.
pub(crate) fn in_bounds(word: u64, sites: usize) -> bool {
    word >> COUNT_BIT == sites as u64 && value(word) <= LIMIT * sites as u64
}

pub(crate) fn add(a: Pair, b: Pair) -> Pair {
    std::array::from_fn(|at| field::add(a[at], b[at]))
}

pub(crate) fn sub(a: Pair, b: Pair) -> Pair {
    std::array::from_fn(|at| field::sub(a[at], b[at]))
}

/// A random residue.
pub(crate) fn residue(rng: &mut impl Rng) -> u64 {
    rng.next_u64() % MODULUS
}

/// Residues from bytes; none where they are no residues.
pub(crate) fn words(bytes: &[u8]) -> Option<Vec<u64>> {
    field::parse_residues(bytes, bytes.len() / 8).ok()
}

/// Two words from bytes that a test wrote.
pub(crate) fn pair(bytes: &[u8]) -> Pair {
    words(bytes).unwrap().try_into().unwrap()
}

/// Linear check words of a body or a sum.
pub(crate) fn check(body: Pair) -> u64 {
    field::add(field::mul(body[0], 0x1234_5678_9abc), field::mul(body[1], 0xfedc_ba98_7654))
}

/// Polynomials that carry the key's words.
pub(crate) fn polynomials(threshold: &Threshold) -> usize {
    WORDS.div_ceil(threshold.packing.into())
}

fn dot(weights: &[u64], values: &[u64]) -> u64 {
    let terms = weights.iter().zip(values);
    terms.fold(0, |sum, (weight, value)| field::add(sum, field::mul(*weight, *value)))
}

/// What each holder is dealt of a key: its values of the polynomials, then of the masks.
pub(crate) fn deal(key: Pair, threshold: &Threshold, rng: &mut impl Rng) -> Vec<Vec<u64>> {
    let (t, l) = (usize::from(threshold.opening), usize::from(threshold.packing));
    let carrying = polynomials(threshold);
    let nodes: Vec<u64> = (0..l).map(secret_point).chain((0..t - l).map(holder_point)).collect();
    let mut at_node = |polynomial: usize, node: usize| match polynomial < carrying && node < l {
        true => key.get(polynomial * l + node).copied().unwrap_or(0),
        false => residue(rng),
    };
    let values: Vec<Vec<u64>> = (0..carrying + MASKS)
        .map(|polynomial| (0..t).map(|node| at_node(polynomial, node)).collect())
        .collect();
    let dealt = |holder: u16| {
        let weights = lagrange(&nodes, holder_point(holder.into()));
        values.iter().map(|values| dot(&weights, values)).collect()
    };
    (0..threshold.holders).map(dealt).collect()
}

/// The answer to the challenge that a freeze poses.
pub(crate) fn answer(share: &[u64], freeze: FreezeId) -> [u64; MASKS] {
    let (key_words, masks) = share.split_at(share.len() - MASKS);
    std::array::from_fn(|e| {
        let factor = |p: usize| {
            let digest = Digest::of(&[&freeze.0.0[..], &[e as u8, p as u8]].concat()).0;
            u64::from_le_bytes(digest[..8].try_into().unwrap()) % MODULUS
        };
        let factors: Vec<u64> = (0..key_words.len()).map(factor).collect();
        field::add(masks[e], dot(&factors, key_words))
    })
}

/// A holder's `l` values of the functional that is one word of the key.
pub(crate) fn functional(share: &[u64], coefficient: usize, threshold: &Threshold) -> Vec<u64> {
    let l = usize::from(threshold.packing);
    let of = |u: usize| if coefficient % l == u { share[coefficient / l] } else { 0 };
    (0..l).map(of).collect()
}
