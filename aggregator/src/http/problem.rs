//! Refusals: every answer that is no success is an RFC 9457 problem.

use std::fmt::Display;
use std::io;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ringfence_crypto::log::StudyLogError;
use ringfence_crypto::log::checkpoint::CheckpointError;
use ringfence_crypto::round::{Fault, RoundError};
use ringfence_crypto::statement::{RoundKeysError, StudyError};
use ringfence_crypto::wire::frame::FrameError;
use ringfence_crypto::wire::json::{self, JsonError};
use ringfence_crypto::wire::message::{PROBLEM_JSON, Problem};

use crate::store::StoreError;
use crate::sum::SumError;

/// A request that is not granted: whose fault, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    retry_after: Option<u16>,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), retry_after: None }
    }

    /// Not parseable as what the route takes.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// No or a wrong administrator's token.
    pub(crate) fn unauthorised() -> Self {
        let detail = "expected the header `Authorization: Bearer TOKEN` with the administrator's token; only the administrator registers studies";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorised", detail)
    }

    /// The sender may not say this.
    pub(crate) fn sender(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "sender", detail)
    }

    /// What the request names does not exist.
    pub(crate) fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "missing", detail)
    }

    /// The route knows no such method.
    pub(crate) fn method(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
    }

    /// The sender went silent in the middle of a body.
    pub(crate) fn slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow", detail)
    }

    /// It contradicts what came before, or comes at the wrong time.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// An upload that does not go on where the stored bytes end.
    pub(crate) fn offset(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "offset", detail)
    }

    /// More bytes than the route takes.
    pub(crate) fn too_long(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-long", detail)
    }

    /// A range outside of the file.
    pub(crate) fn range(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", detail)
    }

    /// The message is wrong whatever the state.
    pub(crate) fn message(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "message", detail)
    }

    /// Too much at once; the same request works later.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail);
        Self { retry_after: Some(5), ..refusal }
    }

    /// The same request works after so many seconds.
    pub(crate) fn retry_after(self, seconds: u16) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Our fault. The cause goes to the log, not to the peer.
    pub(crate) fn internal(cause: &dyn Display) -> Self {
        tracing::error!(%cause, "a request failed by our fault");
        let detail =
            "the aggregator failed and changed nothing; try again, and tell its administrator";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    fn full(cause: &dyn Display) -> Self {
        tracing::error!(%cause, "the disk is full");
        let detail = "the aggregator's disk is full; what was sent before is kept: tell its administrator, and try again";
        let refusal = Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", detail);
        refusal.retry_after(60)
    }

    /// Whether it is our fault.
    pub(crate) fn is_ours(&self) -> bool {
        self.status.is_server_error()
    }

    /// Why, in words.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: format!("/problems/{}", self.kind),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = (self.status, json::pretty(&problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<RoundError> for Refusal {
    fn from(error: RoundError) -> Self {
        let detail = error.to_string();
        match error.fault() {
            Fault::Message => Self::message(detail),
            Fault::Sender => Self::sender(detail),
            Fault::Missing => Self::missing(detail),
            Fault::Conflict => Self::conflict(detail),
        }
    }
}

impl From<RoundKeysError> for Refusal {
    fn from(error: RoundKeysError) -> Self {
        match error {
            RoundKeysError::Signature(_) => Self::sender(error.to_string()),
            _ => Self::message(error.to_string()),
        }
    }
}

impl From<StudyError> for Refusal {
    fn from(error: StudyError) -> Self {
        let detail = error.to_string();
        match error {
            StudyError::Signature(_) | StudyError::Signer(_) => Self::sender(detail),
            _ => Self::message(detail),
        }
    }
}

impl From<StudyLogError> for Refusal {
    fn from(error: StudyLogError) -> Self {
        Self::missing(error.to_string())
    }
}

impl From<CheckpointError> for Refusal {
    /// Of a checkpoint that we sign ourselves.
    fn from(error: CheckpointError) -> Self {
        Self::internal(&error)
    }
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        match &error {
            JsonError::TooLong { .. } => Self::too_long(error.to_string()),
            JsonError::Malformed { .. } => Self::malformed(error.to_string()),
        }
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        match &error {
            FrameError::TooLong(_) => Self::too_long(error.to_string()),
            FrameError::LeftOver { .. } | FrameError::Malformed { .. } => {
                Self::malformed(error.to_string())
            }
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if error.is_full() { Self::full(&error) } else { Self::internal(&error) }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::full(&error),
            _ => Self::internal(&error),
        }
    }
}

impl From<SumError> for Refusal {
    fn from(error: SumError) -> Self {
        match error {
            SumError::Io(error) => error.into(),
            SumError::Length { .. } | SumError::Words(_) | SumError::Empty => {
                Self::internal(&error)
            }
        }
    }
}
