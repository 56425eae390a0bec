//! One connection: which addresses it speaks to, how much of an answer it takes, what it repeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, Url};
use ringfence_clock::Clock;
use ringfence_crypto::api::Problem;
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::address::{self, LOCALHOST, LOOPBACK};
use super::error::{TransportError, is_failure};
use super::printable::printable;

/// Longest a long poll is asked to wait.
pub(crate) const POLL: Duration = Duration::from_secs(20);
/// Attempts at a request before its network error is reported; the pauses between them double.
pub(super) const ATTEMPTS: u32 = 6;
/// A message, with its answer, takes at most so long, as it may at the aggregator. A largest frame
/// (16 MiB) then needs 0.5 Mbit/s.
const WHOLE: Duration = Duration::from_secs(300);
/// What streams, a body or a sum, has besides a second for so many bytes: 0.13 Mbit/s.
const SLOWEST: u64 = 16 << 10;
/// How long an answer may take to begin, beside the time of a long poll: as long as patience lasts,
/// within these bounds. A server that is not silent may still be slow.
const SILENCE: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(40)];
/// Patience unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause after the first attempt.
const PAUSE: Duration = Duration::from_millis(200);

/// A connection to one aggregator.
#[derive(Clone, Debug)]
pub struct Transport {
    pub(super) client: reqwest::Client,
    base: Url,
    pub(super) clock: Clock,
    /// How long a request that fails is repeated.
    patience: Duration,
    /// Whether a port that nobody listens at is asked once only.
    at_once: bool,
    /// Whether the server has said since the last look that it cannot do something now.
    busy: Arc<AtomicBool>,
}

impl Transport {
    /// Prepares to talk to the aggregator at `url`; pauses before repeating a request by `clock`.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`TransportError::Url`] unless it is `http://` on a loopback address (or anywhere, with
    /// `allow_plain_http`): contributions are encrypted, but who talks to whom is not.
    ///
    /// No proxy is used, whatever the environment says, and no redirect is followed: what is sent,
    /// the admin's token among it, goes to the address that was given and nowhere else.
    pub fn new(url: &str, allow_plain_http: bool, clock: Clock) -> Result<Self, TransportError> {
        let base = address::base(url, allow_plain_http)?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            // Not asked of a name server, which may say anything.
            .resolve_to_addrs(LOCALHOST, &LOOPBACK)
            .connect_timeout(Duration::from_secs(10))
            // Below the server's time for request headers, which also closes idle connections.
            .pool_idle_timeout(Duration::from_secs(10))
            .read_timeout(POLL + Duration::from_secs(40))
            .build()
            .map_err(|source| TransportError::network(&base, source))?;
        Ok(Self { client, base, clock, patience: PATIENCE, at_once: false, busy: Arc::default() })
    }

    /// Waits for an aggregator that is silent or away as long as this, and no longer.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Says at once that nobody listens at the aggregator's port, for whoever asks again by itself or
    /// has somebody look on. Other failures are repeated all the same.
    #[must_use]
    pub fn saying_at_once(self) -> Self {
        Self { at_once: true, ..self }
    }

