//! What successes are answered with.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ringfence_crypto::wire::json;
use serde::Serialize;

use crate::core::rounds::Made;

/// A JSON answer.
pub(crate) fn answer<T: Serialize>(value: &T) -> Response {
    raw_json(json::compact(value))
}

/// A JSON answer to a request that made something, or found it made.
pub(crate) fn made<T: Serialize>(made: Made, value: &T) -> Response {
    let status = match made {
        Made::Now => StatusCode::CREATED,
        Made::Before => StatusCode::OK,
    };
    (status, answer(value)).into_response()
}

/// An answer that is JSON already.
pub(crate) fn raw_json(bytes: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes.into())
        .into_response()
}

/// A binary answer.
pub(crate) fn bytes(bytes: impl Into<Body>) -> Response {
    let kind = HeaderValue::from_static("application/octet-stream");
    ([(header::CONTENT_TYPE, kind)], bytes.into()).into_response()
}
