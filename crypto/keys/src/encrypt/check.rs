//! Check words and keyed digests: what the study's check key is for.
//!
//! The check key is known to every site and to no aggregator. A body's check words are a keyed
//! linear hash of its *wire words* over `F_p`: what the words of a sum give is the sum of what the
//! bodies give. Each site seals its own in its signed header. So whoever has the check key can hold
//! the published sum against the headers before anything is opened, and, since bodies are public,
//! show that a site's check words are wrong.
//!
//! They are sealed because two clear ones would give an aggregator that sees the bodies linear
//! equations of the key: `tau_2 W_1 - tau_1 W_2` has check words zero.

use std::fmt;
use std::io::{self, Read};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use rand::CryptoRng;
use rayon::prelude::*;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{ManifestId, ModelId, SiteId};
use ringfence_crypto::ring::params::{CHECK_WORDS, RING_DEGREE};
use ringfence_crypto::ring::words::{block_bytes, reduce_wide, unpack, word_modulus};
use ringfence_crypto::ring::xof::Xof;
use ringfence_crypto::statement::{Header, HexBytes, Study};
use ringfence_crypto::vectorized;
use ringfence_crypto::wire::canonical::{self, Canonical};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The study's check key.
#[derive(ZeroizeOnDrop)]
pub struct CheckKey([u8; 32]);

/// A check key of a wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a check key of 32 bytes, got {0}")]
pub struct CheckKeyError(usize);

