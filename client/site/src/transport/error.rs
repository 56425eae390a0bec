//! What can go wrong on the way to the aggregator, and what to do about it.

use reqwest::{StatusCode, Url};
use ringfence_crypto::log::note::NoteError;
use ringfence_crypto::signature::PublicKey;
use ringfence_crypto::wire::frame::FrameError;
use ringfence_crypto::wire::json::JsonError;

use super::printable::printable;

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
        "what answers at {url} speaks no HTTP ({reason}), so it is no Ringfence aggregator; check the port"
    )]
    NoHttp {
        /// The server: scheme, host and port.
        url: String,
        /// What the HTTP client said.
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
        let (url, source) = (url.origin().ascii_serialization(), source.without_url());
        let reason = causes(&source);
        if is_closed_port(&source) {
            return Self::ClosedPort { url };
        }
        // The client has no other word for it; a test holds it to this one.
        match reason.contains(": invalid HTTP ") {
            true => Self::NoHttp { url, reason: printable(&reason) },
            false => Self::Network { url, source },
        }
    }

    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the aggregator says that something is not there (yet).
    pub fn is_missing(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND.as_u16())
    }

    /// Whether the aggregator has answered that it does not take this.
    pub fn is_refusal(&self) -> bool {
        self.status().is_some_and(|status| (400..500).contains(&status)) && !self.is_failure()
    }

    /// Whether the aggregator, or a proxy before it, says that it has failed at this or has too much
    /// to do: nothing about the request itself.
    pub fn is_failure(&self) -> bool {
        self.status().is_some_and(is_failure)
    }

    /// Whether the aggregator says that it cannot do this now, and why (it is busy, or has lost
    /// something).
    pub fn is_busy(&self) -> bool {
        self.status() == Some(StatusCode::SERVICE_UNAVAILABLE.as_u16())
    }

    /// Whether the same request may succeed later: the aggregator is away, busy, or has failed.
    pub fn is_transient(&self) -> bool {
        self.is_away() || self.is_failure()
    }

    /// Whether somebody has to set a clock: the aggregator's, or this machine's.
    pub fn is_clock(&self) -> bool {
        matches!(self, Self::ClockRefused { .. })
    }

    /// Whether nobody has answered: the aggregator is away, or the way to it is broken.
    pub fn is_away(&self) -> bool {
        matches!(
            self,
            Self::Network { .. }
                | Self::ClosedPort { .. }
                | Self::Silent { .. }
                | Self::NoAnswer { .. }
        )
    }

    /// Whether nobody listens at the aggregator's port.
    pub fn is_closed_port(&self) -> bool {
        matches!(self, Self::ClosedPort { .. })
    }
}

/// Whether a status says nothing about the request, so that the same one may succeed later
/// (docs/http.md, "The connection").
pub(super) fn is_failure(status: u16) -> bool {
    let limits = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status >= 500 || limits.iter().any(|limit| limit.as_u16() == status)
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

/// Whether the operating system says that nobody listens there.
fn is_closed_port(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if kind == Some(std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What the HTTP client says, with what lies behind it: by itself it only says that it failed.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// `None` for a refusal that says that something is not there yet.
pub(crate) fn present<T>(result: Result<T, TransportError>) -> Result<Option<T>, TransportError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}
