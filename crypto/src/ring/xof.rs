//! BLAKE3's extendable output over a short input, eight blocks of it at a time.
//!
//! Public polynomials, errors, rounding, shares and challenges are all such outputs: most of what
//! encryption computes. The `blake3` crate computes blocks of the output side by side with AVX-512
//! only, one after the other elsewhere. Block `i` of the output is the compression of the input's
//! one block with the counter `i` (BLAKE3 specification, section 2.6), so eight counters go through
//! one run of the compression with AVX2. On all other processors, and for an input of more than one
//! block, the crate does the work.
//!
//! The time depends on the lengths only.

#[cfg(target_arch = "x86_64")]
mod eight_blocks;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A stream of bytes; wiped on drop.
#[derive(ZeroizeOnDrop)]
pub struct Xof(Source);

#[derive(Zeroize, ZeroizeOnDrop)]
#[allow(clippy::large_enum_variant, reason = "it lives on the stack, where blocks are made")]
enum Source {
    #[cfg(target_arch = "x86_64")]
    EightBlocks(eight_blocks::Reader),
    Library(blake3::OutputReader),
}

impl Xof {
    /// The output of BLAKE3 over `parts`, one behind the other.
    #[must_use]
    pub fn new(parts: &[&[u8]]) -> Self {
        Self::of(None, parts)
    }

    /// The output of keyed BLAKE3.
    #[must_use]
    pub fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> Self {
        Self::of(Some(key), parts)
    }

    fn of(key: Option<&[u8; 32]>, parts: &[&[u8]]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(reader) = eight_blocks::Reader::new(key, parts) {
            return Self(Source::EightBlocks(reader));
        }
        let mut hasher = match key {
            Some(key) => blake3::Hasher::new_keyed(key),
            None => blake3::Hasher::new(),
        };
        parts.iter().for_each(|part| _ = hasher.update(part));
        let reader = hasher.finalize_xof();
        hasher.zeroize();
        Self(Source::Library(reader))
    }

    /// The next bytes of the output.
    pub fn fill(&mut self, out: &mut [u8]) {
        match &mut self.0 {
            #[cfg(target_arch = "x86_64")]
            Source::EightBlocks(reader) => reader.fill(out),
            Source::Library(reader) => reader.fill(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(key: Option<&[u8; 32]>, input: &[u8], bytes: usize) -> Vec<u8> {
        let mut hasher = key.map_or_else(blake3::Hasher::new, blake3::Hasher::new_keyed);
        let mut out = vec![0; bytes];
        hasher.update(input).finalize_xof().fill(&mut out);
        out
    }

    #[test]
    fn the_output_is_the_crates_however_it_is_read() {
        let input: Vec<u8> = (0..200).collect();
        let key: [u8; 32] = std::array::from_fn(|byte| 0xff - byte as u8);
        for key in [None, Some(&key)] {
            // Empty, within a block, a whole block, and more than one.
            for length in [0, 1, 3, 31, 54, 63, 64, 65, 200] {
                let (first, second) = input[..length].split_at(length / 3);
                let expected = library(key, &input[..length], 40_000);
                for step in [1, 7, 64, 511, 512, 513, 8192, 40_000] {
                    let mut xof = Xof::of(key, &[first, second]);
                    let mut out = vec![0; 40_000];
                    out.chunks_mut(step).for_each(|part| xof.fill(part));
                    assert!(out == expected, "{length} bytes of input, {step} at a time");
                }
            }
        }
    }

    #[test]
    fn blocks_are_computed_side_by_side_where_the_processor_can() {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && !is_x86_feature_detected!("avx512f") {
            assert!(matches!(Xof::new(&[b"x"]).0, Source::EightBlocks(_)));
        }
        assert!(matches!(Xof::new(&[&[0; 65]]).0, Source::Library(_)));
    }
}
