//! Wire words: rounding a residue to `w` bits, laying words out in bytes, adding laid-out words.
//!
//! Words are residues modulo `p`, the largest prime below `2^w` ([`word_modulus`]): they add without
//! carries, and a linear function of them over `F_p` is one of the sum too.
//!
//! A block is eight *groups* of 512 words. A group is eight *lanes*: lane `i` carries words
//! `8 j + i` of its group for `j = 0..63`, as one little-endian string of `64 w` bits in which word
//! `8 j + i` takes bits `j w` up to `(j + 1) w`. The string's `w` 64-bit pieces lie eight apart:
//! piece `t` of lane `i` is the `(8 t + i)`-th little-endian 64-bit number of the group. So every
//! step below does the same to eight neighbouring numbers, which is what vector units are for, and
//! a word of any width costs exactly `w` bits.

use crate::ring::packing::WIRE_BITS;
use crate::ring::params::RING_DEGREE;
use crate::vectorized;

/// Words of a group.
pub const GROUP: usize = LANES * PER_LANE;
const LANES: usize = 8;
const PER_LANE: usize = 64;

/// `2^w - p` of the largest prime `p` below `2^w`, for `w` from 32 to 64.
const GAPS: [u8; 33] = [
    5, 9, 41, 31, 5, 25, 45, 7, 87, 21, 11, 57, 17, 55, 21, 115, 59, 81, 27, 129, 47, 111, 33, 55,
    5, 13, 27, 55, 93, 1, 57, 25, 59,
];

/// `2^w - p`.
#[inline(always)]
const fn gap(wire_bits: u8) -> u64 {
    GAPS[wire_bits as usize - 32] as u64
}

/// `p`: the largest prime below `2^w`, modulo which words of `w` bits add.
///
/// # Panics
/// Unless `32 <= w <= 64`, which a checked packing guarantees.
#[inline(always)]
pub const fn word_modulus(wire_bits: u8) -> u64 {
    (u64::MAX >> (64 - wire_bits)) - (gap(wire_bits) - 1)
}

/// Bytes of one block of `w`-bit words: `N w / 8`.
pub const fn block_bytes(wire_bits: u8) -> usize {
    RING_DEGREE / 8 * wire_bits as usize
}

/// Two buffers of words could not be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected {expected} bytes, a multiple of {group} (whole groups of {wire_bits}-bit words, of 32 to 64 bits), got {got}",
    group = 64 * usize::from(*wire_bits)
)]
pub struct LengthError {
    /// Bits of a word.
    pub wire_bits: u8,
    /// Bytes of the running sum.
    pub expected: usize,
    /// Bytes of what was to be added.
    pub got: usize,
}

/// The wire word of a residue: with `s = c + floor(c / 2^32)` and `u = s - floor(k s / 2^w)`,
/// `k = 2^w - p`, it is `floor((u + 2^(63-w)) / 2^(64-w)) mod p`, and `u mod p` for `w = 64`.
///
/// No division, no branch on `c`. It is `c p / q` rounded, but for an error of `u`: since
/// `(2^32 - 1) 2^32 = q - 1`, `c 2^64 / q = c + c / 2^32 - d` with `0 <= d < 2^-32`, and `u` is
/// within 1 of `c 2^64 / q (1 - k / 2^w) = 2^(64-w) c p / q`: each rounding down takes less than
/// one, the second from what is subtracted. As `u` does not fall when `c` grows, the residues of a
/// word are an interval, whose ends are within `q / (2p) + 2` of `W q / p`
/// ([`ROUNDING_SLACK`](crate::ring::noise_bound::ROUNDING_SLACK)).
///
/// # Panics
/// As [`word_modulus`].
#[inline(always)]
pub const fn to_word(residue: u64, wire_bits: u8) -> u64 {
    let scaled = residue + (residue >> 32);
    let exact = scaled - scaled_gap(scaled, wire_bits);
    // Half a word; nothing at 64 bits, where a word is a whole number already.
    let half = ((1u64 << 63) >> (wire_bits - 1)) >> 1;
    let word = (exact + half) >> (64 - wire_bits);
    reduced(word, wire_bits)
}

/// `floor(k s / 2^w)`, `k = 2^w - p`, by products of 32-bit halves, which vector units have.
#[inline(always)]
const fn scaled_gap(scaled: u64, wire_bits: u8) -> u64 {
    let gap = gap(wire_bits);
    ((scaled >> 32) * gap + (((scaled & 0xFFFF_FFFF) * gap) >> 32)) >> (wire_bits - 32)
}

/// `value mod p` for values below `2p`.
#[inline(always)]
const fn reduced(value: u64, wire_bits: u8) -> u64 {
    let modulus = word_modulus(wire_bits);
    value.wrapping_sub(modulus & ((value >= modulus) as u64).wrapping_neg())
}

