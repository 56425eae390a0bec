//! What is done with every answer: it is counted and traced, and says what a browser may do with it.

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::http::access::in_table;
use crate::http::front::Front;
use crate::metrics::Answered;

/// What a browser may do with an answer: show it as what it says to be, keep nothing of it, load
/// nothing for it, and put it into no other page.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Counts a request, traces it, and adds the headers.
pub(crate) async fn watch(State(front): State<Front>, request: Request, next: Next) -> Response {
    let began = front.clock.moment();
    let route = request.extensions().get::<MatchedPath>();
    let (method, route) = in_table(request.method(), route.map(MatchedPath::as_str));
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    let after = front.clock.moment().since(began);
    let answered = Answered { method, route, status };
    if let Some(traces) = &front.traces {
        traces.answered(&answered, after);
    }
    front.metrics().answered(answered, after);
    // A 503 says who is asked to wait, and by whose fault the log says.
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        front.metrics().failed();
    }
    secure(response.headers_mut());
    if front.has_tls {
        let value = HeaderValue::from_static("max-age=31536000");
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    response
}

fn secure(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// What Prometheus reads, on an address of its own.
pub(crate) fn metrics(front: Front) -> Router {
    Router::new().route("/metrics", get(text)).with_state(front)
}

async fn text(State(front): State<Front>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = front.metrics().text(&front.now());
    let mut response = ([(header::CONTENT_TYPE, kind)], text).into_response();
    secure(response.headers_mut());
    response
}
