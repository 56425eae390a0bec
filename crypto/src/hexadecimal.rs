//! Bytes as hexadecimal text: one spelling per value.
//!
//! The `hex` crate reads upper case, too. A frame or a file with it would be a second encoding of
//! the same value, and what two implementations hold against each other would differ.

use hex::FromHexError;

fn check_lower_case(text: &str) -> Result<(), FromHexError> {
    match text.bytes().enumerate().find(|(_, byte)| byte.is_ascii_uppercase()) {
        Some((index, byte)) => {
            Err(FromHexError::InvalidHexCharacter { c: char::from(byte), index })
        }
        None => Ok(()),
    }
}

/// Reads exactly `bytes.len()` bytes from lower-case digits.
///
/// # Errors
/// [`FromHexError`] on another length, and on a character that is no lower-case digit.
pub(crate) fn decode_to_slice(text: &str, bytes: &mut [u8]) -> Result<(), FromHexError> {
    check_lower_case(text)?;
    hex::decode_to_slice(text, bytes)
}

/// Reads any number of bytes from lower-case digits.
///
/// # Errors
/// As [`decode_to_slice`].
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, FromHexError> {
    // Character by character into a vector takes ten times as long, and keys are long.
    let mut bytes = vec![0; text.len() / 2];
    decode_to_slice(text, &mut bytes)?;
    Ok(bytes)
}

/// The digits of some bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut digits = vec![0; 2 * bytes.len()];
    // The buffer has the length that it must have, and digits are text.
    let _ = hex::encode_to_slice(bytes, &mut digits);
    String::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_one_spelling() {
        let mut bytes = [0; 2];
        decode_to_slice("0aff", &mut bytes).unwrap();
        assert_eq!(bytes, [0x0a, 0xff]);
        assert_eq!(decode("0aff").unwrap(), [0x0a, 0xff]);
        assert_eq!((encode(&bytes), encode(&[])), ("0aff".to_owned(), String::new()));
        for wrong in ["0Aff", "0afF", "0ag0", "0af", "0aff00", "é000"] {
            assert!(decode_to_slice(wrong, &mut bytes).is_err(), "{wrong}");
        }
        for wrong in ["0Aff", "0afF", "0ag0", "0af"] {
            assert!(decode(wrong).is_err(), "{wrong}");
        }
    }
}