/// `value mod p` for any `u128`, without a branch on it.
///
/// # Panics
/// As [`word_modulus`].
pub const fn reduce_wide(value: u128, wire_bits: u8) -> u64 {
    let (mask, gap) = ((u64::MAX >> (64 - wire_bits)) as u128, gap(wire_bits) as u128);
    let (mut value, mut folds) = (value, 0);
    // Each fold takes w - 8 bits or more, until fewer than 2^w + 2^8 are left.
    while folds < 6 {
        value = (value & mask) + (value >> wire_bits) * gap;
        folds += 1;
    }
    reduced(value as u64, wire_bits)
}

/// The residue of a word (of one body or of a sum): with `A = 2^(64-w) W`, `B = floor(k A / 2^w)`,
/// `C = floor(k B / 2^w)` and `Y = A + B + C mod 2^64`, it is `Y - floor(Y / 2^32)`.
///
/// `Y` is within 2 of `2^64 W / p = A (1 + k / 2^w + (k / 2^w)^2 + ...)`, so the residue is within
/// [`LIFTING_SLACK`](crate::ring::noise_bound::LIFTING_SLACK) of `W q / p`. A word from `p` on
/// gives what its residue modulo `p` gives, within the same.
///
/// # Panics
/// As [`word_modulus`].
#[inline(always)]
pub const fn from_word(word: u64, wire_bits: u8) -> u64 {
    let first = word << (64 - wire_bits);
    let second = scaled_gap(first, wire_bits);
    let third = scaled_gap(second, wire_bits);
    let scaled = first.wrapping_add(second).wrapping_add(third);
    scaled - (scaled >> 32)
}

vectorized! {
    /// Lays `w`-bit words out in bytes.
    ///
    /// `words` are whole groups and `bytes` is `w / 8` times as many; what is left over of the
    /// longer one is not touched.
    pub fn pack(words: &[u64], wire_bits: u8, bytes: &mut [u8]) {
        let width = u32::from(wire_bits);
        let (groups, _) = words.as_chunks::<GROUP>();
        for (group, bytes) in groups.iter().zip(bytes.chunks_exact_mut(LANES * 8 * width as usize)) {
            let (rows, _) = group.as_chunks::<LANES>();
            let (pieces, _) = bytes.as_chunks_mut::<{ LANES * 8 }>();
            let mut pieces = pieces.iter_mut();
            let (mut piece, mut filled) = ([0; LANES], 0);
            for row in rows {
                for (piece, word) in piece.iter_mut().zip(row) {
                    *piece |= word << filled;
                }
                filled += width;
                if filled >= 64 {
                    if let Some(out) = pieces.next() {
                        store(out, &piece);
                    }
                    filled -= 64;
                    for (piece, word) in piece.iter_mut().zip(row) {
                        *piece = if filled == 0 { 0 } else { word >> (width - filled) };
                    }
                }
            }
        }
    }
}

vectorized! {
    /// Reads `w`-bit words out of bytes: the inverse of [`pack`]. They are below `2^w`; one from
    /// `p` on stands for its residue modulo `p`.
    pub fn unpack(bytes: &[u8], wire_bits: u8, words: &mut [u64]) {
        read_words(bytes, wire_bits, words, |word, read| *word = read);
    }
}

vectorized! {
    /// Adds words to sums that have room for them.
    fn add_unpacked(bytes: &[u8], wire_bits: u8, sums: &mut [u64]) {
        read_words(bytes, wire_bits, sums, |sum, word| *sum = sum.wrapping_add(word));
    }
}

vectorized! {
    /// Adds 64-bit words to sums below `p`, which they stay.
    fn add_unpacked_64(bytes: &[u8], sums: &mut [u64]) {
        read_words(bytes, 64, sums, |sum, word| {
            // A carry is worth 2^64 = k; the sum without it is below p, so it has room for k.
            let total = sum.wrapping_add(word);
            let carry = u64::from(total < word).wrapping_neg() & gap(64);
            *sum = reduced(total.wrapping_add(carry), 64);
        });
    }
}

vectorized! {
    /// Reduces sums modulo `p`.
    fn reduce_sums(sums: &mut [u64], wire_bits: u8) {
        let (mask, gap) = (u64::MAX >> (64 - wire_bits), gap(wire_bits));
        for sum in sums {
            // What lies above the w bits is worth k each; twice, since at 32 bits the first leaves
            // up to 6 2^32.
            for _ in 0..2 {
                let above = ((*sum >> (wire_bits - 1)) >> 1) & 0xFFFF_FFFF;
                *sum = (*sum & mask) + above * gap;
            }
            *sum = reduced(*sum, wire_bits);
        }
    }
}

