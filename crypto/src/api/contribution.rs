//! A contribution in one binary frame: header and envelopes, and the body where that is small.

use crate::wire::frame::{FrameError, MAX_FRAME};

/// Most bytes of a body that a client sends in one request with header and envelopes. At 1 Mbit/s it
/// takes 8 s: so much a line that is cut costs anew, where a larger body goes on. An aggregator takes
/// what a frame takes.
pub const MAX_WHOLE_BODY: u64 = 1 << 20;

/// A contribution as a binary frame, borrowed from its bytes: `header`, `envelopes` and, where it ends
/// with one, `body`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContributionFrame<'a> {
    /// JSON of the signed header.
    pub header: &'a [u8],
    /// Sealed bytes, one entry for each key holder.
    pub envelopes: Vec<&'a [u8]>,
    /// The whole body.
    pub body: Option<&'a [u8]>,
}

impl<'a> ContributionFrame<'a> {
    /// The bytes of the frame.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] when it would be longer than a receiver accepts.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let Self { header, envelopes, body } = self;
        let count = |bytes: usize| (bytes as u64).to_le_bytes();
        let pieces = std::iter::once(header).chain(envelopes).chain(body);
        let bytes = pieces.map(|piece| piece.len() + 8).sum::<usize>() + 8;
        if bytes > MAX_FRAME {
            return Err(FrameError::TooLong(bytes));
        }
        let mut frame = Vec::with_capacity(bytes);
        frame.extend_from_slice(&count(header.len()));
        frame.extend_from_slice(header);
        frame.extend_from_slice(&count(envelopes.len()));
        for piece in envelopes.iter().chain(body) {
            frame.extend_from_slice(&count(piece.len()));
            frame.extend_from_slice(piece);
        }
        Ok(frame)
    }

    /// Reads exactly one frame.
    ///
    /// # Errors
    /// [`FrameError`] on excess length, left-over bytes or another structure.
    pub fn decode(frame: &'a [u8]) -> Result<Self, FrameError> {
        if frame.len() > MAX_FRAME {
            return Err(FrameError::TooLong(frame.len()));
        }
        let mut rest = frame;
        let header = bytes(&mut rest)?;
        let count = number(&mut rest)?;
        // Each has a count of its own: more than there is room for are not made room for.
        if count > rest.len() / 8 {
            return Err(cut_short());
        }
        let envelopes = (0..count).map(|_| bytes(&mut rest)).collect::<Result<_, _>>()?;
        let body = match rest.is_empty() {
            true => None,
            false => Some(bytes(&mut rest)?),
        };
        match rest.is_empty() {
            true => Ok(Self { header, envelopes, body }),
            false => Err(FrameError::LeftOver { end: frame.len() - rest.len(), got: frame.len() }),
        }
    }
}

fn cut_short() -> FrameError {
    let reason = "it ends before what its counts announce".to_owned();
    FrameError::Malformed { expected: "a header, its envelopes and their body", reason }
}

/// The number that comes next.
fn number(rest: &mut &[u8]) -> Result<usize, FrameError> {
    let (number, after) = rest.split_first_chunk::<8>().ok_or_else(cut_short)?;
    *rest = after;
    usize::try_from(u64::from_le_bytes(*number)).map_err(|_| cut_short())
}

/// The byte string that comes next.
fn bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], FrameError> {
    let length = number(rest)?;
    let (bytes, after) = rest.split_at_checked(length).ok_or_else(cut_short)?;
    *rest = after;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame;

    #[test]
    fn it_is_the_frame_of_its_fields_and_reads_no_other() {
        let (header, envelopes) = (b"{}".to_vec(), vec![b"first".to_vec(), Vec::new()]);
        for body in [None, Some(&b""[..]), Some(&b"the body"[..])] {
            let borrowed = envelopes.iter().map(Vec::as_slice).collect();
            let whole = ContributionFrame { header: &header, envelopes: borrowed, body };
            let bytes = whole.encode().unwrap();
            let expected = match body {
                None => frame::encode(&(&header, &envelopes)),
                Some(body) => frame::encode(&(&header, &envelopes, body.to_vec())),
            };
            assert_eq!(bytes, expected.unwrap());
            assert_eq!(ContributionFrame::decode(&bytes).unwrap(), whole);
            for cut in 0..bytes.len() {
                let shorter = ContributionFrame::decode(&bytes[..cut]);
                // What ends before the body is a contribution without one.
                let ends_before = shorter.as_ref().is_ok_and(|shorter| shorter.body.is_none());
                assert!(shorter.is_err() || ends_before && body.is_some(), "{cut}: {shorter:?}");
            }
            if body.is_some() {
                let longer = [&bytes[..], &[0]].concat();
                let left_over = ContributionFrame::decode(&longer);
                assert!(matches!(left_over, Err(FrameError::LeftOver { .. })), "{left_over:?}");
            }
            // A length or a number of 2^63 must not allocate.
            for at in [7, 8 + 2 + 7] {
                let mut hostile = bytes.clone();
                hostile[at] = 0x80;
                let refused = ContributionFrame::decode(&hostile);
                assert!(matches!(refused, Err(FrameError::Malformed { .. })), "{refused:?}");
            }
        }
    }
}