    /// Whether the server has refused something since this was asked last, for it has too much to do
    /// or lacks something that it had.
    pub(crate) fn was_busy(&self) -> bool {
        self.busy.swap(false, Ordering::Relaxed)
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        limit: usize,
        expected: &'static str,
    ) -> Result<T, TransportError> {
        self.json(path, limit, expected, |url| self.client.get(url)).await
    }

    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        limit: usize,
        expected: &'static str,
        request: impl Fn(Url) -> RequestBuilder,
    ) -> Result<T, TransportError> {
        let bytes = self.bytes(path, limit, request).await?;
        Ok(json::parse(&bytes, limit, expected)?)
    }

    pub(super) async fn bytes(
        &self,
        path: &str,
        limit: usize,
        request: impl Fn(Url) -> RequestBuilder,
    ) -> Result<Vec<u8>, TransportError> {
        let (start, mut attempt) = (Instant::now(), 0);
        let [least, _] = SILENCE;
        let patience = self.patience.max(least);
        loop {
            attempt += 1;
            match self.once(path, limit, &request).await {
                // Every request is idempotent, so a broken connection, or a server that is overloaded
                // or has failed, is simply tried again.
                Err(error)
                    if attempt < ATTEMPTS
                        && error.is_transient()
                        && !(self.at_once && error.is_closed_port())
                        && start.elapsed() < patience =>
                {
                    self.pause(attempt).await;
                }
                result => {
                    if result.as_ref().is_err_and(TransportError::is_busy) {
                        self.busy.store(true, Ordering::Relaxed);
                    }
                    return result;
                }
            }
        }
    }

    /// Waits before the attempt after this one, counted from 1.
    pub(crate) async fn pause(&self, attempt: u32) {
        self.clock.sleep(PAUSE * (1 << (attempt - 1))).await;
    }

    async fn once(
        &self,
        path: &str,
        limit: usize,
        request: &impl Fn(Url) -> RequestBuilder,
    ) -> Result<Vec<u8>, TransportError> {
        let url = self.url(path)?;
        let network = |source| TransportError::network(&url, source);
        let [least, most] = SILENCE;
        let poll = if path.contains("wait=") { POLL } else { Duration::ZERO };
        let silence = poll + self.patience.clamp(least, most);
        let answer = timeout(silence, request(url.clone()).timeout(WHOLE).send());
        let silent =
            |_| TransportError::NoAnswer { url: self.server(), seconds: silence.as_secs() };
        let response = answer.await.map_err(silent)?.map_err(network)?;
        let response = accepted(response).await?;
        bounded(response, limit).await
    }

    /// The server, as it may be given to `--server`.
    pub(super) fn server(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    pub(super) fn url(&self, path: &str) -> Result<Url, TransportError> {
        self.base
            .join(path)
            .map_err(|error| TransportError::Url { url: path.into(), reason: error.to_string() })
    }
}

/// How long a transfer of so many bytes may take: whoever trickles is given up.
pub(super) fn transfer_time(bytes: u64) -> Duration {
    WHOLE.saturating_add(Duration::from_secs(bytes / SLOWEST))
}

/// Bytes of a file that are read or written at once.
pub(super) const PIECE: usize = 1 << 18;

pub(super) const JSON: &str = "application/json";
pub(super) const BYTES: &str = "application/octet-stream";

/// Turns a refusal into an error that carries the problem's detail.
pub(super) async fn accepted(response: Response) -> Result<Response, TransportError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status.is_redirection() {
        let target = response.headers().get(LOCATION).map(|target| target.as_bytes());
        let target =
            target.map_or("nowhere".into(), |target| printable(&String::from_utf8_lossy(target)));
        let (url, status) = (response.url().to_string(), status.as_u16());
        return Err(TransportError::Redirect { url, status, target });
    }
    let bytes = bounded(response, MAX_MESSAGE).await.unwrap_or_default();
    let detail = match json::parse::<Problem>(&bytes, MAX_MESSAGE, "problem") {
        Ok(problem) => printable(&problem.detail),
        Err(_) => {
            let reason = status.canonical_reason().unwrap_or("no reason given");
            let whose = match is_failure(status.as_u16()) {
                true => {
                    ", which is no answer of a Ringfence aggregator: a proxy before it may say so"
                }
                false => "",
            };
            format!("{reason}{whose}")
        }
    };
    Err(TransportError::Refused { status: status.as_u16(), detail })
}

pub(super) async fn bounded(
    mut response: Response,
    limit: usize,
) -> Result<Vec<u8>, TransportError> {
    let url = response.url().clone();
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|source| TransportError::network(&url, source))?;
        let Some(chunk) = chunk else { return Ok(bytes) };
        if bytes.len() + chunk.len() > limit {
            return Err(TransportError::TooLong { url: url.to_string(), limit });
        }
        bytes.extend_from_slice(&chunk);
    }
}
