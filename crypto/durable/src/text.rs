//! Text that people edit: keys, studies, tables, as editors and spreadsheets leave them.

use std::borrow::Cow;
use std::io;

/// The text of a file's bytes: UTF-8 with or without a byte order mark, or UTF-16 with one, as
/// Windows PowerShell and Excel ("Unicode text") write it. The mark is no part of the text.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`], saying which encoding was found and what is expected.
pub fn decode(bytes: &[u8]) -> io::Result<Cow<'_, str>> {
    let text: Cow<'_, str> = match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => return Err(invalid("found UTF-32")),
        [0xEF, 0xBB, 0xBF, utf8 @ ..] => of_utf8(utf8)?.into(),
        [0xFF, 0xFE, rest @ ..] => of_utf16(rest, u16::from_le_bytes)?.into(),
        [0xFE, 0xFF, rest @ ..] => of_utf16(rest, u16::from_be_bytes)?.into(),
        utf8 => of_utf8(utf8)?.into(),
    };
    if let Some(at) = text.find('\0') {
        let line = line_of(text[..at].as_bytes());
        return Err(invalid(&format!("found a zero byte in line {line}, as in UTF-16 or no text")));
    }
    Ok(text)
}

fn of_utf8(bytes: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let line = line_of(bytes.get(..error.valid_up_to()).unwrap_or_default());
        invalid(&format!("found bytes of another encoding in line {line}"))
    })
}

fn of_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> io::Result<String> {
    let (units, odd) = bytes.as_chunks::<2>();
    let text: Result<String, _> =
        char::decode_utf16(units.iter().map(|pair| unit(*pair))).collect();
    match text {
        Ok(text) if odd.is_empty() => Ok(text),
        _ => Err(invalid("found damaged UTF-16")),
    }
}

fn line_of(before: &[u8]) -> usize {
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

fn invalid(found: &str) -> io::Error {
    let text = format!("expected text in UTF-8, {found}; save the file as UTF-8");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_no_text_and_utf16_is_read() {
        let utf16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}Zürich 𝄞\n".encode_utf16().flat_map(unit).collect()
        };
        for bytes in [
            "Zürich 𝄞\n".as_bytes(),
            "\u{feff}Zürich 𝄞\n".as_bytes(),
            &utf16(u16::to_le_bytes),
            &utf16(u16::to_be_bytes),
        ] {
            assert_eq!(decode(bytes).unwrap(), "Zürich 𝄞\n");
        }
        assert_eq!(decode(b"").unwrap(), "");
    }

    #[test]
    fn other_encodings_are_refused_in_words() {
        for (bytes, expected) in [
            (&b"site\nZ\xfcrich"[..], "another encoding in line 2"),
            (b"\xff\xfe\0\0a\0\0\0", "UTF-32"),
            (b"\xff\xfea\0\n", "damaged UTF-16"),
            (b"\xff\xfe\0\xd8", "damaged UTF-16"),
            (b"a\0b\0", "zero byte in line 1"),
        ] {
            let error = decode(bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            let text = error.to_string();
            assert!(text.contains(expected) && text.contains("save the file as UTF-8"), "{text}");
        }
    }
}
