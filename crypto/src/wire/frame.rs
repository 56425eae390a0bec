//! Binary frames: sealed envelopes and openings, as bincode with a byte limit.
//!
//! A frame is its structure's fields in order; strings, byte strings and lists carry a 64-bit
//! little-endian count ahead; digests and signatures are the strings that they are in JSON.
//!
//! Frames are never signed: statements name the digests of the sealed bytes inside them.

use bincode::config;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes of one frame: 64 envelopes of a 4096-word key and their overhead take 2.3 MB, an
/// opening's content key wrapped for 10,000 sites takes 12 MB.
pub const MAX_FRAME: usize = 16 << 20;

/// A frame that is too long or malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than allowed.
    #[error("expected a binary frame of at most {MAX_FRAME} bytes, got {0}")]
    TooLong(usize),
    /// Bytes after the end of the frame.
    #[error("expected the frame to end at byte {end}, but {got} bytes came")]
    LeftOver {
        /// Where the frame ends.
        end: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Not the expected structure, or not its only encoding.
    #[error("expected the frame of {expected}: {reason}")]
    Malformed {
        /// What was expected.
        expected: &'static str,
        /// Why decoding stopped.
        reason: String,
    },
}

fn configuration() -> impl config::Config {
    config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<MAX_FRAME>()
}

/// The frame of `value`.
///
/// # Errors
/// [`FrameError`] when it would be longer than a receiver accepts.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    encode_about(value, 0)
}

/// The same, of a value whose frame has about so many bytes: there is room for them from the start.
///
/// # Errors
/// [`FrameError`] when it would be longer than a receiver accepts.
pub fn encode_about<T: Serialize>(value: &T, about: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::with_capacity(about.min(MAX_FRAME));
    bincode::serde::encode_into_std_write(value, &mut bytes, configuration()).map_err(|error| {
        FrameError::Malformed { expected: "a value to send", reason: error.to_string() }
    })?;
    if bytes.len() > MAX_FRAME {
        return Err(FrameError::TooLong(bytes.len()));
    }
    Ok(bytes)
}

/// Decodes exactly one frame; lengths are fixed 64-bit, so every value has one encoding.
///
/// # Errors
/// [`FrameError`] on excess length, left-over bytes or another structure.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], expected: &'static str) -> Result<T, FrameError> {
    if bytes.len() > MAX_FRAME {
        return Err(FrameError::TooLong(bytes.len()));
    }
    let (value, end) = bincode::serde::decode_from_slice(bytes, configuration())
        .map_err(|error| FrameError::Malformed { expected, reason: error.to_string() })?;
    if end != bytes.len() {
        return Err(FrameError::LeftOver { end, got: bytes.len() });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_hostile_bytes() {
        let value = vec![vec![1u8, 2], vec![], vec![3]];
        let bytes = encode(&value).unwrap();
        assert_eq!(encode_about(&value, 3), Ok(bytes.clone()));
        assert_eq!(decode::<Vec<Vec<u8>>>(&bytes, "bytes"), Ok(value));
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(
            decode::<Vec<Vec<u8>>>(&longer, "bytes"),
            Err(FrameError::LeftOver { .. })
        ));
        for cut in 0..bytes.len() {
            assert!(decode::<Vec<Vec<u8>>>(&bytes[..cut], "bytes").is_err());
        }
        // A length of 2^63 must not allocate.
        let mut hostile = bytes;
        hostile[7] = 0x80;
        assert!(matches!(
            decode::<Vec<Vec<u8>>>(&hostile, "bytes"),
            Err(FrameError::Malformed { .. })
        ));
    }
}
