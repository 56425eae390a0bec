//! A planted canary is found in every encoding that is claimed; noise is not.

use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{block_bytes, pack, to_word};

use super::*;
use crate::operator::canary::tests::{canary, walk};

fn packing() -> Packing {
    Packing::derive(16, 0, 4, 1).unwrap()
}

fn scanner() -> Scanner {
    Scanner::new(Canaries::new(&[canary("a", 1)]).unwrap(), &[packing()])
}

/// Bytes that no canary is in.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// What is found of a canary that lies in noise, at an odd place.
fn in_noise(planted: &[u8]) -> Vec<Found> {
    let bytes = [&noise(3, 5001)[..], planted, &noise(4, 3000)].concat();
    scanner().scan(&bytes)
}

#[track_caller]
fn planted(planted: &[u8], encoding: &str) {
    let found = in_noise(planted);
    let is_it =
        |found: &Found| found.canary == "a" && found.encoding == encoding && found.at >= 5001;
    assert!(found.iter().any(is_it), "{encoding}: {found:?}");
}

/// A part of the canary.
fn part() -> Vec<f32> {
    walk(1, 2000)[300..500].to_vec()
}

fn bytes<const W: usize>(write: impl Fn(f32) -> [u8; W]) -> Vec<u8> {
    part().into_iter().flat_map(write).collect()
}

#[test]
fn noise_and_zeros_hold_no_canary() {
    assert_eq!(in_noise(&[]), []);
    assert_eq!(scanner().scan(&vec![0; 100_000]), []);
    assert_eq!(scanner().scan(b""), []);
    let digits: String = noise(9, 50_000).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(scanner().scan(digits.as_bytes()), []);
}

#[test]
fn words_of_every_kind() {
    planted(&bytes(f32::to_le_bytes), "32-bit float, little-endian");
    planted(&bytes(f32::to_be_bytes), "32-bit float, big-endian");
    planted(&bytes(|v| f64::from(v).to_le_bytes()), "64-bit float, little-endian");
    planted(&bytes(|v| f64::from(v).to_be_bytes()), "64-bit float, big-endian");
    // bfloat16.
    planted(&bytes(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()), "16-bit float, little-endian");
    planted(&bytes(|v| ((v.to_bits() >> 16) as u16).to_be_bytes()), "16-bit float, big-endian");
    let levels = |v: f32, most: f32| ((v + 1.0) / 2.0 * most) as u64;
    planted(&bytes(|v| [levels(v, 255.0) as u8]), "8-bit unsigned");
    planted(&bytes(|v| [(v * 120.0) as i8 as u8]), "8-bit signed");
    planted(
        &bytes(|v| (levels(v, 65535.0) as u16).to_le_bytes()),
        "16-bit unsigned, little-endian",
    );
    planted(&bytes(|v| (levels(v, 65535.0) as u16).to_be_bytes()), "16-bit unsigned, big-endian");
    planted(&bytes(|v| (levels(v, 4e9) as u32).to_le_bytes()), "32-bit unsigned, little-endian");
    planted(&bytes(|v| levels(v, 1e15).to_be_bytes()), "64-bit unsigned, big-endian");
    planted(&bytes(|v| ((v * 3e4) as i16).to_le_bytes()), "16-bit signed, little-endian");
    planted(&bytes(|v| ((v * 2e9) as i32).to_be_bytes()), "32-bit signed, big-endian");
    planted(&bytes(|v| ((v * 9e18) as i64).to_le_bytes()), "64-bit signed, little-endian");
}

#[test]
fn text_of_every_kind() {
    let numbers = format!("{:?}", part());
    planted(numbers.as_bytes(), "numbers in text");
    let short: Vec<String> = part().iter().map(|v| format!("{v:.2}")).collect();
    planted(short.join(";").as_bytes(), "numbers in text");
    let named: String = part().iter().enumerate().map(|(k, v)| format!("w{k}={v} ")).collect();
    planted(named.as_bytes(), "numbers in text");
    planted(numbers.replace(' ', "%20").as_bytes(), "numbers in text");
    let floats = bytes(f32::to_le_bytes);
    let hex: String = floats.iter().map(|byte| format!("{byte:02X}")).collect();
    planted(hex.as_bytes(), "hexadecimal: 32-bit float, little-endian");
    // The first digit belongs to something else.
    planted(format!("7{hex}").as_bytes(), "hexadecimal: 32-bit float, little-endian");
    planted(format!("{floats:?}").as_bytes(), "a list of bytes: 32-bit float, little-endian");
    let escaped: String =
        floats.iter().map(|byte| std::ascii::escape_default(*byte).to_string()).collect();
    planted(escaped.as_bytes(), "escaped bytes: 32-bit float, little-endian");
    let sextet = |k: u8| {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[usize::from(k & 63)]
    };
    let group =
        |b: &[u8]| [b[0] >> 2, b[0] << 4 | b[1] >> 4, b[1] << 2 | b[2] >> 6, b[2]].map(sextet);
    let base64: Vec<u8> = floats.chunks_exact(3).flat_map(group).collect();
    planted(&base64, "base64: 32-bit float, little-endian");
}

/// Blocks of values as a study packs them: coefficients, and what becomes of them without a mask.
fn coefficients() -> Vec<u64> {
    let Packing { slot_bits, .. } = packing();
    let values = walk(1, 2000);
    let mut words = vec![0u64; 2 * RING_DEGREE];
    for (k, value) in values.iter().enumerate() {
        let quantized = ((value + 1.0) / 2.0 * 65535.0) as u64;
        // In the second slot, with other values below it.
        words[k] = quantized << slot_bits | (k as u64 * 7919) & 0xffff;
    }
    words
}

#[test]
fn values_as_the_shipped_packing_lays_them_out() {
    let Packing { delta_bits, wire_bits, .. } = packing();
    assert!(packing().slots > 1);
    let plain: Vec<u8> = coefficients().iter().flat_map(|word| word.to_le_bytes()).collect();
    planted(&plain, "packed in 64-bit words");
    let noisy = |(k, word): (usize, &u64)| (word << delta_bits) + (k as u64 % 50);
    let scaled: Vec<u64> = coefficients().iter().enumerate().map(noisy).collect();
    let bytes: Vec<u8> = scaled.iter().flat_map(|word| word.to_le_bytes()).collect();
    planted(&bytes, "packed in 64-bit words");

    // The body of a site whose key is zero.
    let words: Vec<u64> = scaled.iter().map(|residue| to_word(*residue, wire_bits)).collect();
    let mut body = vec![0; 2 * block_bytes(wire_bits)];
    pack(&words, wire_bits, &mut body);
    let found = scanner().scan_body(&body);
    assert!(found.iter().any(|found| found.encoding.starts_with("slot 1")), "{found:?}");
    assert_eq!(scanner().scan_body(&noise(5, body.len())), []);
    assert_eq!(scanner().scan_body(&body[1..]), [], "no body of this packing");
}
