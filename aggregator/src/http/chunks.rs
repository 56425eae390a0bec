//! Answers of several pieces: what many are sent is in memory once, and leaves without a copy.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};

/// Bytes up to which a piece is copied: a piece of its own costs more.
const COPIED: usize = 4 << 10;

/// Bytes one piece after the other.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    pieces: Vec<Bytes>,
    /// What comes after them.
    last: Vec<u8>,
    bytes: usize,
}

impl Chunks {
    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Appends a copy.
    pub(crate) fn copy(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.last.extend_from_slice(bytes);
    }

    /// Appends the bytes themselves.
    pub(crate) fn share(&mut self, bytes: Bytes) {
        if bytes.len() <= COPIED {
            return self.copy(&bytes);
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        if !self.last.is_empty() {
            self.pieces.push(std::mem::take(&mut self.last).into());
        }
        self.pieces.push(bytes);
    }

    /// Appends what others are made of.
    pub(crate) fn append(&mut self, other: Self) {
        other.pieces.into_iter().for_each(|piece| self.share(piece));
        self.copy(&other.last);
    }

    /// The body of an answer, whose length is known.
    pub(crate) fn into_body(mut self) -> Body {
        if !self.last.is_empty() {
            self.pieces.push(std::mem::take(&mut self.last).into());
        }
        Body::new(Whole { pieces: self.pieces.into_iter(), left: self.bytes as u64 })
    }
}

impl From<Bytes> for Chunks {
    fn from(bytes: Bytes) -> Self {
        let mut chunks = Self::default();
        chunks.share(bytes);
        chunks
    }
}

impl From<Vec<u8>> for Chunks {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl From<Vec<Bytes>> for Chunks {
    fn from(pieces: Vec<Bytes>) -> Self {
        let mut chunks = Self::default();
        pieces.into_iter().for_each(|piece| chunks.share(piece));
        chunks
    }
}

/// Pieces on their way.
struct Whole {
    pieces: IntoIter<Bytes>,
    left: u64,
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.pieces.next();
        if let Some(piece) = &next {
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn what_is_long_is_shared_and_what_is_short_is_copied() {
        let long = Bytes::from(vec![7; COPIED + 1]);
        let mut chunks = Chunks::from(b"begin".to_vec());
        chunks.share(long.clone());
        chunks.share(Bytes::from_static(b"short"));
        let mut all = Chunks::default();
        all.copy(b"head");
        all.append(chunks);
        let expected = [b"head", &b"begin"[..], &long, b"short"].concat();
        assert_eq!(all.len(), expected.len());
        let mut body = all.into_body();
        assert_eq!(body.size_hint().exact(), Some(expected.len() as u64));
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.push(frame.unwrap().into_data().unwrap());
        }
        assert_eq!(pieces.concat(), expected);
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[1].as_ptr(), long.as_ptr());
    }
}
