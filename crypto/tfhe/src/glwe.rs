//! To and from tfhe's GLWE types under the same modulus, so that TFHE computation can go on from
//! an encrypted sum.
//!
//! A block of a body or of a sum is a GLWE ciphertext of dimension 1: its mask is the public
//! polynomial `a_j`, its body the lifted wire words, its key the site's one-time key or, for a sum,
//! the opened key sum. tfhe decrypts it to `Delta M` plus noise, with `Delta = 2^delta` of the
//! packing. Only sums have keys that anybody ever sees.

use ringfence_crypto::id::ManifestId;
use ringfence_crypto::ring::ciphertext::public_polynomial;
use ringfence_crypto::ring::field::ResidueError;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::{MODULUS, RING_DEGREE};
use ringfence_crypto::ring::words::{block_bytes, from_word, pack, to_word, unpack};
use ringfence_keys::share::reconstruct::KeySum;
use tfhe::core_crypto::prelude::{
    CiphertextModulus, GlweCiphertextOwned, GlweSecretKey, GlweSecretKeyOwned, PolynomialSize,
};

use crate::transform::{forward, inverse};

/// The modulus q as tfhe names it.
pub fn modulus() -> CiphertextModulus<u64> {
    CiphertextModulus::new(u128::from(MODULUS))
}

/// Something that is no block of this round.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlweError {
    /// Bytes of another length.
    #[error("expected a block of {expected} bytes, got {got}")]
    Length {
        /// Bytes of a block.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// A ciphertext of other parameters.
    #[error(
        "expected a GLWE ciphertext of dimension 1 and {RING_DEGREE} coefficients modulo q = {MODULUS}"
    )]
    Parameters,
    /// A ciphertext whose mask is not the round's public polynomial: it is no wire body any more
    /// (it was multiplied or added to something), and its mask would have to travel, too.
    #[error("the ciphertext's mask is not the public polynomial of block {0} of this round")]
    Mask(u64),
    /// A coefficient at or above q.
    #[error(transparent)]
    Residue(#[from] ResidueError),
}

fn mask(manifest: ManifestId, block: u64) -> Vec<u64> {
    let mut public = [0; RING_DEGREE];
    public_polynomial(manifest, block, &mut public);
    inverse(&public)
}

/// Block `block` of a body or of a sum, as the GLWE ciphertext that it is.
///
/// # Errors
/// [`GlweError::Length`] unless `bytes` is one block.
pub fn ciphertext(
    packing: &Packing,
    manifest: ManifestId,
    block: u64,
    bytes: &[u8],
) -> Result<GlweCiphertextOwned<u64>, GlweError> {
    let expected = block_bytes(packing.wire_bits);
    if bytes.len() != expected {
        return Err(GlweError::Length { expected, got: bytes.len() });
    }
    let mut words = [0; RING_DEGREE];
    unpack(bytes, packing.wire_bits, &mut words);
    let mut container = mask(manifest, block);
    container.extend(words.iter().map(|word| from_word(*word, packing.wire_bits)));
    Ok(GlweCiphertextOwned::from_container(container, PolynomialSize(RING_DEGREE), modulus()))
}

/// The wire words of a GLWE ciphertext that is a block of this round: the inverse of
/// [`ciphertext`], and the way for a body that tfhe encrypted under the round's public polynomial.
///
/// # Errors
/// [`GlweError`] when it has other parameters, another mask or coefficients at or above q.
pub fn block(
    packing: &Packing,
    manifest: ManifestId,
    block: u64,
    ciphertext: &GlweCiphertextOwned<u64>,
) -> Result<Vec<u8>, GlweError> {
    let fits = ciphertext.glwe_size().0 == 2
        && ciphertext.polynomial_size().0 == RING_DEGREE
        && ciphertext.ciphertext_modulus() == modulus();
    if !fits {
        return Err(GlweError::Parameters);
    }
    let (of_mask, body) = ciphertext.as_ref().split_at(RING_DEGREE);
    if of_mask != mask(manifest, block) {
        return Err(GlweError::Mask(block));
    }
    residues(body)?;
    let words: Vec<u64> = body.iter().map(|word| to_word(*word, packing.wire_bits)).collect();
    let mut bytes = vec![0; block_bytes(packing.wire_bits)];
    pack(&words, packing.wire_bits, &mut bytes);
    Ok(bytes)
}

/// An opened key sum as tfhe's secret key, which decrypts the sum that it was opened for.
pub fn secret_key(keys: &KeySum) -> GlweSecretKeyOwned<u64> {
    GlweSecretKey::from_container(inverse(keys.words()), PolynomialSize(RING_DEGREE))
}

/// A tfhe secret key modulo q by its values, in the order in which key words are shared.
///
/// # Errors
/// [`GlweError`] when it has other parameters or words at or above q.
pub fn key_words(key: &GlweSecretKeyOwned<u64>) -> Result<Vec<u64>, GlweError> {
    let coefficients: &[u64; RING_DEGREE] =
        key.as_ref().try_into().map_err(|_| GlweError::Parameters)?;
    residues(coefficients)?;
    Ok(forward(coefficients))
}

/// Refuses words at or above q.
fn residues(words: &[u64]) -> Result<(), ResidueError> {
    match words.iter().enumerate().find(|(_, word)| **word >= MODULUS) {
        Some((index, value)) => Err(ResidueError::TooLarge { index, value: *value }),
        None => Ok(()),
    }
}
