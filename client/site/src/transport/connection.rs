//! One connection: which addresses it speaks to, how much of an answer it takes, what it repeats.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Body, Method, Request, RequestBuilder, Response, Url};
use ringfence_clock::Clock;
use ringfence_crypto::api::Problem;
use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::CarrierPermit;
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use ringfence_keys::identity::Identity;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::address::{self, LOCALHOST, LOOPBACK};
use super::brought::Brought;
use super::carrier::{self, Carrier};
use super::credentials::Credentials;
use super::error::TransportError;
use super::kinds::is_failure;
use super::pause::{self, ATTEMPTS};
use super::printable::printable;
use super::proxy::Proxy;
use super::{cause, tls};
use crate::by_hand::{Mailbox, Recorder};

/// Longest a long poll is asked to wait.
pub(crate) const POLL: Duration = Duration::from_secs(20);
/// What is sent and answered takes at most so long, and besides a second for each [`SLOWEST`] bytes.
const WHOLE: Duration = Duration::from_secs(300);
/// Bytes that take a second at most: 0.13 Mbit/s.
const SLOWEST: u64 = 16 << 10;
/// How long an answer may take to begin, beside the time of a long poll and that of sending: as long
/// as patience lasts, within these bounds. A server that is not silent may still be slow.
const SILENCE: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(40)];
/// Bytes that a line takes in a second at least, where what is on its way is not seen: 0.5 Mbit/s. A
/// request is sent before its answer begins, and a proxy may hold a long answer until it has all.
const UNSEEN: u64 = 64 << 10;
/// Nothing comes of an answer for so long: it has stopped.
pub(super) const STALL: Duration = Duration::from_secs(60);
/// Patience unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
/// How an aggregator may be reached.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// Whether plain HTTP may leave this machine.
    pub allow_plain_http: bool,
    /// PEM file with the certificates that an aggregator's must lead to; without one, it must lead to
    /// a root of this machine's.
    pub ca: Option<PathBuf>,
}

/// A connection to one aggregator.
#[derive(Clone, Debug)]
pub struct Transport {
    pub(super) client: reqwest::Client,
    /// What brings requests to the aggregator, where no network does.
    carrier: Option<Arc<dyn Carrier>>,
    base: Url,
    credentials: Credentials,
    /// What stands between.
    proxy: Option<Proxy>,
    pub(super) clock: Clock,
    /// How long a request that fails is repeated.
    patience: Duration,
    /// Whether a port that nobody listens at is asked once only.
    at_once: bool,
    /// Whether the server has said since the last look that it cannot do something now.
    busy: Arc<AtomicBool>,
    /// What came with other answers.
    pub(super) brought: Arc<Brought>,
    /// What answers instead of an aggregator where there is no network.
    pub(super) by_hand: Option<Arc<Mailbox>>,
    /// What keeps the answers for a site that has no network.
    pub(super) recorder: Option<Arc<Recorder>>,
}

impl Transport {
    /// As [`Transport::by`], with this machine's root certificates.
    ///
    /// # Errors
    /// As for [`Transport::by`].
    pub fn new(url: &str, allow_plain_http: bool, clock: Clock) -> Result<Self, TransportError> {
        Self::by(url, &Way { allow_plain_http, ca: None }, clock)
    }

