//! HTTP to the aggregator: bounded answers, problems as errors, retries of what is idempotent.

mod log;
mod round;

use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode, Url};
use ringfence_crypto::Digest;
use ringfence_crypto::statement::{RoundKeys, Signed, SignedStudy, SiteId};
use ringfence_crypto::wire::frame::FrameError;
use ringfence_crypto::wire::json::{self, JsonError, MAX_MESSAGE, MAX_STUDY};
use ringfence_crypto::wire::message::{Problem, StudyStatus};
pub use round::RoundTransport;
use serde::de::DeserializeOwned;

/// Longest a long poll is asked to wait.
const POLL: Duration = Duration::from_secs(20);
/// Attempts at a request before its network error is reported; the pauses between them double.
const ATTEMPTS: u32 = 6;

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No URL that this program speaks.
    #[error("expected an aggregator URL like http://127.0.0.1:8080, got {url}: {reason}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The aggregator could not be reached or broke off.
    #[error(
        "the aggregator at {url} could not be reached: {source}; check that it runs and the URL is right"
    )]
    Network {
        /// The request's URL.
        url: String,
        /// What the HTTP client said.
        source: reqwest::Error,
    },
    /// The aggregator refused, and said why.
    #[error("the aggregator refused ({status}): {detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The problem's detail.
        detail: String,
    },
    /// An answer longer than such an answer can be.
    #[error(
        "the answer of {url} is longer than {limit} bytes; this is no Ringfence aggregator, or another version"
    )]
    TooLong {
        /// The request's URL.
        url: String,
        /// Most bytes expected.
        limit: usize,
    },
    /// Not the JSON that was expected.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Not the frame that was expected.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A local file.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl TransportError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the same request may succeed later: the aggregator is away, or busy.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Network { .. }) || self.status() == Some(503)
    }
}

/// A connection to one aggregator.
#[derive(Clone, Debug)]
pub struct Transport {
    client: reqwest::Client,
    base: Url,
}

impl Transport {
    /// Prepares to talk to the aggregator at `url`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`TransportError::Url`] unless it is `http://` on a loopback address (or anywhere, with
    /// `allow_plain_http`): contributions are encrypted, but who talks to whom is not.
    pub fn new(url: &str, allow_plain_http: bool) -> Result<Self, TransportError> {
        let refuse = |reason: &str| TransportError::Url { url: url.into(), reason: reason.into() };
        let mut base: Url = url.parse().map_err(|_| refuse("it is no URL"))?;
        if base.scheme() != "http" {
            return Err(refuse(
                "this version speaks plain HTTP only; for another machine use a TLS tunnel to its loopback",
            ));
        }
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if !loopback && !allow_plain_http {
            return Err(refuse("plain HTTP beyond loopback needs --allow-plain-http"));
        }
        base.set_path("/v1/");
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            // Below the server's time for request headers, which also closes idle connections.
            .pool_idle_timeout(Duration::from_secs(10))
            .read_timeout(POLL + Duration::from_secs(40))
            .build()
            .map_err(|source| TransportError::Network { url: url.into(), source })?;
        Ok(Self { client, base })
    }

