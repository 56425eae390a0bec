//! X-Wing encapsulation keys: what parses as one. Checked here, where nothing can decrypt, so that
//! the aggregator refuses what no dealer could seal to.

use super::roster_entry::{HexBytes, KEM_KEY_BYTES};

/// Bytes of the ML-KEM-768 half's coefficients: three polynomials of 256 coefficients of 12 bits.
const COEFFICIENT_BYTES: usize = 3 * 384;

/// The modulus of ML-KEM.
const ML_KEM_MODULUS: u16 = 3329;

/// Bytes that are no X-Wing encapsulation key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KemKeyError {
    /// Too short or too long.
    #[error("has {0} bytes, expected {KEM_KEY_BYTES} of X-Wing")]
    Length(usize),
    /// FIPS 203, 7.2: the encoding of a coefficient is not reduced.
    #[error(
        "is no X-Wing key: coefficient {index} of its ML-KEM-768 half is {got}, expected less than {ML_KEM_MODULUS}"
    )]
    Coefficient {
        /// Index among the 768.
        index: usize,
        /// As it stands.
        got: u16,
    },
}

/// Checks that a key can be sealed to: the encapsulation key of ML-KEM-768 (1184 bytes, whose
/// first 1152 are 12-bit coefficients that FIPS 203, 7.2 wants below 3329), then 32 bytes of X25519,
/// of which X-Wing takes any. A key that passes is one for the KEM's implementation, too.
///
/// # Errors
/// [`KemKeyError`] with the first thing that is wrong.
pub fn check_kem_key(key: &HexBytes) -> Result<(), KemKeyError> {
    let bytes = &key.0;
    if bytes.len() != KEM_KEY_BYTES {
        return Err(KemKeyError::Length(bytes.len()));
    }
    let (triples, _) = bytes.get(..COEFFICIENT_BYTES).unwrap_or_default().as_chunks::<3>();
    let coefficients = triples.iter().flat_map(|&[low, middle, high]| {
        let (low, middle, high) = (u16::from(low), u16::from(middle), u16::from(high));
        [low | (middle & 0xf) << 8, middle >> 4 | high << 4]
    });
    match coefficients.enumerate().find(|(_, coefficient)| *coefficient >= ML_KEM_MODULUS) {
        Some((index, got)) => Err(KemKeyError::Coefficient { index, got }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_from_the_modulus_on_are_refused() {
        let mut key = HexBytes(vec![0; KEM_KEY_BYTES]);
        assert_eq!(check_kem_key(&key), Ok(()));
        // 3328 = 0xd00 in the first coefficient, then 3329.
        key.0[1] = 0x0d;
        assert_eq!(check_kem_key(&key), Ok(()));
        key.0[0] = 0x01;
        assert_eq!(check_kem_key(&key), Err(KemKeyError::Coefficient { index: 0, got: 3329 }));
        key.0[..2].fill(0);
        key.0[1151] = 0xff;
        assert_eq!(check_kem_key(&key), Err(KemKeyError::Coefficient { index: 767, got: 0xff0 }));
        // What follows the coefficients may be anything.
        key.0[1151] = 0;
        key.0[1152..].fill(0xff);
        assert_eq!(check_kem_key(&key), Ok(()));
        assert_eq!(check_kem_key(&HexBytes(vec![0; 1215])), Err(KemKeyError::Length(1215)));
    }
}
