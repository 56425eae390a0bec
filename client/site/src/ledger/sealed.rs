//! Lines that carry their own authentication: `<64 hexadecimal digits> <JSON>` and a newline.

use ringfence_crypto::Digest;
use ringfence_crypto::wire::json;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::key::{CohortKey, Use};

/// Most bytes of a line. An entry takes about one thousand.
pub(super) const MAX_LINE: usize = 16 << 10;

/// What stands before the JSON: digits and a blank.
const CODE: usize = 65;

/// The line of a value, with its newline.
pub(super) fn seal<T: Serialize>(key: &CohortKey, of: Use, value: &T) -> Vec<u8> {
    let text = json::compact(value);
    let mut line = key.code(of, &text).to_hex().as_bytes().to_vec();
    line.push(b' ');
    line.extend(text);
    line.push(b'\n');
    line
}

/// The value of a line (without its newline), or what is wrong with it.
pub(super) fn open<T: DeserializeOwned>(
    key: &CohortKey,
    of: Use,
    line: &[u8],
) -> Result<T, String> {
    if line.len() >= MAX_LINE {
        return Err(format!("it has {} bytes, expected fewer than {MAX_LINE}", line.len()));
    }
    let altered = || {
        "its authentication code does not hold: it was altered, or it is of another ledger or cohort key"
            .to_owned()
    };
    let (code, text) = line.split_at_checked(CODE).ok_or_else(altered)?;
    let code = match code.split_last() {
        Some((b' ', digits)) if !digits.iter().any(u8::is_ascii_uppercase) => {
            blake3::Hash::from_hex(digits).map_err(|_| altered())?
        }
        _ => return Err(altered()),
    };
    // In constant time, by the type.
    if code != key.code(of, text) {
        return Err(altered());
    }
    json::parse(text, MAX_LINE, "ledger's line").map_err(|error| error.to_string())
}

/// What names a line: the digest of its bytes without the newline.
pub(super) fn name(line: &[u8]) -> Digest {
    Digest::of(line.strip_suffix(b"\n").unwrap_or(line))
}
