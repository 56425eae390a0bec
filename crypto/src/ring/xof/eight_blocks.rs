//! Eight blocks of BLAKE3's output at a time, one in each 32-bit word of AVX2's vectors.

use std::arch::x86_64::__m256i;

use pulp::cast;
use pulp::x86::V3;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// BLAKE3 specification, table 1: the initial value, which is SHA-256's.
const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Section 2.2, table 2: which word of the message comes where in the next round.
const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const ROUNDS: usize = 7;

/// Table 3: domain flags.
const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 1 << 1;
const ROOT: u32 = 1 << 3;
const KEYED_HASH: u32 = 1 << 4;

/// Bytes of a block, of input and of output alike.
const BLOCK: usize = 64;
/// Blocks side by side.
const LANES: usize = 8;
const STEP: usize = LANES * BLOCK;

/// The output of one block of input.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Reader {
    #[zeroize(skip)]
    simd: V3,
    root: Root,
    /// Blocks that were computed.
    counter: u64,
    buffer: [u8; STEP],
    /// Bytes at the buffer's end that nobody has read.
    unread: usize,
}

/// What is compressed under every counter.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Root {
    chaining_value: [u32; 8],
    message: [u32; 16],
    length: u32,
    flags: u32,
}

impl Reader {
    /// `None` for more than one block of input, without AVX2, and with AVX-512, for which the
    /// `blake3` crate has code of its own.
    pub(super) fn new(key: Option<&[u8; 32]>, parts: &[&[u8]]) -> Option<Self> {
        let simd = V3::try_new().filter(|_| !is_x86_feature_detected!("avx512f"))?;
        let mut block = [0; BLOCK];
        let mut length = 0;
        for part in parts {
            block.get_mut(length..length + part.len())?.copy_from_slice(part);
            length += part.len();
        }
        let single = CHUNK_START | CHUNK_END | ROOT;
        let (chaining_value, flags) = match key {
            Some(key) => (words(key), single | KEYED_HASH),
            None => (IV, single),
        };
        let message = words(&block);
        block.zeroize();
        let root = Root { chaining_value, message, length: length as u32, flags };
        Some(Self { simd, root, counter: 0, buffer: [0; STEP], unread: 0 })
    }

    /// The next bytes.
    pub(super) fn fill(&mut self, out: &mut [u8]) {
        let kept = self.unread.min(out.len());
        let (first, rest) = out.split_at_mut(kept);
        first.copy_from_slice(&self.buffer[STEP - self.unread..][..kept]);
        self.unread -= kept;
        let (steps, last) = rest.as_chunks_mut::<STEP>();
        for step in steps {
            self.root.blocks(self.simd, self.counter, step);
            self.counter += LANES as u64;
        }
        if !last.is_empty() {
            self.root.blocks(self.simd, self.counter, &mut self.buffer);
            self.counter += LANES as u64;
            last.copy_from_slice(&self.buffer[..last.len()]);
            self.unread = STEP - last.len();
        }
    }
}

/// Little-endian words.
fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let (chunks, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|word| u32::from_le_bytes(chunks[word]))
}

impl Root {
    /// Blocks `counter` to `counter + 7` of the output.
    fn blocks(&self, simd: V3, counter: u64, out: &mut [u8; STEP]) {
        struct Call<'a>(V3, &'a Root, u64, &'a mut [u8; STEP]);
        impl pulp::NullaryFnOnce for Call<'_> {
            type Output = ();
            #[inline(always)]
            fn call(self) {
                let Self(simd, root, counter, out) = self;
                compress(simd, root, counter, out);
            }
        }
        simd.vectorize(Call(simd, self, counter, out));
    }
}

#[inline(always)]
fn compress(simd: V3, root: &Root, counter: u64, out: &mut [u8; STEP]) {
    let splat = |word: u32| simd.avx._mm256_set1_epi32(word as i32);
    let counters: [u64; LANES] = std::array::from_fn(|lane| counter + lane as u64);
    let low: [u32; LANES] = counters.map(|counter| counter as u32);
    let high: [u32; LANES] = counters.map(|counter| (counter >> 32) as u32);
    let chaining = root.chaining_value.map(splat);
    let mut message = root.message.map(splat);
    let [c0, c1, c2, c3, c4, c5, c6, c7] = chaining;
    let [i0, i1, i2, i3, ..] = IV.map(splat);
    let mut state = [
        c0,
        c1,
        c2,
        c3,
        c4,
        c5,
        c6,
        c7,
        i0,
        i1,
        i2,
        i3,
        cast(low),
        cast(high),
        splat(root.length),
        splat(root.flags),
    ];
    for _ in 0..ROUNDS {
        round(simd, &mut state, &message);
        message = PERMUTATION.map(|from| message[from]);
    }
    let xor = |a, b| simd.avx2._mm256_xor_si256(a, b);
    let mut first: [__m256i; LANES] = std::array::from_fn(|word| xor(state[word], state[word + 8]));
    let mut second: [__m256i; LANES] =
        std::array::from_fn(|word| xor(state[word + 8], chaining[word]));
    transpose(simd, &mut first);
    transpose(simd, &mut second);
    let (blocks, _) = out.as_chunks_mut::<BLOCK>();
    for (block, (first, second)) in blocks.iter_mut().zip(first.into_iter().zip(second)) {
        block[..32].copy_from_slice(&cast::<_, [u8; 32]>(first));
        block[32..].copy_from_slice(&cast::<_, [u8; 32]>(second));
    }
}

