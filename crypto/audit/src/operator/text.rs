//! What stands in text: numbers, and bytes that were written as characters.

/// Printable characters in a row that are looked at: fewer hold no canary.
const SHORTEST: usize = 97;

/// Characters of a number at most.
const NUMBER: usize = 40;

/// Calls `each` with every run of printable ASCII, and where it begins.
pub(super) fn runs(bytes: &[u8], mut each: impl FnMut(usize, &[u8])) {
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    let mut start = 0;
    for piece in bytes.split(|byte| !is_text(byte)) {
        if piece.len() >= SHORTEST {
            each(start, piece);
        }
        start += piece.len() + 1;
    }
}

/// Calls `each` with every decimal number, and where it stands.
pub(super) fn numbers(run: &[u8], mut each: impl FnMut(usize, f64)) {
    let mut number = |start: usize, end: usize| {
        let text = run.get(start..end).filter(|text| text.len() <= NUMBER);
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        if let Some(Ok(number)) = text.map(str::parse) {
            each(start, number);
        }
    };
    let mut begun = None;
    let mut before = b' ';
    for (at, byte) in run.iter().copied().enumerate() {
        let is_sign = matches!(byte, b'+' | b'-');
        let belongs = byte.is_ascii_digit() || is_sign || matches!(byte, b'.' | b'e' | b'E');
        // A sign begins a number, but for that of an exponent.
        let goes_on = belongs && (!is_sign || matches!(before, b'e' | b'E'));
        if !goes_on && let Some(start) = begun.take() {
            number(start, at);
        }
        if belongs && begun.is_none() {
            begun = Some(at);
        }
        before = byte;
    }
    if let Some(start) = begun {
        number(start, run.len());
    }
}

/// What stands in an address: `%20` for a space; none where hardly anything is written so.
pub(super) fn from_percent(run: &[u8]) -> Option<Vec<u8>> {
    run.iter().filter(|byte| **byte == b'%').nth(SHORTEST / 4)?;
    let mut bytes = Vec::new();
    let mut rest = run;
    while let Some((first, after)) = rest.split_first() {
        let digits = after
            .split_at_checked(2)
            .filter(|(digits, _)| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        rest = match digits {
            Some((digits, after)) => {
                bytes.extend(from_hexadecimal(digits));
                after
            }
            None => {
                bytes.push(*first);
                after
            }
        };
    }
    Some(bytes)
}

/// Calls `each` with the bytes that long runs of hexadecimal digits, base64 and escapes stand for, what
/// they were, and where; of at least so many bytes.
pub(super) fn decoded(run: &[u8], bytes: usize, mut each: impl FnMut(&'static str, usize, &[u8])) {
    let mut start = 0;
    for piece in run.split(|byte| !byte.is_ascii_hexdigit()) {
        if piece.len() >= 2 * bytes {
            for phase in 0..2 {
                let digits = piece.get(phase..).unwrap_or_default();
                each("hexadecimal: ", start, &from_hexadecimal(digits));
            }
        }
        start += piece.len() + 1;
    }
    for url in [false, true] {
        let mut start = 0;
        let belongs = |byte: &u8| sextet(*byte, url).is_some() || matches!(byte, b'\n' | b'\r');
        for piece in run.split(|byte| !belongs(byte)) {
            let sextets: Vec<u8> = piece.iter().filter_map(|byte| sextet(*byte, url)).collect();
            // Digits alone are looked at above.
            let is_more = piece.iter().any(|byte| !byte.is_ascii_hexdigit());
            if sextets.len() * 3 / 4 >= bytes && is_more {
                for phase in 0..4 {
                    let sextets = sextets.get(phase..).unwrap_or_default();
                    each("base64: ", start, &from_base64(sextets));
                }
            }
            start += piece.len() + 1;
        }
    }
    if run.windows(2).filter(|pair| *pair == br"\x").take(bytes / 4).count() == bytes / 4 {
        each("escaped bytes: ", 0, &from_escapes(run));
    }
}

fn from_hexadecimal(digits: &[u8]) -> Vec<u8> {
    let (pairs, _) = digits.as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
    pairs.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}

fn sextet(byte: u8, url: bool) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' if !url => 62,
        b'/' if !url => 63,
        b'-' if url => 62,
        b'_' if url => 63,
        _ => return None,
    })
}

fn from_base64(sextets: &[u8]) -> Vec<u8> {
    let (groups, _) = sextets.as_chunks::<4>();
    let of_group = |[a, b, c, d]: &[u8; 4]| [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    groups.iter().flat_map(of_group).collect()
}

/// As Rust and Python write bytes; whatever else stands there stands for itself.
fn from_escapes(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let Some((kind, after)) = rest.split_first() else { break };
        rest = after;
        bytes.push(match kind {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0' => 0,
            b'x' => {
                let Some((digits, after)) = rest.split_at_checked(2) else { break };
                rest = after;
                from_hexadecimal(digits).first().copied().unwrap_or_default()
            }
            other => *other,
        });
    }
    bytes
}

#[cfg(test)]
mod tests {

    #[test]
    fn numbers_are_read_wherever_they_stand() {
        let read = |text: &str| {
            let mut numbers = Vec::new();
            super::numbers(text.as_bytes(), |at, number| numbers.push((at, number)));
            numbers
        };
        let numbers = [1.5, -2e-3, 7.0];
        let read = read(r#"{"w":[1.5,-2e-3],"e":"--", x=7}"#);
        assert_eq!(read.iter().map(|(_, number)| *number).collect::<Vec<_>>(), numbers);
        assert_eq!(read[0].0, 6);
    }

    #[test]
    fn a_sign_begins_a_number_and_addresses_are_read() {
        let read = |text: &[u8]| {
            let mut numbers = Vec::new();
            super::numbers(text, |_, number| numbers.push(number));
            numbers
        };
        assert_eq!(read(b"1-2+3e-1--4"), [1.0, -2.0, 0.3, -4.0]);
        let address = "/x?v=%5B0.5,%20-0.25".to_owned() + &",%200.5".repeat(40);
        let plain = super::from_percent(address.as_bytes()).unwrap();
        assert!(plain.starts_with(b"/x?v=[0.5, -0.25, 0.5, 0.5"));
        assert_eq!(super::from_percent(b"100 % of them"), None);
    }

    #[test]
    fn what_is_written_as_characters_is_read_back() {
        let bytes: Vec<u8> = (0..=255u8).cycle().step_by(37).take(600).collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let escaped: String =
            bytes.iter().map(|byte| std::ascii::escape_default(*byte).to_string()).collect();
        // By Python's base64.
        let base64 = "ACVKb5S53gMoTXKXvOEGK1B1mr/kCS5TeJ3C5wwxVnugxeoPNFl+o8jtEjdcgabL8BU6X4SpzvMYPWKHrNH2G0Bliq/U+Q==";
        let plain: Vec<u8> = bytes[..70].to_vec();
        let decoded = |text: &str, at_least: usize| {
            let mut all = Vec::new();
            super::decoded(text.as_bytes(), at_least, |kind, _, bytes| {
                all.push((kind, bytes.to_vec()))
            });
            all
        };
        assert!(decoded(&hex, 97).contains(&("hexadecimal: ", bytes.clone())));
        assert!(decoded(&escaped, 97).iter().any(|(kind, found)| *kind == "escaped bytes: "
            && found.windows(600).any(|window| window == bytes)));
        let found = decoded(base64, 60);
        assert!(
            found.iter().any(|(kind, found)| *kind == "base64: " && found[..60] == plain[..60]),
            "{found:?}"
        );
    }
}