    /// Registers a signed study with the admin's token.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn register(
        &self,
        study: &SignedStudy,
        token: &str,
    ) -> Result<StudyStatus, TransportError> {
        let bytes = json::compact(study);
        let request = |url| {
            self.client
                .post(url)
                .bearer_auth(token.trim())
                .header("content-type", JSON)
                .body(bytes.clone())
        };
        self.json("studies", MAX_MESSAGE, "study status", request).await
    }

    /// Fetches a signed study.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn study(&self, study: Digest) -> Result<SignedStudy, TransportError> {
        self.get(&format!("studies/{study}"), MAX_STUDY, "signed study").await
    }

    /// Where a study stands.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn status(&self, study: Digest) -> Result<StudyStatus, TransportError> {
        self.get(&format!("studies/{study}/status"), MAX_MESSAGE, "study status").await
    }

    /// Publishes a site's KEM keys for coming rounds.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_round_keys(&self, keys: &Signed<RoundKeys>) -> Result<(), TransportError> {
        let RoundKeys { study, site, .. } = &keys.statement;
        let bytes = json::compact(keys);
        let request = |url| self.client.put(url).header("content-type", JSON).body(bytes.clone());
        let path = format!("studies/{study}/round-keys/{site}");
        self.bytes(&path, MAX_MESSAGE, request).await.map(|_| ())
    }

    /// The KEM keys of a site that cover a round.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn round_keys(
        &self,
        study: Digest,
        site: &SiteId,
        round: u32,
    ) -> Result<Signed<RoundKeys>, TransportError> {
        let path = format!("studies/{study}/round-keys/{site}?round={round}");
        self.get(&path, MAX_MESSAGE, "round keys").await
    }

    /// The resources of one round.
    pub fn round(&self, study: Digest, round: u32) -> RoundTransport<'_> {
        RoundTransport { transport: self, study, round }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        limit: usize,
        expected: &'static str,
    ) -> Result<T, TransportError> {
        self.json(path, limit, expected, |url| self.client.get(url)).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        limit: usize,
        expected: &'static str,
        request: impl Fn(Url) -> RequestBuilder,
    ) -> Result<T, TransportError> {
        let bytes = self.bytes(path, limit, request).await?;
        Ok(json::parse(&bytes, limit, expected)?)
    }

    async fn bytes(
        &self,
        path: &str,
        limit: usize,
        request: impl Fn(Url) -> RequestBuilder,
    ) -> Result<Vec<u8>, TransportError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.once(path, limit, &request).await {
                // Every request is idempotent, so a broken connection or an overloaded server is
                // simply tried again.
                Err(error) if attempt < ATTEMPTS && error.is_transient() => {
                    tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                }
                result => return result,
            }
        }
    }

    async fn once(
        &self,
        path: &str,
        limit: usize,
        request: &impl Fn(Url) -> RequestBuilder,
    ) -> Result<Vec<u8>, TransportError> {
        let url = self.url(path)?;
        let network = |source| TransportError::Network { url: url.to_string(), source };
        let response = request(url.clone()).send().await.map_err(network)?;
        let response = accepted(response).await?;
        bounded(response, limit).await
    }

    fn url(&self, path: &str) -> Result<Url, TransportError> {
        self.base
            .join(path)
            .map_err(|error| TransportError::Url { url: path.into(), reason: error.to_string() })
    }
}

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// Turns a refusal into an error that carries the problem's detail.
async fn accepted(response: Response) -> Result<Response, TransportError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let bytes = bounded(response, MAX_MESSAGE).await.unwrap_or_default();
    let detail = match json::parse::<Problem>(&bytes, MAX_MESSAGE, "problem") {
        Ok(problem) => problem.detail,
        Err(_) => status.canonical_reason().unwrap_or("no reason given").to_owned(),
    };
    Err(TransportError::Refused { status: status.as_u16(), detail })
}

async fn bounded(mut response: Response, limit: usize) -> Result<Vec<u8>, TransportError> {
    let url = response.url().to_string();
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|source| TransportError::Network { url: url.clone(), source })?;
        let Some(chunk) = chunk else { return Ok(bytes) };
        if bytes.len() + chunk.len() > limit {
            return Err(TransportError::TooLong { url, limit });
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// Whether a refusal says that something is not there (yet).
pub(crate) fn is_missing(error: &TransportError) -> bool {
    error.status() == Some(StatusCode::NOT_FOUND.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_loopback_unless_told() {
        for good in ["http://127.0.0.1:1", "http://localhost:8080/", "http://[::1]:9"] {
            assert!(Transport::new(good, false).is_ok(), "{good}");
        }
        for bad in ["http://10.0.0.1:1", "https://127.0.0.1", "ftp://localhost", "localhost"] {
            assert!(Transport::new(bad, false).is_err(), "{bad}");
        }
        assert!(Transport::new("http://aggregator.example:1", true).is_ok());
    }
}
