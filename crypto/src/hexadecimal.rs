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

/// What a lower-case digit stands for; [`NONE`] for any other character.
const fn value(character: u8) -> u8 {
    match character {
        b'0'..=b'9' => character - b'0',
        b'a'..=b'f' => character - b'a' + 10,
        _ => NONE,
    }
}
const NONE: u8 = 0xff;

/// Reads exactly `bytes.len()` bytes from lower-case digits.
///
/// # Errors
/// [`FromHexError`] on another length, and on a character that is no lower-case digit.
pub(crate) fn decode_to_slice(text: &str, bytes: &mut [u8]) -> Result<(), FromHexError> {
    // The crate decides character by character. Round keys and headers are megabytes of digits, and a
    // site spent a tenth of its time on them.
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() == bytes.len() && rest.is_empty() {
        let mut all = 0;
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let (high, low) = (value(*high), value(*low));
            all |= high | low;
            *byte = high << 4 | low;
        }
        if all != NONE {
            return Ok(());
        }
    }
    // Which character is wrong, or how much too long it is.
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
        // Every character in every place, as the crate has it.
        for character in (0..=255).map(char::from) {
            for place in 0..4 {
                let mut text = String::from("0aff");
                text.replace_range(place..=place, &character.to_string());
                let (mut ours, mut theirs) = ([0; 2], [0; 2]);
                let read = decode_to_slice(&text, &mut ours);
                match hex::decode_to_slice(&text, &mut theirs) {
                    Ok(()) if !character.is_ascii_uppercase() => {
                        assert_eq!((read, ours), (Ok(()), theirs))
                    }
                    _ => assert!(read.is_err(), "{text}"),
                }
            }
        }
        for wrong in ["0Aff", "0afF", "0ag0", "0af"] {
            assert!(decode(wrong).is_err(), "{wrong}");
        }
    }
}