impl CheckKey {
    /// A fresh key, drawn by whoever makes the study file.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Self([0; 32]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// A key from its bytes.
    ///
    /// # Errors
    /// [`CheckKeyError`] unless there are 32 of them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckKeyError> {
        bytes.try_into().map(Self).map_err(|_| CheckKeyError(bytes.len()))
    }

    /// The key's bytes, to be sealed to a site.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest that stands in the study, so that every site sees that all got the same key: keyed
    /// BLAKE3 over `"ringfence/check-key/1"`. The key has 256 bits of entropy: the digest tells
    /// nothing of it.
    pub fn commitment(&self) -> Digest {
        self.keyed(b"ringfence/check-key/1", &[])
    }

    /// The digest under which a model is named to the aggregator, which cannot test a guess: keyed
    /// BLAKE3 over `"ringfence/keyed-model/1" || model digest`.
    pub fn model(&self, model: &ModelId) -> Digest {
        self.keyed(b"ringfence/keyed-model/1", &model.0.0)
    }

    fn keyed(&self, label: &[u8], bytes: &[u8]) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(label).update(bytes);
        Digest::finish(&hasher)
    }

    /// The vectors of a round whose words have `wire_bits` bits.
    pub(crate) fn vectors(&self, manifest: ManifestId, wire_bits: u8) -> CheckVectors<'_> {
        let mut reader = Xof::keyed(&self.0, &[b"ringfence/check/2", &manifest.0.0]);
        let mut bytes = Zeroizing::new([0; 4 * RING_DEGREE]);
        let inside = std::array::from_fn(|_| {
            reader.fill(bytes.as_mut_slice());
            let (numbers, _) = bytes.as_chunks::<4>();
            Zeroizing::new(numbers.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
        });
        CheckVectors { key: self, manifest, inside, wire_bits }
    }

    /// The check words of a body, or of a sum, of the study's length: read to its end.
    ///
    /// # Errors
    /// When it cannot be read or is shorter than the study says.
    pub fn words_of(
        &self,
        study: &Study,
        manifest: ManifestId,
        body: &mut impl Read,
    ) -> io::Result<CheckWords> {
        let wire_bits = study.packing.wire_bits;
        let vectors = self.vectors(manifest, wire_bits);
        let blocks = study.blocks().map_err(io::Error::other)?;
        let bytes = block_bytes(wire_bits);
        let batch = CheckVectors::batch().min(blocks).max(1);
        let mut buffer = vec![0; batch * bytes];
        let mut total = CheckWords::zero(wire_bits);
        for first in (0..blocks).step_by(batch) {
            let buffer = buffer.get_mut(..batch.min(blocks - first) * bytes).unwrap_or_default();
            body.read_exact(buffer)?;
            total.add(&vectors.of_blocks(first, buffer));
        }
        Ok(total)
    }

    /// Seals a body's check words for the header that names the body. Whoever has the check key can
    /// seal any words: sites hold them against the body.
    pub fn seal_words(&self, binding: CheckBinding<'_>, words: &CheckWords) -> HexBytes {
        let plaintext = Zeroizing::new(words.0.map(u64::to_le_bytes).concat());
        let (cipher, associated) = self.cipher(binding);
        let payload = Payload { msg: &plaintext, aad: &associated };
        // ChaCha20-Poly1305 refuses 256 GB and more only.
        HexBytes(cipher.encrypt(&Nonce::default(), payload).unwrap_or_default())
    }

    /// The check words that a verified header seals.
    ///
    /// # Errors
    /// [`SealedWordsError`]: the site that signed it is at fault.
    pub fn header_words(
        &self,
        header: &Header,
        wire_bits: u8,
    ) -> Result<CheckWords, SealedWordsError> {
        let Header { manifest, site, body, check, .. } = header;
        let refuse = || SealedWordsError(site.clone());
        let (cipher, associated) =
            self.cipher(CheckBinding { manifest: *manifest, site, body: *body });
        let payload = Payload { msg: &check.0, aad: &associated };
        let plaintext = cipher.decrypt(&Nonce::default(), payload).map_err(|_| refuse())?;
        let plaintext = Zeroizing::new(plaintext);
        let (numbers, _) = plaintext.as_chunks::<8>();
        let words = <[[u8; 8]; CHECK_WORDS]>::try_from(numbers).map_err(|_| refuse())?;
        let words = words.map(u64::from_le_bytes);
        match words.iter().all(|word| *word < word_modulus(wire_bits)) {
            true => Ok(CheckWords(words, wire_bits)),
            false => Err(refuse()),
        }
    }

    /// The check words that the sum over these verified headers' bodies must have.
    ///
    /// # Errors
    /// [`SealedWordsError`] with the first header whose check words do not open.
    pub fn sum_of_headers<'a>(
        &self,
        headers: impl IntoIterator<Item = &'a Header>,
        wire_bits: u8,
    ) -> Result<CheckWords, SealedWordsError> {
        let mut sum = CheckWords::zero(wire_bits);
        for header in headers {
            sum.add(&self.header_words(header, wire_bits)?);
        }
        Ok(sum)
    }

    /// The cipher for the one message that a binding ever has, and its associated data: the
    /// canonical bytes of label `check-words` over the binding, from which the key is derived too.
    ///
    /// Under one key there is one plaintext, so the nonce is zero: the binding names the body, and
    /// the check words follow from body, round and check key. A header that is sent again is the
    /// same bytes; even a site that lost its records and signs for another body takes another key.
    fn cipher(&self, binding: CheckBinding<'_>) -> (ChaCha20Poly1305, Vec<u8>) {
        let associated = canonical::bytes("check-words", &binding);
        let mut key = self.keyed(b"ringfence/check-seal/1", &associated);
        let cipher = ChaCha20Poly1305::new(&key.0.into());
        key.0.zeroize();
        (cipher, associated)
    }
}

/// Blocks a thread that are read at a time.
const BATCH: usize = 8;

/// What sealed check words are bound to.
#[derive(Clone, Copy, Debug)]
pub struct CheckBinding<'a> {
    /// The round's manifest.
    pub manifest: ManifestId,
    /// Whose body.
    pub site: &'a SiteId,
    /// Digest of the body.
    pub body: Digest,
}

impl Canonical for CheckBinding<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.manifest.encode(out);
        self.site.encode(out);
        self.body.encode(out);
    }
}

/// A header whose check words do not open: as good as wrong ones, and the signature proves whose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the sealed check words in the signed header of {0} do not open to four residues under the study's check key; the header is evidence against {0}"
)]
pub struct SealedWordsError(pub SiteId);

