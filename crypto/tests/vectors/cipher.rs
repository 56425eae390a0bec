//! Public polynomials, residues, wire words and packings.

use ringfence_crypto::Digest;
use ringfence_crypto::id::ManifestId;
use ringfence_crypto::ring::ciphertext::public_polynomial;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::noise_bound::NoiseModel;
use ringfence_crypto::ring::packing::{Packing, WIRE_BITS};
use ringfence_crypto::ring::params::{MODULUS, RING_DEGREE};
use ringfence_crypto::ring::words::{
    WordSum, add_words, block_bytes, from_word, pack, to_word, unpack, word_modulus,
};
use ringfence_crypto::statement::HexBytes;
use serde::Deserialize;

use crate::files::{Word, numbers, refused, stream};

fn digest_of(words: &[u64]) -> Digest {
    Digest::of(&field::to_bytes(words))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Polynomials {
    cases: Vec<Polynomial>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Polynomial {
    round: ManifestId,
    block: u64,
    skipped: Vec<Skipped>,
    first: Vec<Word>,
    from: usize,
    middle: Vec<Word>,
    last: Vec<Word>,
    digest: Digest,
    misread: Vec<Misread>,
}

/// What another reading of the specification gives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Misread {
    reading: String,
    from: usize,
    words: Vec<Word>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Skipped {
    index: usize,
    word: Word,
}

pub(crate) fn polynomials(_: &str, file: Polynomials) {
    for case in &file.cases {
        let mut values = [0; RING_DEGREE];
        public_polynomial(case.round, case.block, &mut values);
        assert_eq!(values[..4], numbers(&case.first));
        assert_eq!(values[case.from..][..4], numbers(&case.middle));
        assert_eq!(values[RING_DEGREE - 4..], numbers(&case.last));
        assert_eq!(digest_of(&values), case.digest);
        for Misread { reading, from, words } in &case.misread {
            assert_ne!(values[*from..][..4], numbers(words), "{reading}");
        }
        assert_eq!(case.misread.is_empty(), case.skipped.is_empty());
        for Skipped { index, word } in &case.skipped {
            let mut reader = blake3::Hasher::new()
                .update(b"ringfence/a/1")
                .update(&case.round.0.0)
                .update(&case.block.to_le_bytes())
                .finalize_xof();
            let mut bytes = [0; 8];
            reader.set_position(8 * *index as u64);
            reader.fill(&mut bytes);
            assert_eq!(u64::from_le_bytes(bytes), word.0);
            assert!(word.0 >= MODULUS);
            // Up to it, and from it on, one word later.
            reader.set_position(8 * (*index as u64 - 1));
            reader.fill(&mut bytes);
            assert_eq!(values[index - 1], u64::from_le_bytes(bytes));
            reader.set_position(8 * (*index as u64 + 1));
            reader.fill(&mut bytes);
            assert_eq!(values[*index], u64::from_le_bytes(bytes));
        }
    }
    let skips = file.cases.iter().filter(|case| !case.skipped.is_empty()).count();
    assert_eq!(skips, 1, "the rule of skipping is exercised");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Residues {
    words: Vec<Word>,
    bytes: HexBytes,
}

pub(crate) fn residues(_: &str, file: Residues) {
    let words = numbers(&file.words);
    assert_eq!(field::to_bytes(&words), file.bytes.0);
    assert_eq!(field::parse_residues(&file.bytes.0, words.len()), Ok(words));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadResidues {
    bytes: HexBytes,
    count: usize,
    error: String,
}

pub(crate) fn residues_bad(_: &str, file: BadResidues) {
    refused(field::parse_residues(&file.bytes.0, file.count), &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    roundings: Vec<Rounding>,
    layouts: Vec<LaidOut>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rounding {
    wire_bits: u8,
    modulus: Word,
    residues: Vec<Word>,
    words: Vec<Word>,
    received: Vec<Word>,
    lifted: Vec<Word>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LaidOut {
    wire_bits: u8,
    labels: Vec<String>,
    first_bytes: Vec<HexBytes>,
    bytes: Vec<usize>,
    digests: Vec<Digest>,
    sum_first_bytes: HexBytes,
    sum_digest: Digest,
}

pub(crate) fn words(_: &str, file: Words) {
    let widths: Vec<u8> = file.roundings.iter().map(|case| case.wire_bits).collect();
    assert!(widths.into_iter().eq(WIRE_BITS), "every width");
    for case in &file.roundings {
        assert_eq!(word_modulus(case.wire_bits), case.modulus.0);
        let words = case.residues.iter().map(|residue| Word(to_word(residue.0, case.wire_bits)));
        assert_eq!(words.collect::<Vec<_>>(), case.words, "w = {}", case.wire_bits);
        let lifted = case.received.iter().map(|word| Word(from_word(word.0, case.wire_bits)));
        assert_eq!(lifted.collect::<Vec<_>>(), case.lifted, "w = {}", case.wire_bits);
    }
    for case in &file.layouts {
        let w = case.wire_bits;
        let bodies: Vec<Vec<u8>> = case.labels.iter().map(|label| body(label, w)).collect();
        for (index, body) in bodies.iter().enumerate() {
            assert_eq!(body.len(), case.bytes[index]);
            assert_eq!(body[..64], case.first_bytes[index].0);
            assert_eq!(Digest::of(body), case.digests[index]);
        }
        let mut sum = WordSum::new(w, block_bytes(w)).unwrap();
        bodies.iter().for_each(|body| sum.add(body).unwrap());
        let sum = sum.finish();
        let mut two = bodies[0].clone();
        bodies[1..].iter().for_each(|body| add_words(&mut two, body, w).unwrap());
        assert!(sum == two);
        assert_eq!(sum[..64], case.sum_first_bytes.0);
        assert_eq!(Digest::of(&sum), case.sum_digest);
    }
}

/// Words of `w` bits from a stream, laid out.
fn body(label: &str, w: u8) -> Vec<u8> {
    let mut drawn = [0; 8 * RING_DEGREE];
    stream(label).fill(&mut drawn);
    let (drawn, _) = drawn.as_chunks::<8>();
    let words: Vec<u64> =
        drawn.iter().map(|bytes| u64::from_le_bytes(*bytes) & (u64::MAX >> (64 - w))).collect();
    let mut bytes = vec![0; block_bytes(w)];
    pack(&words, w, &mut bytes);
    let mut read = vec![0; RING_DEGREE];
    unpack(&bytes, w, &mut read);
    assert_eq!(read, words);
    bytes
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadWords {
    wire_bits: u8,
    sum_bytes: usize,
    body_bytes: usize,
    error: String,
}

pub(crate) fn words_bad(_: &str, file: BadWords) {
    let mut sum = vec![0; file.sum_bytes];
    refused(add_words(&mut sum, &vec![0; file.body_bytes], file.wire_bits), &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Packings {
    cases: Vec<PackingCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PackingCase {
    sites: usize,
    collusion: u16,
    packing: Packing,
    contribution_limit: u64,
    slot_limit: u64,
    noise_bound: u64,
    mean_square_bound: f64,
    room: f64,
    room_one_bit_less: Option<f64>,
    values: Vec<usize>,
    blocks: Vec<usize>,
}

/// Equal but for the floating point of a minimum: 2^-40, as the file says.
fn close(a: f64, b: f64) {
    assert!((a / b - 1.0).abs() < 2f64.powi(-40), "{a} {b}");
}

pub(crate) fn packing(_: &str, file: Packings) {
    for case in &file.cases {
        let PackingCase { sites, collusion, packing, .. } = case;
        let Packing { value_bits, noise_bound, .. } = *packing;
        let derived = Packing::derive(value_bits, noise_bound, *sites, *collusion);
        assert_eq!(derived, Ok(*packing));
        assert_eq!(packing.check(*sites, *collusion), Ok(()), "{sites} sites");
        assert_eq!(packing.contribution_limit(), case.contribution_limit);
        assert_eq!(packing.slot_limit(*sites), case.slot_limit);
        let noise = |w| NoiseModel::new(*sites, *collusion, w);
        let half = 2f64.powi(i32::from(packing.delta_bits) - 1);
        close(noise(packing.wire_bits).bound() as f64, case.noise_bound as f64);
        close(noise(packing.wire_bits).bound() as f64 / half, case.room);
        if let Some(room) = case.room_one_bit_less {
            close(noise(packing.wire_bits - 1).bound() as f64 / half, room);
        }
        close(noise(packing.wire_bits).mean_square_bound(), case.mean_square_bound);
        for (values, blocks) in case.values.iter().zip(&case.blocks) {
            assert_eq!(packing.blocks(*values), Ok(*blocks));
            let bytes = (blocks * block_bytes(packing.wire_bits)) as u64;
            assert_eq!(packing.body_bytes(*values), Ok(bytes));
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoiseBounds {
    cases: Vec<NoiseBound>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoiseBound {
    sites: usize,
    collusion: u16,
    wire_bits: u8,
    rounding: f64,
    noise_bound: u64,
    mean_square_bound: f64,
}

pub(crate) fn noise_bounds(_: &str, file: NoiseBounds) {
    for case in &file.cases {
        let model = NoiseModel::new(case.sites, case.collusion, case.wire_bits);
        close(model.rounding_half_width(), case.rounding);
        assert_eq!(model.bound(), case.noise_bound);
        close(model.mean_square_bound(), case.mean_square_bound);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadPacking {
    packing: Packing,
    sites: usize,
    collusion: u16,
    error: String,
}

pub(crate) fn packing_bad(_: &str, file: BadPacking) {
    refused(file.packing.check(file.sites, file.collusion), &file.error);
}
