//! A message to a collector: `ExportTraceServiceRequest` of OTLP, as JSON.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringfence_crypto::Digest;
use serde::Serialize;

use crate::metrics::Answered;
use crate::traces::Span;

/// `SPAN_KIND_SERVER` and `STATUS_CODE_ERROR` of the format.
const SERVER: u8 = 2;
const ERROR: u8 = 2;

/// Names of traces and spans: nobody can guess them, and none comes twice.
pub(super) struct Ids {
    seed: [u8; 32],
    next: AtomicU64,
}

impl Ids {
    /// From 32 random bytes.
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed, next: AtomicU64::new(0) }
    }

    /// 32 hexadecimal digits for a trace, 16 for its span.
    fn next(&self) -> (String, String) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let bytes = [&self.seed[..], &number.to_le_bytes()].concat();
        let text = Digest::of(&bytes).to_string();
        let (trace, rest) = text.split_at_checked(32).unwrap_or_default();
        (trace.to_owned(), rest.get(..16).unwrap_or_default().to_owned())
    }
}

/// What is sent of these spans.
pub(super) fn message(ids: &Ids, batch: &[Span]) -> Message {
    let spans = batch.iter().map(|span| of_span(ids, span)).collect();
    let scope = Scope { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };
    let resource = Resource {
        attributes: vec![
            Attribute::text("service.name", env!("CARGO_PKG_NAME")),
            Attribute::text("service.version", env!("CARGO_PKG_VERSION")),
        ],
    };
    let scope_spans = vec![ScopeSpans { scope, spans }];
    Message { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
}

fn of_span(ids: &Ids, span: &Span) -> OtlpSpan {
    let Answered { method, route, status } = &span.answered;
    let (trace_id, span_id) = ids.next();
    let nanoseconds = |time: Duration| time.as_nanos().to_string();
    OtlpSpan {
        trace_id,
        span_id,
        name: format!("{method} {route}"),
        kind: SERVER,
        start_time_unix_nano: nanoseconds(span.ended.saturating_sub(span.took)),
        end_time_unix_nano: nanoseconds(span.ended),
        attributes: vec![
            Attribute::text("http.request.method", method),
            Attribute::text("http.route", route),
            Attribute::number("http.response.status_code", u64::from(*status)),
        ],
        // A refusal is an answer; a failure of the service's own is none (OpenTelemetry's
        // conventions for servers).
        status: Status { code: if *status >= 500 { ERROR } else { 0 } },
    }
}

/// What is sent, as the format's JSON has it: names in camel case, 64-bit numbers as texts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Serialize)]
struct Resource {
    attributes: Vec<Attribute>,
}

#[derive(Serialize)]
struct ScopeSpans {
    scope: Scope,
    spans: Vec<OtlpSpan>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OtlpSpan {
    trace_id: String,
    span_id: String,
    name: String,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute>,
    status: Status,
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

#[derive(Serialize)]
struct Attribute {
    key: &'static str,
    value: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Value {
    StringValue(String),
    IntValue(String),
}

impl Attribute {
    fn text(key: &'static str, value: &str) -> Self {
        Self { key, value: Value::StringValue(value.to_owned()) }
    }

    fn number(key: &'static str, value: u64) -> Self {
        Self { key, value: Value::IntValue(value.to_string()) }
    }
}