impl fmt::Debug for CheckKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckKey(not shown)")
    }
}

/// Check words of one body, or of a sum: residues modulo the prime of its wire words.
#[derive(ZeroizeOnDrop)]
pub struct CheckWords([u64; CHECK_WORDS], #[zeroize(skip)] u8);

impl CheckWords {
    /// Those of no body, for words of `wire_bits` bits.
    pub fn zero(wire_bits: u8) -> Self {
        Self([0; CHECK_WORDS], wire_bits)
    }

    /// Adds another body's, of words of the same width.
    pub fn add(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word = reduce_wide(u128::from(*word) + u128::from(*other), self.1);
        }
    }

    /// Constant-time comparison.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(&other.0).into()
    }

    /// The residues, for tests.
    #[cfg(test)]
    pub(crate) fn numbers(&self) -> [u64; CHECK_WORDS] {
        self.0
    }
}

impl fmt::Debug for CheckWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckWords(not shown)")
    }
}

/// The vectors of a round: word `i` of a body is `sum sigma_{i,j} rho_{i,k} W_{j,k} mod p` over the
/// words `W_{j,k}` of its blocks `j`.
///
/// All are uniform 32-bit numbers, four little-endian bytes each, of BLAKE3's extendable output
/// under the check key: first the N of `rho_0`, then those of `rho_1` and so on, over
/// `"ringfence/check/2" || manifest digest`; and for each block `sigma_{0,j}` to `sigma_{3,j}`, over
/// `"ringfence/check-block/2" || manifest digest || LE64(j)`.
///
/// A difference of sums that is not zero modulo `p` has a block with a word `D` that is not. For
/// fixed other coefficients one residue of `rho_k` makes the block's inner product vanish, since `D`
/// is invertible: one 32-bit number, or two where `p = 2^32 - 5`. If it does not vanish, one residue
/// of `sigma_j` makes the word vanish, for fixed other blocks. So a word misses a difference with a
/// chance of 2^-31 (2^-30 for words of 32 bits), and four independent ones with 2^-124 (2^-120).
pub(crate) struct CheckVectors<'a> {
    key: &'a CheckKey,
    manifest: ManifestId,
    /// `rho` of each check word.
    inside: [Zeroizing<Vec<u32>>; CHECK_WORDS],
    wire_bits: u8,
}

impl CheckVectors<'_> {
    /// What a block's wire words add to the check words.
    pub(crate) fn of_block(&self, block: usize, words: &[u64; RING_DEGREE]) -> CheckWords {
        let scales = self.scales(block);
        let mut check = CheckWords::zero(self.wire_bits);
        let inner = inner_products(&self.inside, words, self.wire_bits);
        for ((check, scale), inner) in check.0.iter_mut().zip(scales).zip(inner) {
            let inner = reduce_wide(inner, self.wire_bits);
            *check = reduce_wide(u128::from(scale) * u128::from(inner), self.wire_bits);
        }
        check
    }

    /// Blocks that are worth taking at a time.
    pub(crate) fn batch() -> usize {
        BATCH * rayon::current_num_threads()
    }

    /// What laid-out blocks from `first` on add to the check words.
    pub(crate) fn of_blocks(&self, first: usize, bytes: &[u8]) -> CheckWords {
        let parts: Vec<CheckWords> = bytes
            .par_chunks(block_bytes(self.wire_bits))
            .enumerate()
            .map_init(
                || Box::new([0; RING_DEGREE]),
                |words, (index, bytes)| {
                    unpack(bytes, self.wire_bits, words.as_mut_slice());
                    self.of_block(first + index, words)
                },
            )
            .collect();
        let mut sum = CheckWords::zero(self.wire_bits);
        parts.iter().for_each(|part| sum.add(part));
        sum
    }

    /// `sigma` of a block, one for each check word.
    pub(crate) fn scales(&self, block: usize) -> [u32; CHECK_WORDS] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key.0);
        hasher.update(b"ringfence/check-block/2").update(&self.manifest.0.0);
        hasher.update(&(block as u64).to_le_bytes());
        let mut reader = hasher.finalize_xof();
        std::array::from_fn(|_| {
            let mut bytes = [0; 4];
            reader.fill(&mut bytes);
            u32::from_le_bytes(bytes)
        })
    }
}

