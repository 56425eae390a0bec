//! One connection: which addresses it speaks to, how much of an answer it takes, what it repeats.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, Url};
use ringfence_clock::Clock;
use ringfence_crypto::api::Problem;
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use serde::de::DeserializeOwned;

use super::error::TransportError;

/// Longest a long poll is asked to wait.
pub(super) const POLL: Duration = Duration::from_secs(20);
/// Attempts at a request before its network error is reported; the pauses between them double.
pub(super) const ATTEMPTS: u32 = 6;
/// The pause after the first attempt.
const PAUSE: Duration = Duration::from_millis(200);

/// A connection to one aggregator.
#[derive(Clone, Debug)]
pub struct Transport {
    pub(super) client: reqwest::Client,
    base: Url,
    clock: Clock,
}

impl Transport {
    /// Prepares to talk to the aggregator at `url`; pauses before repeating a request by `clock`.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`TransportError::Url`] unless it is `http://` on a loopback address (or anywhere, with
    /// `allow_plain_http`): contributions are encrypted, but who talks to whom is not.
    pub fn new(url: &str, allow_plain_http: bool, clock: Clock) -> Result<Self, TransportError> {
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
        base.set_path("/v2/");
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            // Below the server's time for request headers, which also closes idle connections.
            .pool_idle_timeout(Duration::from_secs(10))
            .read_timeout(POLL + Duration::from_secs(40))
            .build()
            .map_err(|source| TransportError::Network { url: url.into(), source })?;
        Ok(Self { client, base, clock })
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
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.once(path, limit, &request).await {
                // Every request is idempotent, so a broken connection or an overloaded server is
                // simply tried again.
                Err(error) if attempt < ATTEMPTS && error.is_transient() => {
                    self.pause(attempt).await;
                }
                result => return result,
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
        let network = |source| TransportError::Network { url: url.to_string(), source };
        let response = request(url.clone()).send().await.map_err(network)?;
        let response = accepted(response).await?;
        bounded(response, limit).await
    }

    pub(super) fn url(&self, path: &str) -> Result<Url, TransportError> {
        self.base
            .join(path)
            .map_err(|error| TransportError::Url { url: path.into(), reason: error.to_string() })
    }
}

pub(super) const JSON: &str = "application/json";
pub(super) const BYTES: &str = "application/octet-stream";

/// Turns a refusal into an error that carries the problem's detail.
pub(super) async fn accepted(response: Response) -> Result<Response, TransportError> {
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

pub(super) async fn bounded(
    mut response: Response,
    limit: usize,
) -> Result<Vec<u8>, TransportError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_loopback_unless_told() {
        let new = |url, allow| Transport::new(url, allow, Clock::system());
        for good in ["http://127.0.0.1:1", "http://localhost:8080/", "http://[::1]:9"] {
            assert!(new(good, false).is_ok(), "{good}");
        }
        for bad in ["http://10.0.0.1:1", "https://127.0.0.1", "ftp://localhost", "localhost"] {
            assert!(new(bad, false).is_err(), "{bad}");
        }
        assert!(new("http://aggregator.example:1", true).is_ok());
    }
}
