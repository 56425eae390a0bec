//! A connection whose peer must take what it is sent: who asks for a sum and does not read it would
//! hold a place, and what is sent, for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes a second that a peer must take after the first idle time, as slow as a sender may be
/// (`core::incoming`).
const SLOWEST: u64 = 4 << 10;

/// A stream that gives up a peer which takes nothing for the idle time, or trickles.
pub(crate) struct Paced<S> {
    stream: S,
    idle: Duration,
    /// How long the peer may still keep this side waiting: the idle time, less what it has, and a
    /// second more for every [`SLOWEST`] bytes that it takes.
    left: Duration,
    waiting: Option<Waiting>,
}

/// Since when a write waits, and until when it may.
struct Waiting {
    since: Instant,
    end: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    /// Gives up a peer that takes nothing for so long.
    pub(crate) fn new(stream: S, idle: Duration) -> Self {
        Self { stream, idle, left: idle, waiting: None }
    }

    /// Takes note of what became of a write of so many bytes.
    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                let waited = self.waiting.take().map(|waiting| waiting.since.elapsed());
                let earned = Duration::from_millis(bytes as u64 * 1000 / SLOWEST);
                let left = self.left.saturating_sub(waited.unwrap_or_default());
                self.left = left.saturating_add(earned).min(self.idle);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let left = self.left;
                let waiting = self.waiting.get_or_insert_with(|| {
                    let since = Instant::now();
                    Waiting { since, end: Box::pin(sleep_until(since + left)) }
                });
                ready!(waiting.end.as_mut().poll(context));
                let slow = "the peer took nothing for too long, or too little";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, slow)))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.wrote(context, flushed.map_ok(|()| 0)).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.wrote(context, ended.map_ok(|()| 0)).map_ok(drop)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const IDLE: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn a_peer_that_reads_nothing_is_given_up_after_the_idle_time() {
        let (ours, _theirs) = duplex(1000);
        let began = Instant::now();
        let error = Paced::new(ours, IDLE).write_all(&[0; 5000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= IDLE);
    }

    #[tokio::test]
    async fn a_peer_that_trickles_is_given_up_and_a_slow_one_is_not() {
        // 500 bytes a second are too few, 25,000 are not.
        for (bytes, ends) in [(10, false), (500, true)] {
            let (ours, mut theirs) = duplex(500);
            let reader = tokio::spawn(async move {
                let mut buffer = vec![0; bytes];
                while theirs.read_exact(&mut buffer).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            let mut paced = Paced::new(ours, IDLE);
            let written = paced.write_all(&[0; 20_000]).await;
            assert_eq!(written.is_ok(), ends, "{bytes}: {written:?}");
            drop(paced);
            reader.await.unwrap();
        }
    }
}