    /// Prepares to talk to the aggregator at `url`; pauses before repeating a request by `clock`.
    /// Nothing is sent yet.
    ///
    /// It goes through the proxy that the environment names for this URL (`HTTPS_PROXY`, `HTTP_PROXY`,
    /// `ALL_PROXY`, `NO_PROXY`, also in lower case); to loopback always directly. No redirect is
    /// followed: what is sent, the admin's token among it, is for the address that was given.
    ///
    /// # Errors
    /// [`TransportError::Url`] unless it is `https://`, or `http://` on a loopback address (or
    /// anywhere, if that is allowed): contributions are encrypted, but who talks to whom is not.
    /// [`TransportError::Roots`] where no certificate could be accepted, [`TransportError::Proxy`]
    /// where the environment names no proxy that could be asked.
    pub fn by(url: &str, way: &Way, clock: Clock) -> Result<Self, TransportError> {
        let base = address::base(url, way.allow_plain_http)?;
        let proxy = Proxy::of(&base, |variable| std::env::var(variable).ok())?;
        let tls = match base.scheme() {
            "https" => tls::config(way.ca.as_deref())?,
            _ => tls::none()?,
        };
        let network = |source| TransportError::network(&base, source);
        let mut builder = reqwest::Client::builder()
            // None but the one below.
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            // Not asked of a name server, which may say anything.
            .resolve_to_addrs(LOCALHOST, &LOOPBACK)
            // With the proxy's answer and the handshake, on a line that is busy with uploads.
            .connect_timeout(Duration::from_secs(30))
            // Whoever takes nothing of an upload for so long is given up; who sends nothing, below.
            .tcp_user_timeout(STALL)
            // Below the server's time for request headers, which also closes idle connections.
            .pool_idle_timeout(Duration::from_secs(10));
        if let Some(Proxy { url, auth, .. }) = &proxy {
            let mut proxy = reqwest::Proxy::all(url).map_err(network)?;
            if let Some(auth) = auth {
                proxy = proxy.custom_http_auth(auth.clone());
            }
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(network)?;
        let credentials = Credentials::None;
        let (patience, at_once, busy) = (PATIENCE, false, Arc::default());
        let brought = Arc::default();
        let (carrier, by_hand, recorder) = (None, None, None);
        Ok(Self {
            client,
            carrier,
            base,
            credentials,
            proxy,
            clock,
            patience,
            at_once,
            busy,
            brought,
            by_hand,
            recorder,
        })
    }

    /// Asks a site's mailbox in the aggregator's place; nothing is sent anywhere.
    ///
    /// # Errors
    /// [`TransportError::Network`] when the HTTP client cannot be made.
    pub fn by_hand(mailbox: Arc<Mailbox>, clock: Clock) -> Result<Self, TransportError> {
        let transport = Self::new("http://127.0.0.1", false, clock)?;
        Ok(Self { by_hand: Some(mailbox), ..transport })
    }

    /// Prepares to talk to an aggregator in this process, which a carrier brings all requests to: for
    /// simulations of a network and its outages. `url` is what the aggregator is called, on a loopback
    /// address. All else is as over a network: what is signed, checked and repeated.
    ///
    /// # Errors
    /// [`TransportError::Url`] unless it is `http://` on a loopback address.
    pub fn through(
        carrier: Arc<dyn Carrier>,
        url: &str,
        clock: Clock,
    ) -> Result<Self, TransportError> {
        Ok(Self { carrier: Some(carrier), ..Self::new(url, false, clock)? })
    }

    /// Waits for an aggregator that is silent or away as long as this, and no longer.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Signs every request for a study as this site.
    #[must_use]
    pub fn of_site(self, identity: Arc<Identity>) -> Self {
        Self { credentials: Credentials::Site(identity), ..self }
    }

    /// Signs every request for a study as a carrier that a site permits to make its requests.
    pub(crate) fn of_carrier(
        self,
        carrier: Arc<Identity>,
        permit: Arc<Signed<CarrierPermit>>,
    ) -> Self {
        Self { credentials: Credentials::Carrier(carrier, permit), ..self }
    }

    /// Keeps every answer from now on.
    pub(crate) fn recorded_by(self, recorder: Arc<Recorder>) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// Whether a mailbox answers in the aggregator's place.
    pub(crate) fn is_by_hand(&self) -> bool {
        self.by_hand.is_some()
    }

    /// When an answer that comes now was true at the earliest.
    pub(crate) fn as_of(&self, now: UnixSeconds) -> UnixSeconds {
        self.by_hand.as_ref().map_or(now, |mailbox| mailbox.as_of(now))
    }

    /// Shows an auditor's or administrator's token with every request for a study.
    #[must_use]
    pub fn with_token(self, token: Zeroizing<String>) -> Self {
        Self { credentials: Credentials::Token(Arc::new(token)), ..self }
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
        Ok(json::parse(&self.fetch(path, limit).await?, limit, expected)?)
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
        let answer = self.answered(path, limit, request).await;
        if let Some(recorder) = self.recorder.as_ref().filter(|_| !path.ends_with(INCLUSION)) {
            recorder.keep(path, &answer);
        }
        answer
    }

    async fn answered(
        &self,
        path: &str,
        limit: usize,
        request: impl Fn(Url) -> RequestBuilder,
    ) -> Result<Vec<u8>, TransportError> {
        let (start, mut attempt) = (self.clock.moment(), 0);
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
                        && self.clock.moment().since(start)
                            + error.retry_after().unwrap_or_default()
                            < patience =>
                {
                    self.pause_after(attempt, &error).await;
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
        self.clock.sleep(pause::jittered(pause::doubled(attempt))).await;
    }

    /// Waits before the attempt after this one, counted from 1, which ended in this error.
    pub(super) async fn pause_after(&self, attempt: u32, error: &TransportError) {
        self.clock.sleep(pause::after(attempt, error)).await;
    }

    /// How long an answer may take to begin while so many bytes are on their way unseen.
    pub(super) fn silence(&self, unseen: u64) -> Duration {
        let [least, most] = SILENCE;
        self.patience.clamp(least, most) + Duration::from_secs(unseen / UNSEEN)
    }

    pub(super) fn no_answer(&self, waited: Duration) -> TransportError {
        TransportError::NoAnswer { url: self.server(), seconds: waited.as_secs() }
    }

    /// What became of a request that was sent.
    pub(super) fn failed(&self, source: reqwest::Error) -> TransportError {
        cause::of(&self.base, self.proxy.as_ref(), source)
    }

    /// Sends a request, once.
    pub(super) async fn once(
        &self,
        path: &str,
        limit: usize,
        request: &impl Fn(Url) -> RequestBuilder,
    ) -> Result<Vec<u8>, TransportError> {
        let url = self.url(path)?;
        let mut request = request(url).build().map_err(|source| self.failed(source))?;
        let sent = request.body().and_then(Body::as_bytes).map_or(0, <[u8]>::len);
        *request.timeout_mut() = Some(transfer_time((sent + limit) as u64));
        let held = if limit > MAX_MESSAGE { limit } else { 0 };
        let poll = if path.contains("wait=") { POLL } else { Duration::ZERO };
        let silence = poll + self.silence((sent + held) as u64);
        let answer = self.clock.timeout(silence, self.execute(request));
        let response = answer.await.map_err(|_| self.no_answer(silence))??;
        let response = accepted(response, &self.clock).await?;
        bounded(response, limit, &self.clock).await
    }

    /// Sends a request with what shows whose it is.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, TransportError> {
        self.execute(request.build().map_err(|source| self.failed(source))?).await
    }

    async fn execute(&self, mut request: Request) -> Result<Response, TransportError> {
        let says = request.method() != Method::GET && !request.url().path().ends_with(INCLUSION);
        if says {
            self.brought.says();
        }
        if let Some(mailbox) = &self.by_hand {
            return mailbox.answer(&request);
        }
        self.credentials.attach(&mut request, self.clock.now());
        let answer = match &self.carrier {
            Some(carrier) => carrier::send(&**carrier, request, &self.clock).await,
            None => self.client.execute(request).await,
        };
        if says {
            self.brought.has_said();
        }
        answer.map_err(|source| self.failed(source))
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

/// How the path of several inclusion proofs ends: a question, and no place.
const INCLUSION: &str = "/log/inclusion";

/// The problem of a request that was signed by a clock which differs too much from the aggregator's.
const CLOCK: &str = "/problems/clock";

/// Bytes of a file that are read or written at once.
pub(super) const PIECE: usize = 1 << 18;

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain";
pub(super) const BYTES: &str = "application/octet-stream";

/// Turns a refusal into an error that carries the problem's detail.
pub(super) async fn accepted(
    response: Response,
    clock: &Clock,
) -> Result<Response, TransportError> {
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
    let retry_after = pause::retry_after(response.headers(), clock.since_1970());
    let bytes = bounded(response, MAX_MESSAGE, clock).await.unwrap_or_default();
    let detail = match json::parse::<Problem>(&bytes, MAX_MESSAGE, "problem") {
        Ok(problem) if problem.kind == CLOCK => {
            return Err(TransportError::ClockRefused { detail: printable(&problem.detail) });
        }
        Ok(problem) => printable(&problem.detail),
        Err(_) => {
            let reason = status.canonical_reason().unwrap_or("no reason given");
            let whose = match status.as_u16() {
                407 => {
                    ", which a proxy says: it asks for a user and a password in the environment variable that names it"
                }
                status if is_failure(status) => {
                    ", which is no answer of a Ringfence aggregator: a proxy before it may say so"
                }
                _ => "",
            };
            format!("{reason}{whose}")
        }
    };
    Err(TransportError::Refused { status: status.as_u16(), detail, retry_after })
}

pub(super) async fn bounded(
    mut response: Response,
    limit: usize,
    clock: &Clock,
) -> Result<Vec<u8>, TransportError> {
    let url = response.url().clone();
    let mut bytes = Vec::new();
    loop {
        let Some(chunk) = next(&mut response, clock).await? else { return Ok(bytes) };
        if bytes.len() + chunk.len() > limit {
            return Err(TransportError::TooLong { url: url.to_string(), limit });
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// The next bytes of an answer, `None` at its end; waited for as long as [`STALL`].
pub(super) async fn next(
    response: &mut Response,
    clock: &Clock,
) -> Result<Option<Bytes>, TransportError> {
    let url = response.url().clone();
    match clock.timeout(STALL, response.chunk()).await {
        Ok(chunk) => chunk.map_err(|source| TransportError::network(&url, source)),
        Err(_) => {
            let url = url.origin().ascii_serialization();
            Err(TransportError::Stalled { url, seconds: STALL.as_secs() })
        }
    }
}