/// Section 2.2: columns, then diagonals.
#[inline(always)]
fn round(simd: V3, v: &mut [__m256i; 16], m: &[__m256i; 16]) {
    mix(simd, v, [0, 4, 8, 12], m[0], m[1]);
    mix(simd, v, [1, 5, 9, 13], m[2], m[3]);
    mix(simd, v, [2, 6, 10, 14], m[4], m[5]);
    mix(simd, v, [3, 7, 11, 15], m[6], m[7]);
    mix(simd, v, [0, 5, 10, 15], m[8], m[9]);
    mix(simd, v, [1, 6, 11, 12], m[10], m[11]);
    mix(simd, v, [2, 7, 8, 13], m[12], m[13]);
    mix(simd, v, [3, 4, 9, 14], m[14], m[15]);
}

/// The quarter-round G.
#[inline(always)]
fn mix(simd: V3, v: &mut [__m256i; 16], [a, b, c, d]: [usize; 4], x: __m256i, y: __m256i) {
    let add = |a, b| simd.avx2._mm256_add_epi32(a, b);
    let xor = |a, b| simd.avx2._mm256_xor_si256(a, b);
    v[a] = add(add(v[a], v[b]), x);
    v[d] = bytes_right::<2>(simd, xor(v[d], v[a]));
    v[c] = add(v[c], v[d]);
    v[b] = bits_right::<12, 20>(simd, xor(v[b], v[c]));
    v[a] = add(add(v[a], v[b]), y);
    v[d] = bytes_right::<1>(simd, xor(v[d], v[a]));
    v[c] = add(v[c], v[d]);
    v[b] = bits_right::<7, 25>(simd, xor(v[b], v[c]));
}

/// Every word rotated to the right by whole bytes.
#[inline(always)]
fn bytes_right<const BYTES: u8>(simd: V3, words: __m256i) -> __m256i {
    let from: [u8; 32] = std::array::from_fn(|byte| {
        let byte = byte as u8;
        byte & 0b1100 | (byte + BYTES) & 0b0011
    });
    simd.avx2._mm256_shuffle_epi8(words, cast(from))
}

/// Every word rotated to the right by `RIGHT` bits, `LEFT = 32 - RIGHT`.
#[inline(always)]
fn bits_right<const RIGHT: i32, const LEFT: i32>(simd: V3, words: __m256i) -> __m256i {
    let avx2 = simd.avx2;
    avx2._mm256_or_si256(
        avx2._mm256_srli_epi32::<RIGHT>(words),
        avx2._mm256_slli_epi32::<LEFT>(words),
    )
}

/// Rows become columns: words of one place to places of one word.
#[inline(always)]
fn transpose(simd: V3, rows: &mut [__m256i; 8]) {
    let avx2 = simd.avx2;
    let [a, b, c, d, e, f, g, h] = *rows;
    let low = |a, b| avx2._mm256_unpacklo_epi32(a, b);
    let high = |a, b| avx2._mm256_unpackhi_epi32(a, b);
    let pairs = [low(a, b), low(c, d), high(a, b), high(c, d)];
    let more = [low(e, f), low(g, h), high(e, f), high(g, h)];
    let low = |a, b| avx2._mm256_unpacklo_epi64(a, b);
    let high = |a, b| avx2._mm256_unpackhi_epi64(a, b);
    let four = |[p, q, r, s]: [__m256i; 4]| [low(p, q), high(p, q), low(r, s), high(r, s)];
    let (upper, lower) = (four(pairs), four(more));
    for row in 0..4 {
        rows[row] = avx2._mm256_permute2x128_si256::<0x20>(upper[row], lower[row]);
        rows[row + 4] = avx2._mm256_permute2x128_si256::<0x31>(upper[row], lower[row]);
    }
}
