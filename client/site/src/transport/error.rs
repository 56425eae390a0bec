//! What can go wrong on the way to the aggregator, and what to do about it.

use std::time::Duration;

use reqwest::Url;
use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::log::note::NoteError;
use ringfence_crypto::signature::PublicKey;
use ringfence_crypto::wire::frame::FrameError;
use ringfence_crypto::wire::json::JsonError;

use super::cause::{self, causes};
use super::printable::printable;

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No URL that this program speaks.
    #[error(
        "expected an aggregator URL like https://aggregator.example or http://127.0.0.1:8080, got {url}: {reason}"
    )]
    Url {
        /// As given.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The aggregator could not be reached or broke off.
    #[error(
        "the aggregator at {url} could not be reached: {}; check that it runs and the URL is right",
        causes(.source)
    )]
    Network {
        /// The server: scheme, host and port.
        url: String,
        /// What the HTTP client said.
        source: reqwest::Error,
    },
    /// Nobody listens at the aggregator's port.
    #[error(
        "the aggregator at {url} could not be reached: nobody listens there (connection refused); start it, or check address and port of --server"
    )]
    ClosedPort {
        /// The server: scheme, host and port.
        url: String,
    },
    /// What answers, answers in no HTTP.
    #[error(
        "what answers at {url} speaks no HTTP ({reason}), so it is no Ringfence aggregator; check the port, and that the URL of an aggregator with TLS begins with https://"
    )]
    NoHttp {
        /// The server: scheme, host and port.
        url: String,
        /// What the HTTP client said.
        reason: String,
    },
    /// What answers, answers in no TLS.
    #[error(
        "what answers at {url} speaks no TLS; check the port, and that the aggregator was started with --tls-certificate"
    )]
    NoTls {
        /// The server: scheme, host and port.
        url: String,
    },
    /// A proxy that answers in no TLS.
    #[error(
        "the proxy {proxy}, which {variable} names, speaks no TLS: most proxies are named with http://, for https:// addresses, too, and what goes through them is encrypted all the same; write http:// before its host, or check its port"
    )]
    ProxyNoTls {
        /// The proxy: scheme, host and port.
        proxy: String,
        /// The environment variable that names it.
        variable: &'static str,
    },
    /// A certificate that is not accepted.
    #[error("the certificate that {url} shows is not accepted: {reason}; {advice}")]
    Certificate {
        /// The server: scheme, host and port.
        url: String,
        /// What is wrong, with the certificate's names and dates, fit to be shown.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// No certificates to know servers by.
    #[error("{0}")]
    Roots(String),
    /// An environment variable that should name a proxy.
    #[error(
        "the environment variable {variable} does not name a proxy: {reason}; expected http://HOST:PORT or http://USER:PASSWORD@HOST:PORT; what it holds is not shown, for there may be a password in it"
    )]
    Proxy {
        /// The variable.
        variable: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The proxy wants to know who asks.
    #[error(
        "the proxy {proxy} {}; put them into {variable}, as http://USER:PASSWORD@HOST:PORT with both percent-encoded",
        if *.known { "does not accept the user and password that it is given (407)" } else { "asks for a user and a password (407)" }
    )]
    ProxyAuthentication {
        /// The proxy: scheme, host and port.
        proxy: String,
        /// The environment variable that names it.
        variable: &'static str,
        /// Whether it was told a user.
        known: bool,
    },
    /// The proxy opens no way to the aggregator.
    #[error(
        "the proxy {proxy} opened no way to {target}: it refuses that address (403), or does not reach it (502 to 504); ask whoever runs the proxy to allow CONNECT to {target}, and check that the aggregator runs"
    )]
    ProxyRefused {
        /// The proxy: scheme, host and port.
        proxy: String,
        /// Host and port of the aggregator.
        target: String,
    },
    /// The proxy could not be reached.
    #[error(
        "the proxy {proxy}, which {variable} names, could not be reached: {reason}; check its address, or name the aggregator's host in NO_PROXY if it is reached without one"
    )]
    ProxyAway {
        /// The proxy: scheme, host and port.
        proxy: String,
        /// The environment variable that names it.
        variable: &'static str,
        /// What the HTTP client said, fit to be shown.
        reason: String,
    },
    /// What answers is not the study's aggregator.
    #[error(
        "what answers at {server} is not the study's aggregator, whose key is {expected}: {came}; nothing was sent to it; check --server and its port, and that the aggregator runs there"
    )]
    Stranger {
        /// Address and port.
        server: String,
        /// The key that stands in the study.
        expected: Box<PublicKey>,
        /// What came instead, fit to be shown.
        came: String,
    },
    /// The aggregator refused, and said why.
    #[error("the aggregator refused ({status}): {detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The problem's detail, fit to be shown.
        detail: String,
        /// After how long the same request may be sent again, where the answer says so.
        retry_after: Option<Duration>,
    },
    /// The aggregator's clock and this site's differ too much for signed requests.
    #[error("the aggregator refused (401): {detail}")]
    ClockRefused {
        /// The problem's detail, fit to be shown.
        detail: String,
    },
    /// The aggregator points elsewhere.
    #[error(
        "the answer of {url} is a redirect ({status}) to {target}, and redirects are not followed: what is sent there is for this aggregator; give the aggregator's own address as --server"
    )]
    Redirect {
        /// The request's URL.
        url: String,
        /// HTTP status.
        status: u16,
        /// Where it points, fit to be shown.
        target: String,
    },
    /// A contribution that has come in part.
    #[error(
        "{stored} of {bytes} bytes of the contribution have come, and in {attempts} more attempts no further ones: {source}; what has come stays there, and the same command, run again before {}, goes on behind it",
        .until.map_or_else(|| "the round's time for contributions ends".to_owned(), |until| until.utc().to_string())
    )]
    CutShort {
        /// Bytes that the aggregator has.
        stored: u64,
        /// Bytes of the body.
        bytes: u64,
        /// When the round's time for contributions ends, where that is known.
        until: Option<UnixSeconds>,
        /// How often it was tried in vain.
        attempts: u32,
        /// What became of the last attempt.
        source: Box<TransportError>,
    },
    /// No answer in time.
    #[error(
        "the aggregator did not say within {seconds} s how the round stands; check that it runs and can be reached"
    )]
    Silent {
        /// How long was waited.
        seconds: u64,
    },
    /// A connection, and nothing on it.
    #[error(
        "the aggregator at {url} took the request and did not begin to answer within {seconds} s; check that it runs and the URL is right"
    )]
    NoAnswer {
        /// The server: scheme, host and port.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// An answer that stopped.
    #[error(
        "the answer of the aggregator at {url} stopped: nothing more came for {seconds} s; check the way to it"
    )]
    Stalled {
        /// The server: scheme, host and port.
        url: String,
        /// How long was waited.
        seconds: u64,
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
    /// Not the JSON, the signed note or the frame that was expected: what is wrong, fit to be shown.
    /// Behind it is no other error, for that may quote what came as it came.
    #[error("{0}")]
    Unreadable(String),
    /// There is no network here, and a bundle must be carried first: which, and why.
    #[error("{0}")]
    ByHand(String),
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
    /// What became of a request to the server of this URL, which stands in the error once.
    pub(super) fn network(url: &Url, source: reqwest::Error) -> Self {
        cause::of(url, None, source)
    }
}

impl From<JsonError> for TransportError {
    fn from(error: JsonError) -> Self {
        Self::Unreadable(printable(&error.to_string()))
    }
}

impl From<NoteError> for TransportError {
    fn from(error: NoteError) -> Self {
        Self::Unreadable(printable(&error.to_string()))
    }
}

impl From<FrameError> for TransportError {
    fn from(error: FrameError) -> Self {
        Self::Unreadable(printable(&error.to_string()))
    }
}
