//! Control messages as JSON, for people and audit.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::OtherVersion;

/// Most bytes of a control message: a closing of 10,000 sites takes about 3 MB.
pub const MAX_MESSAGE: usize = 4 << 20;

/// Most bytes of a signed study: 10,000 sites' post-quantum keys take about 60 MB.
pub const MAX_STUDY: usize = 64 << 20;

/// JSON that is too long or no such message.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Longer than allowed.
    #[error("expected at most {limit} bytes of JSON, got {got}")]
    TooLong {
        /// Bytes allowed.
        limit: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Not the expected structure.
    #[error("expected the JSON of a {expected}: {source}{}", of_another_version(.source))]
    Malformed {
        /// What was expected.
        expected: &'static str,
        /// Where and why parsing stopped.
        source: serde_json::Error,
    },
    /// Of another version of the protocol.
    #[error(transparent)]
    Protocol(#[from] OtherVersion),
}

/// What is said of a message that has more in it than this version knows.
fn of_another_version(source: &serde_json::Error) -> &'static str {
    let text = source.to_string();
    match text.starts_with("unknown field") || text.starts_with("unknown variant") {
        true => "; if another version of the program wrote it, use the newer one on both sides",
        false => "",
    }
}

/// Parses one message of at most `limit` bytes; left-over bytes and unknown fields are errors.
///
/// # Errors
/// [`JsonError`] says what was expected and where parsing stopped.
pub fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    limit: usize,
    expected: &'static str,
) -> Result<T, JsonError> {
    if bytes.len() > limit {
        return Err(JsonError::TooLong { limit, got: bytes.len() });
    }
    serde_json::from_slice(bytes).map_err(|source| JsonError::Malformed { expected, source })
}

/// The JSON of a message, indented for reading.
pub fn pretty<T: Serialize>(value: &T) -> Vec<u8> {
    // Messages are plain structures with string keys: serialising them cannot fail.
    serde_json::to_vec_pretty(value).unwrap_or_default()
}

/// The JSON of a message, compact.
pub fn compact<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
