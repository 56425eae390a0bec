//! Problems: every answer that is no success is an RFC 9457 problem.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ringfence_crypto::api::{PROBLEM_JSON, Problem};
use ringfence_crypto::wire::json;

use crate::core::refusal::{Kind, Refusal};

/// What signature a request needs (RFC 9421, section 5.1).
const ACCEPT_SIGNATURE: &str = r#"ringfence=("@method" "@path" "@query" "content-digest");created;keyid;alg="ed25519";tag="ringfence-v2""#;

/// A kind's HTTP status, and its name in the problem's type.
fn on_the_wire(kind: Kind) -> (StatusCode, &'static str) {
    match kind {
        Kind::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
        Kind::Unauthorised => (StatusCode::UNAUTHORIZED, "unauthorised"),
        Kind::Clock => (StatusCode::UNAUTHORIZED, "clock"),
        Kind::Sender => (StatusCode::FORBIDDEN, "sender"),
        Kind::Missing => (StatusCode::NOT_FOUND, "missing"),
        Kind::Gone => (StatusCode::GONE, "gone"),
        Kind::Method => (StatusCode::METHOD_NOT_ALLOWED, "method"),
        Kind::Slow => (StatusCode::REQUEST_TIMEOUT, "slow"),
        Kind::Conflict => (StatusCode::CONFLICT, "conflict"),
        Kind::Offset => (StatusCode::CONFLICT, "offset"),
        Kind::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "too-long"),
        Kind::Range => (StatusCode::RANGE_NOT_SATISFIABLE, "range"),
        Kind::Message => (StatusCode::UNPROCESSABLE_ENTITY, "message"),
        Kind::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        Kind::Wanted => (StatusCode::SERVICE_UNAVAILABLE, "wanted"),
        Kind::Behind => (StatusCode::SERVICE_UNAVAILABLE, "behind"),
        Kind::Altered => (StatusCode::INTERNAL_SERVER_ERROR, "altered"),
        Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        Kind::Full => (StatusCode::SERVICE_UNAVAILABLE, "disk-full"),
        Kind::ReadOnly => (StatusCode::SERVICE_UNAVAILABLE, "read-only"),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, name) = on_the_wire(self.kind());
        let problem = Problem {
            kind: format!("/problems/{name}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: self.detail().to_owned(),
        };
        let mut response = (status, json::pretty(&problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            headers.insert("accept-signature", HeaderValue::from_static(ACCEPT_SIGNATURE));
        }
        if let Some(seconds) = self.retry_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // For whoever says it in another form.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_at_fault_is_in_the_status() {
        let ours = [Kind::Busy, Kind::Wanted, Kind::Behind, Kind::Altered, Kind::Internal];
        let ours = ours.into_iter().chain([Kind::Full, Kind::ReadOnly]);
        for kind in [Kind::Sender, Kind::Offset, Kind::Slow].into_iter().chain(ours) {
            assert_eq!(on_the_wire(kind).0.is_server_error(), kind.is_ours(), "{kind:?}");
        }
    }
}
