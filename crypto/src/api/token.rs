//! The administrator's token: what `Authorization: Bearer TOKEN` carries, and what its file holds.

/// Shorter tokens could be guessed.
pub const MIN_TOKEN_BYTES: usize = 16;

/// A token file that cannot be used. Nothing of the token is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Too short.
    #[error("a token of {0} bytes, expected at least {MIN_TOKEN_BYTES} on one line")]
    Short(usize),
    /// What no header can carry, or nobody sees.
    #[error(
        "a token whose byte {place} is {what}, expected letters, digits and signs of ASCII on one line: write it anew"
    )]
    Character {
        /// Counted from 1.
        place: usize,
        /// What stands there, in words.
        what: &'static str,
    },
}

/// The token in the bytes of a token file: one line of at least [`MIN_TOKEN_BYTES`] visible ASCII
/// characters. Newlines after it are cut, and nothing else.
///
/// # Errors
/// [`TokenError`].
pub fn token(file: &[u8]) -> Result<&str, TokenError> {
    let end = file.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
    let token = file.get(..end.map_or(0, |last| last + 1)).unwrap_or_default();
    if let Some(place) = token.iter().position(|byte| !byte.is_ascii_graphic()) {
        let what = match token.get(place) {
            Some(b'\n' | b'\r') => "a newline",
            Some(b' ' | b'\t') => "white space",
            Some(byte) if byte.is_ascii() => "a control character",
            _ => "no ASCII",
        };
        return Err(TokenError::Character { place: place + 1, what });
    }
    if token.len() < MIN_TOKEN_BYTES {
        return Err(TokenError::Short(token.len()));
    }
    // What is visible ASCII is UTF-8.
    std::str::from_utf8(token)
        .map_err(|error| TokenError::Character { place: error.valid_up_to() + 1, what: "no ASCII" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newlines_at_the_end_are_cut() {
        for file in ["sixteen-bytes-ok", "sixteen-bytes-ok\n", "sixteen-bytes-ok\r\n\n"] {
            assert_eq!(token(file.as_bytes()), Ok("sixteen-bytes-ok"), "{file:?}");
        }
        let refused = |file: &str, place, what| {
            let error = TokenError::Character { place, what };
            assert_eq!(token(file.as_bytes()), Err(error), "{file:?}");
        };
        refused(" sixteen-bytes-ok", 1, "white space");
        refused("sixteen-bytes-ok \n", 17, "white space");
        refused("sixteen-bytes-ok\t", 17, "white space");
        refused("sixteen-\nbytes-ok", 9, "a newline");
        refused("sixteen-\u{0}bytes-ok", 9, "a control character");
        refused("sixteen-bytes-\u{fc}", 15, "no ASCII");
        assert_eq!(token(b"short\n"), Err(TokenError::Short(5)));
        assert_eq!(token(b"\n\n"), Err(TokenError::Short(0)));
    }
}
