//! Whether a site's body keeps to the format at one coefficient: what a verdict is found by.

use std::io::Read;

use ringfence_crypto::Digest;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::noise_bound::ROUNDING_SLACK;
use ringfence_crypto::ring::params::{ERROR_TAIL, MODULUS, RING_DEGREE};
use ringfence_crypto::ring::words::{block_bytes, reduce_wide, unpack, word_modulus};
use ringfence_crypto::statement::{Header, Study};

use super::coefficient::{CoefficientFault, Position, SlotLimits, split};
use super::recount::{RecountError, header_names};

/// Judges one coefficient of one body: its wire word, and the coefficient there of `a_j s_i`, the
/// site's public polynomial times its key.
///
/// A site that keeps to the format encrypts the residue `r = a_j s_i + e + Delta m`, `|e|` at most
/// the sampler's tail of 64, and sends a word `W` with `|W q/p - r| <= h = q / (2p) + 2`
/// ([`ROUNDING_SLACK`]). So `x = W q/p - a_j s_i - Delta m`, which is not rounded again, has
/// `|x| <= 64 + h`, and a larger one is a fault. In the same terms the bound on the noise of a sum
/// ([`NoiseModel::bound`](ringfence_crypto::ring::noise_bound::NoiseModel::bound)) allows each of
/// `c` sites `64 + h`, and adds the lifting once. Therefore the noise of a sum of coefficients that
/// have no fault is within the sum's bound, but for the chance that the bound leaves to the noise
/// of honest sites, 2^-64 a model.
///
/// A value lies in the range of the site at this place of the roster ([`Study::summands`]), the
/// count is one and padding zero. A sum's ranges are the sums of its sites', so what is within
/// these limits at every site is so in the sum.
///
/// # Errors
/// [`CoefficientFault`]: the site broke the format. Noise comes first, then the lowest slot.
pub fn judge_coefficient(
    study: &Study,
    place: usize,
    position: Position,
    word: u64,
    functional: u64,
) -> Result<(), CoefficientFault> {
    let packing = &study.packing;
    let modulus = u128::from(word_modulus(packing.wire_bits));
    // A word from p on stands for its residue, as in a sum.
    let word = reduce_wide(word.into(), packing.wire_bits);
    let scaled = u128::from(word) * u128::from(MODULUS);
    // W q/p = whole + part/p.
    let (whole, part) = ((scaled / modulus) as u64, (scaled % modulus) as i128);
    let unmasked = field::sub(whole, field::canonical(functional));
    let (message, noise) = split(unmasked, packing.delta_bits);
    // 2 p x against 2 p (64 + 2) + q: below 2^127, since Delta is at most 2^62.
    let twice_noise = 2 * (i128::from(noise) * modulus as i128 + part);
    let largest = 2 * (modulus * u128::from(ERROR_TAIL + SLACK)) + u128::from(MODULUS);
    if twice_noise.unsigned_abs() > largest {
        let bound = (largest / (2 * modulus)) as u64;
        // Away from zero, so that what is shown is beyond the bound that is shown.
        let noise = noise + i64::from(noise >= 0 && part > 0);
        return Err(CoefficientFault::Noise { noise, bound });
    }
    SlotLimits::new(study, study.summands([place])).check(position, message)
}

/// [`ROUNDING_SLACK`] as an integer.
const SLACK: u64 = ROUNDING_SLACK as u64;

/// The wire word at a position of the body that a header names; the body is read to its end and
/// held against the header's digest. Memory is that of a block.
///
/// # Errors
/// [`RecountError`] when the body is another one, cannot be read, or has no such position.
pub fn wire_word(
    study: &Study,
    header: &Header,
    position: Position,
    body: &mut impl Read,
) -> Result<u64, RecountError> {
    let (blocks, wire_bits) = (study.blocks()?, study.packing.wire_bits);
    let mut bytes = vec![0; block_bytes(wire_bits)];
    let (mut hasher, mut words, mut found) = (blake3::Hasher::new(), [0; RING_DEGREE], None);
    for block in 0..blocks as u64 {
        body.read_exact(&mut bytes)?;
        hasher.update(&bytes);
        if block == position.block {
            unpack(&bytes, wire_bits, words.as_mut_slice());
            found = words.get(usize::from(position.coefficient)).copied();
        }
    }
    header_names(header, Digest::finish(&hasher))?;
    found.ok_or(RecountError::Position { position, blocks })
}

#[cfg(test)]
mod tests;
