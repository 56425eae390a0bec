//! Sums and bodies into files, over lines that break.

use std::path::Path;

use reqwest::header::RANGE;
use reqwest::{StatusCode, Url};
use ringfence_crypto::Digest;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::connection::{PIECE, accepted, next, transfer_time};
use super::error::TransportError;
use super::pause::ATTEMPTS;
use super::round::RoundTransport;

impl RoundTransport<'_> {
    /// Streams bytes into a file, going on where an answer broke off; returns their digest.
    pub(super) async fn download(
        &self,
        rest: &str,
        file: &Path,
        bytes: u64,
    ) -> Result<Digest, TransportError> {
        let at = |source| TransportError::File { path: file.display().to_string(), source };
        let mut part = Part {
            out: BufWriter::with_capacity(PIECE, tokio::fs::File::create(file).await.map_err(at)?),
            path: file,
            hasher: blake3::Hasher::new(),
            received: 0,
            most: bytes,
        };
        let (mut attempt, mut furthest) = (0, 0);
        loop {
            attempt += 1;
            match self.download_from(rest, &mut part).await {
                Ok(()) => break,
                Err(error) if error.is_transient() => {
                    if part.received > furthest {
                        (attempt, furthest) = (1, part.received);
                    }
                    if attempt >= ATTEMPTS {
                        return Err(error);
                    }
                    self.transport.pause_after(attempt, &error).await;
                }
                Err(error) => return Err(error),
            }
        }
        part.out.flush().await.map_err(at)?;
        Ok(Digest::finish(&part.hasher))
    }

    /// One request for what is still missing.
    async fn download_from(&self, rest: &str, part: &mut Part<'_>) -> Result<(), TransportError> {
        let url = self.transport.url(&self.path(rest))?;
        let missing = part.most.saturating_sub(part.received);
        let mut request = self.transport.client.get(url.clone()).timeout(transfer_time(missing));
        if part.received > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.received));
        }
        let silence = self.transport.silence(missing);
        let clock = &self.transport.clock;
        let answer = clock.timeout(silence, self.transport.send(request)).await;
        let answer = answer.map_err(|_| self.transport.no_answer(silence))?;
        let mut response = accepted(answer?, clock).await?;
        // Whoever knows no ranges sends all of it again.
        if response.status() != StatusCode::PARTIAL_CONTENT {
            part.restart().await?;
        }
        while let Some(chunk) = next(&mut response, clock).await? {
            part.take(&chunk, &url).await?;
        }
        Ok(())
    }
}

/// What has come of a download.
struct Part<'a> {
    /// Written in large pieces: each goes from thread to thread.
    out: BufWriter<tokio::fs::File>,
    path: &'a Path,
    hasher: blake3::Hasher,
    received: u64,
    /// More bytes than these are refused.
    most: u64,
}

impl Part<'_> {
    async fn restart(&mut self) -> Result<(), TransportError> {
        let path = self.path;
        let at = |source| TransportError::File { path: path.display().to_string(), source };
        // What was written before is on its way to the file yet.
        self.out.flush().await.map_err(at)?;
        self.out.get_ref().set_len(0).await.map_err(at)?;
        self.out.rewind().await.map_err(at)?;
        (self.hasher, self.received) = (blake3::Hasher::new(), 0);
        Ok(())
    }

    async fn take(&mut self, chunk: &[u8], url: &Url) -> Result<(), TransportError> {
        let path = self.path;
        let at = |source| TransportError::File { path: path.display().to_string(), source };
        let received = self.received + chunk.len() as u64;
        if received > self.most {
            let limit = usize::try_from(self.most).unwrap_or(usize::MAX);
            return Err(TransportError::TooLong { url: url.to_string(), limit });
        }
        self.out.write_all(chunk).await.map_err(at)?;
        self.hasher.update(chunk);
        self.received = received;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringfence_clock::Clock;

    use super::*;
    use crate::transport::Transport;

    #[test]
    fn a_line_of_1_mbit_a_second_meets_every_limit() {
        let transport = Transport::new("http://127.0.0.1:9", false, Clock::system()).unwrap();
        let transport = transport.with_patience(Duration::ZERO);
        for megabytes in [1, 16, 64, 100, 10_000u64] {
            let takes = Duration::from_secs(megabytes * 8);
            assert!(transfer_time(megabytes * 1_000_000) > takes, "{megabytes}");
            // A proxy that holds all of an answer back takes it at once, and passes it on.
            assert!(transport.silence(megabytes * 1_000_000) > takes, "{megabytes}");
        }
    }
}
