//! Transform, sampler, quantizer and check words.

use ringfence_crypto::Digest;
use ringfence_crypto::id::ManifestId;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::ring::ciphertext::residues_from_xof;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::{CHECK_WORDS, MODULUS, RING_DEGREE};
use ringfence_crypto::ring::words::{reduce_wide, word_modulus};
use ringfence_crypto::ring::xof::Xof;
use ringfence_crypto::statement::HexBytes;
use serde::Deserialize;

use super::files::{Word, numbers, stream};
use super::story::Shown;
use crate::encrypt::check::{CheckKey, CheckWords};
use crate::encrypt::rlwe_noise::{UNIFORM_BYTES, errors_from_uniform};
use crate::encrypt::transform;
use crate::update::quantize::{Quantizer, mean};

type Polynomial = [u64; RING_DEGREE];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TransformFile {
    psi: Word,
    points: Points,
    a: Seeded,
    b: Seeded,
    product: Shown,
    sparse: Sparse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Points {
    first: Vec<Word>,
    last: Word,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seeded {
    seed: HexBytes,
    values: Shown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sparse {
    coefficients: Vec<(usize, Word)>,
    values: Shown,
    square: Vec<(usize, Word)>,
}

fn from_terms(terms: &[(usize, Word)]) -> Polynomial {
    let mut polynomial = [0; RING_DEGREE];
    terms.iter().for_each(|(k, word)| polynomial[*k] = word.0);
    polynomial
}

fn product(a: &[u64], b: &[u64]) -> Polynomial {
    let mut out = [0; RING_DEGREE];
    transform::product(a.try_into().unwrap(), b, &mut out);
    out
}

pub(super) fn transform(_: &str, file: TransformFile) {
    // The values of X are the evaluation points.
    let x = transform::forward(&from_terms(&[(1, Word(1))]));
    assert_eq!(x[0], file.psi.0);
    assert_eq!(x[..8], numbers(&file.points.first));
    assert_eq!(x[RING_DEGREE - 1], file.points.last.0);
    let values = |seeded: &Seeded| {
        let mut coefficients = [0; RING_DEGREE];
        let mut reader = Xof::new(&[&seeded.seed.0]);
        residues_from_xof(&mut reader, &mut coefficients);
        let values = transform::forward(&coefficients);
        seeded.values.check(&values);
        values
    };
    file.product.check(&product(&values(&file.a), &values(&file.b)));
    let sparse = transform::forward(&from_terms(&file.sparse.coefficients));
    file.sparse.values.check(&sparse);
    assert_eq!(product(&sparse, &sparse), from_terms(&file.sparse.square));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gaussian {
    table: Vec<String>,
    uniform_bytes: usize,
    cases: Vec<Sampled>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sampled {
    label: String,
    first: Vec<i64>,
    digest: Digest,
    sum_of_squares: i64,
}

fn errors(uniform: &[u8; UNIFORM_BYTES]) -> Polynomial {
    let mut errors = [0; RING_DEGREE];
    errors_from_uniform(uniform, &mut errors);
    errors
}

fn signed(residue: u64) -> i64 {
    if residue > MODULUS / 2 { -((MODULUS - residue) as i64) } else { residue as i64 }
}

pub(super) fn gaussian(_: &str, file: Gaussian) {
    assert_eq!(file.uniform_bytes, UNIFORM_BYTES);
    // An entry is the smallest number with its magnitude.
    for (k, entry) in file.table.iter().enumerate() {
        let entry = u128::from_str_radix(entry, 16).unwrap();
        for (number, magnitude) in [(entry, k as u64 + 1), (entry - 1, k as u64)] {
            let mut uniform = [0; UNIFORM_BYTES];
            let (low, high) = (number as u64, (number >> 64) as u64);
            let words = &mut uniform[RING_DEGREE / 8..][..16];
            words[..8].copy_from_slice(&low.to_le_bytes());
            words[8..].copy_from_slice(&high.to_le_bytes());
            assert_eq!(errors(&uniform)[0], magnitude, "entry {k}");
        }
    }
    assert_eq!(file.table.len(), 64);
    for case in &file.cases {
        let mut uniform = [0; UNIFORM_BYTES];
        stream(&case.label).fill(&mut uniform);
        let errors = errors(&uniform);
        let first: Vec<i64> = errors[..64].iter().map(|error| signed(*error)).collect();
        assert_eq!(first, case.first);
        assert_eq!(Digest::of(&field::to_bytes(&errors)), case.digest);
        assert_eq!(errors.iter().map(|e| signed(*e).pow(2)).sum::<i64>(), case.sum_of_squares);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quantize {
    cases: Vec<Quantized>,
    means: Vec<Mean>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantized {
    value_bits: u8,
    clip: f32,
    values: HexBytes,
    dither: HexBytes,
    quantized: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mean {
    value_bits: u8,
    noise_bound: u32,
    clip: f32,
    sites: usize,
    sums: Vec<u64>,
    mean: HexBytes,
}

pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    let (chunks, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn one_tensor(values: usize, clip: f32) -> Layout {
    let tensor = TensorLayout { name: "w".into(), shape: vec![values as u32], clip };
    Layout { tensors: vec![tensor] }
}

pub(super) fn quantize(_: &str, file: Quantize) {
    for case in &file.cases {
        let values = floats(&case.values.0);
        let (layout, packing) = (
            one_tensor(values.len(), case.clip),
            Packing::derive(case.value_bits, 0, 3, 1).unwrap(),
        );
        let dither = case.dither.0.repeat(packing.block_values());
        let mut coefficients = [0; RING_DEGREE];
        let quantizer = Quantizer::new(&layout, &packing);
        quantizer.fill_block(0, &values, &dither, &mut coefficients).unwrap();
        assert_eq!(coefficients[0], 1, "the count");
        assert_eq!(coefficients[1..][..values.len()], case.quantized, "{} bits", case.value_bits);
    }
    for case in &file.means {
        let layout = one_tensor(case.sums.len(), case.clip);
        let packing = Packing::derive(case.value_bits, case.noise_bound, case.sites, 1).unwrap();
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let got = mean(&case.sums, case.sites, &layout, &packing);
        assert_eq!(bits(got), bits(floats(&case.mean.0)));
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckWordsFile {
    key: HexBytes,
    round: ManifestId,
    rho: Vec<Ends>,
    scales: Vec<Vec<u32>>,
    blocks: Vec<Block>,
    cases: Vec<CheckWordsCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ends {
    first: Vec<u32>,
    last: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Block {
    Terms(Vec<(usize, Word)>),
    Largest(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckWordsCase {
    wire_bits: u8,
    words: Vec<Vec<Word>>,
}

pub(super) fn check_words(_: &str, file: CheckWordsFile) {
    let key = CheckKey::from_bytes(&file.key.0).unwrap();
    assert_eq!((file.rho.len(), file.blocks.len(), file.scales.len()), (CHECK_WORDS, 3, 3));
    for case in &file.cases {
        let (bits, vectors) = (case.wire_bits, key.vectors(file.round, case.wire_bits));
        // A block with a single 1 shows that number of rho times the block's scale.
        let shown = |block, k| vectors.of_block(block, &from_terms(&[(k, Word(1))])).numbers();
        for (block, scales) in file.scales.iter().enumerate() {
            assert_eq!(vectors.scales(block), scales[..]);
            for (i, (Ends { first, last }, scale)) in file.rho.iter().zip(scales).enumerate() {
                let ends = first.iter().enumerate();
                for (k, rho) in ends.chain((RING_DEGREE - last.len()..).zip(last)) {
                    let product = reduce_wide(u128::from(*scale) * u128::from(*rho), bits);
                    assert_eq!(shown(block, k)[i], product, "{block} {i} {k}");
                }
            }
        }
        let mut total = CheckWords::zero(bits);
        assert_eq!(case.words.len(), file.blocks.len());
        for (j, (block, expected)) in file.blocks.iter().zip(&case.words).enumerate() {
            let words = match block {
                Block::Terms(terms) => from_terms(terms),
                Block::Largest(text) => {
                    assert_eq!(text, "largest");
                    [word_modulus(bits) - 1; RING_DEGREE]
                }
            };
            total.add(&vectors.of_block(j, &words));
            assert_eq!(total.numbers(), numbers(expected)[..], "{bits} bits, {} blocks", j + 1);
        }
    }
}
