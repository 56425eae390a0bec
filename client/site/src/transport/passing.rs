//! What a carrier asks and says for a site: by path, whatever it is.

use std::io::Read;
use std::path::Path;

use reqwest::Method;
use ringfence_crypto::wire::frame::MAX_FRAME;
use ringfence_crypto::wire::json::MAX_MESSAGE;

use super::connection::Transport;
use super::error::TransportError;
use super::round::RoundTransport;

impl Transport {
    /// Passes on what a site has made.
    pub(crate) async fn pass_on(
        &self,
        path: &str,
        method: Method,
        content_type: &str,
        bytes: Vec<u8>,
    ) -> Result<(), TransportError> {
        let request = |url| {
            let request = self.client.request(method.clone(), url);
            request.header("content-type", content_type).body(bytes.clone())
        };
        self.bytes(path, MAX_MESSAGE, request).await.map(drop)
    }

    /// Asks for what lies at a path.
    pub(crate) async fn ask(&self, path: &str) -> Result<Vec<u8>, TransportError> {
        self.bytes(path, MAX_FRAME, |url| self.client.get(url)).await
    }

    /// Keeps an answer that came by another way.
    pub(crate) fn keep(&self, path: &str, answer: impl Read) {
        if let Some(recorder) = &self.recorder {
            recorder.add(path, 200, answer);
        }
    }

    /// Keeps a refusal that came by another way.
    pub(crate) fn keep_refusal(&self, path: &str, answer: &Result<Vec<u8>, TransportError>) {
        if let Some(recorder) = &self.recorder {
            recorder.keep(path, answer);
        }
    }
}

impl RoundTransport<'_> {
    /// Fetches what lies at a path below the round's, of at most so many bytes, into a file.
    pub(crate) async fn fetch(
        &self,
        rest: &str,
        file: &Path,
        bytes: u64,
    ) -> Result<(), TransportError> {
        self.download(rest, file, bytes).await.map(drop)
    }
}