/// Reads whole groups of words in their order, each into a place.
#[inline(always)]
fn read_words(bytes: &[u8], wire_bits: u8, words: &mut [u64], put: impl Fn(&mut u64, u64)) {
    let width = u32::from(wire_bits);
    let mask = u64::MAX >> (64 - width);
    let (groups, _) = words.as_chunks_mut::<GROUP>();
    for (group, bytes) in groups.iter_mut().zip(bytes.chunks_exact(LANES * 8 * width as usize)) {
        let (rows, _) = group.as_chunks_mut::<LANES>();
        let (pieces, _) = bytes.as_chunks::<{ LANES * 8 }>();
        let mut pieces = pieces.iter().map(load);
        let (mut piece, mut left) = ([0; LANES], 0);
        for row in rows {
            if left >= width {
                for (word, piece) in row.iter_mut().zip(&mut piece) {
                    put(word, *piece & mask);
                    // A whole piece is used up by a shift of 64, which is zero here.
                    *piece = (*piece >> 1) >> (width - 1);
                }
                left -= width;
            } else {
                let next = pieces.next().unwrap_or_default();
                let taken = width - left;
                for ((word, piece), next) in row.iter_mut().zip(&mut piece).zip(next) {
                    put(word, (*piece | next << left) & mask);
                    *piece = (next >> 1) >> (taken - 1);
                }
                left = 64 - taken;
            }
        }
    }
}

#[inline(always)]
fn load(bytes: &[u8; LANES * 8]) -> [u64; LANES] {
    let (numbers, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_le_bytes(numbers[i]))
}

#[inline(always)]
fn store(bytes: &mut [u8; LANES * 8], numbers: &[u64; LANES]) {
    let (out, _) = bytes.as_chunks_mut::<8>();
    for (out, number) in out.iter_mut().zip(numbers) {
        *out = number.to_le_bytes();
    }
}

/// A running sum of words modulo `p`: all that an aggregator does to ciphertexts.
///
/// Sums are kept unpacked, eight bytes a word, and reduced only when the next words might not have
/// room: for a chunk of bodies they should fit in the processor's cache.
#[derive(Clone, Debug)]
pub struct WordSum {
    wire_bits: u8,
    /// Bytes of every body.
    bytes: usize,
    sums: Vec<u64>,
    /// Bodies that can be added before the sums must be reduced.
    room: u64,
}

impl WordSum {
    /// The sum of no bodies of `bytes` bytes.
    ///
    /// # Errors
    /// [`LengthError`] unless that is a whole number of groups of words of 32 to 64 bits.
    pub fn new(wire_bits: u8, bytes: usize) -> Result<Self, LengthError> {
        let group = LANES * 8 * usize::from(wire_bits);
        if !WIRE_BITS.contains(&wire_bits) || !bytes.is_multiple_of(group) {
            return Err(LengthError { wire_bits, expected: bytes, got: bytes });
        }
        let sums = vec![0; bytes / group * GROUP];
        Ok(Self { wire_bits, bytes, sums, room: Self::room(wire_bits) })
    }

    /// Words below `2^w` that fit above a sum below `p`.
    fn room(wire_bits: u8) -> u64 {
        (1 << (64 - wire_bits)) - 1
    }

    /// Adds a body, modulo `p`. A word from `p` on stands for its residue.
    ///
    /// # Errors
    /// [`LengthError`] when it has another length; nothing is added then.
    pub fn add(&mut self, body: &[u8]) -> Result<(), LengthError> {
        let Self { wire_bits, bytes, .. } = *self;
        if body.len() != bytes {
            return Err(LengthError { wire_bits, expected: bytes, got: body.len() });
        }
        if wire_bits == 64 {
            add_unpacked_64(body, &mut self.sums);
            return Ok(());
        }
        if self.room == 0 {
            reduce_sums(&mut self.sums, wire_bits);
            self.room = Self::room(wire_bits);
        }
        add_unpacked(body, wire_bits, &mut self.sums);
        self.room -= 1;
        Ok(())
    }

    /// The sum's bytes.
    pub fn finish(mut self) -> Vec<u8> {
        reduce_sums(&mut self.sums, self.wire_bits);
        let mut bytes = vec![0; self.bytes];
        pack(&self.sums, self.wire_bits, &mut bytes);
        bytes
    }
}

/// Adds the words of `body` into `sum`, modulo `p`: for two bodies. [`WordSum`] adds many.
///
/// # Errors
/// [`LengthError`] when the lengths differ or are no whole number of groups; `sum` is untouched.
pub fn add_words(sum: &mut [u8], body: &[u8], wire_bits: u8) -> Result<(), LengthError> {
    if sum.len() != body.len() {
        return Err(LengthError { wire_bits, expected: sum.len(), got: body.len() });
    }
    WordSum::new(wire_bits, sum.len())?;
    // A block at a time, so that memory does not grow with the body.
    let block = block_bytes(wire_bits);
    for (sum, body) in sum.chunks_mut(block).zip(body.chunks(block)) {
        let mut words = WordSum::new(wire_bits, sum.len())?;
        words.add(sum)?;
        words.add(body)?;
        sum.copy_from_slice(&words.finish());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