/// Bits of a piece of a word: a product with a number of 32 bits has 54, and 2^10 of them add up
/// to 64.
const PIECE: u32 = 22;

/// Words whose products are added before they are taken together.
const PART: usize = 1 << (64 - 32 - PIECE);

/// `sum_k rho_k W_k` of each check word, for words of so many bits: below 2^109.
fn inner_products(
    rho: &[Zeroizing<Vec<u32>>; CHECK_WORDS],
    words: &[u64; RING_DEGREE],
    wire_bits: u8,
) -> [u128; CHECK_WORDS] {
    let rho = [0, 1, 2, 3].map(|check: usize| rho[check].as_chunks::<PART>().0);
    let (words, _) = words.as_chunks::<PART>();
    let mut sums = [0; CHECK_WORDS];
    for (part, words) in words.iter().enumerate() {
        let rho = rho.map(|rho| &rho[part]);
        // Words of 44 bits or fewer have two pieces.
        let products = match u32::from(wire_bits) <= 2 * PIECE {
            true => two_pieces(rho, words),
            false => three_pieces(rho, words),
        };
        for (sum, pieces) in sums.iter_mut().zip(products) {
            for (piece, shift) in pieces.into_iter().zip((0u32..).step_by(PIECE as usize)) {
                *sum += u128::from(piece) << shift;
            }
        }
    }
    sums
}

vectorized! {
    fn two_pieces(rho: [&[u32; PART]; CHECK_WORDS], words: &[u64; PART]) -> [[u64; 3]; CHECK_WORDS] {
        piece_products::<2>(rho, words).map(|[low, high]| [low, high, 0])
    }
}

vectorized! {
    fn three_pieces(rho: [&[u32; PART]; CHECK_WORDS], words: &[u64; PART]) -> [[u64; 3]; CHECK_WORDS] {
        piece_products::<3>(rho, words)
    }
}

/// Inner products of every vector with each piece of the words, in one pass over the words.
#[inline(always)]
fn piece_products<const PIECES: usize>(
    [rho_0, rho_1, rho_2, rho_3]: [&[u32; PART]; CHECK_WORDS],
    words: &[u64; PART],
) -> [[u64; PIECES]; CHECK_WORDS] {
    let mut sums = [[0u64; CHECK_WORDS]; PIECES];
    for place in 0..PART {
        let rho = [rho_0[place], rho_1[place], rho_2[place], rho_3[place]].map(u64::from);
        let mut rest = words[place];
        for of_piece in &mut sums {
            let piece = rest & ((1 << PIECE) - 1);
            for (sum, rho) in of_piece.iter_mut().zip(rho) {
                *sum = sum.wrapping_add(rho * piece);
            }
            rest >>= PIECE;
        }
    }
    std::array::from_fn(|check| sums.map(|of_piece| of_piece[check]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;
    use ringfence_crypto::ring::packing::WIRE_BITS;

    fn key() -> CheckKey {
        CheckKey::generate(&mut rng(1))
    }

    fn of_blocks(vectors: &CheckVectors<'_>, blocks: &[[u64; RING_DEGREE]]) -> CheckWords {
        let mut sum = CheckWords::zero(vectors.wire_bits);
        for (block, words) in blocks.iter().enumerate() {
            sum.add(&vectors.of_block(block, words));
        }
        sum
    }

    #[test]
    fn linear_over_sums_modulo_the_prime_at_every_width() {
        let (key, manifest) = (key(), Digest::of(b"round").into());
        for bits in WIRE_BITS {
            let (vectors, p) = (key.vectors(manifest, bits), u128::from(word_modulus(bits)));
            // Words that wrap around, and the largest that bytes can hold.
            let a = std::array::from_fn(|k| u64::MAX >> (64 - bits) >> (k % 3));
            let b = std::array::from_fn(|k| word_modulus(bits) - 1 - k as u64);
            let sum = std::array::from_fn(|k| ((u128::from(a[k]) + u128::from(b[k])) % p) as u64);
            let mut added = of_blocks(&vectors, &[a, b]);
            added.add(&of_blocks(&vectors, &[b, a]));
            assert!(added.matches(&of_blocks(&vectors, &[sum, sum])), "{bits} bits");
            // By wide integers, word by word.
            let expected = std::array::from_fn::<u64, CHECK_WORDS, _>(|i| {
                let scales = [0, 1].map(|block| u128::from(vectors.scales(block)[i]));
                let inner = |words: &[u64; RING_DEGREE]| {
                    let terms = vectors.inside[i].iter().zip(words);
                    terms.fold(0, |sum, (rho, w)| (sum + u128::from(*rho) * u128::from(*w)) % p)
                };
                ((scales[0] * inner(&a) + scales[1] * inner(&b)) % p) as u64
            });
            assert_eq!(of_blocks(&vectors, &[a, b]).numbers(), expected, "{bits} bits");
        }
    }

    #[test]
    fn sensitive_to_every_word_and_block() {
        let (key, manifest) = (key(), Digest::of(b"round").into());
        let vectors = key.vectors(manifest, 44);
        let (mut a, zero) = ([0; RING_DEGREE], [0; RING_DEGREE]);
        for index in [0, 17, 1023, 1024, 4095] {
            a[index] = 1;
            let words = of_blocks(&vectors, &[a]).numbers();
            assert!(words.iter().all(|word| *word != 0), "word {index}");
            a[index] = 0;
        }
        a[9] = 1 << 43;
        let moved = of_blocks(&vectors, &[zero, a]);
        let words = of_blocks(&vectors, &[a, zero]);
        assert!(words.numbers().iter().zip(moved.numbers()).all(|(a, b)| *a != b));
        let other = key.vectors(Digest::of(b"another").into(), 44);
        assert!(!words.matches(&of_blocks(&other, &[a, zero])));
    }

    #[test]
    fn sealed_words_open_for_their_header_only() {
        let (key, manifest) = (key(), Digest::of(b"round").into());
        let words = CheckWords([1, 2, 3, word_modulus(44) - 1], 44);
        let (site, body): (SiteId, _) = ("north".parse().unwrap(), Digest::of(b"body"));
        let header = |words: &CheckWords| Header {
            study: Digest::of(b"study").into(),
            round: ringfence_crypto::id::RoundNumber(0),
            manifest,
            site: site.clone(),
            body_bytes: 1,
            body,
            check: key.seal_words(CheckBinding { manifest, site: &site, body }, words),
            envelopes: Vec::new(),
            spent: None,
        };
        let good = header(&words);
        assert_eq!(good.check.0.len(), ringfence_crypto::statement::CHECK_BYTES);
        assert!(key.header_words(&good, 44).unwrap().matches(&words));
        let refused = |alter: &dyn Fn(&mut Header)| {
            let mut other = good.clone();
            alter(&mut other);
            let error = key.header_words(&other, 44).unwrap_err();
            assert_eq!(error, SealedWordsError(other.site));
        };
        refused(&|h| h.manifest = Digest::of(b"another").into());
        refused(&|h| h.site = "south".parse().unwrap());
        refused(&|h| h.body = Digest::of(b"another"));
        refused(&|h| h.check.0[0] ^= 1);
        refused(&|h| h.check.0[47] ^= 1);
        refused(&|h| h.check.0.truncate(47));
        refused(&|h| h.check.0.clear());
        // Sealed rightly, and no residue.
        let large = header(&CheckWords([0, 0, 0, word_modulus(44)], 44));
        assert!(key.header_words(&large, 44).is_err());
        let other = CheckKey::generate(&mut rng(2));
        assert!(other.header_words(&good, 44).is_err());
    }
}
