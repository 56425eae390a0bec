//! What requests are made of, parsed at the edge into types that cannot be wrong.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ringfence_crypto::statement::{Signed, SiteId, Statement};
use ringfence_crypto::wire::{frame, json};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_http::services::ServeFile;

use crate::aggregator::{Aggregator, Made};
use crate::problem::Refusal;
use crate::rounds::{LiveRound, LiveStudy};

/// The study that the path names.
pub(super) struct OfStudy(pub(super) Arc<LiveStudy>);

/// The round that the path names.
pub(super) struct OfRound(pub(super) Arc<LiveRound>);

/// The site that the path names.
pub(super) struct OfSite(pub(super) SiteId);

/// The holder that the path names.
pub(super) struct OfHolder(pub(super) SiteId);

/// The query's parameters; unknown ones are refused.
pub(super) struct Parameters<T>(pub(super) T);

impl FromRequestParts<Arc<Aggregator>> for OfStudy {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        aggregator: &Arc<Aggregator>,
    ) -> Result<Self, Refusal> {
        let digest = segment(parts, "study").await?;
        let digest = digest.parse().map_err(|error| Refusal::missing(format!("{error}")))?;
        aggregator.study(digest).map(Self)
    }
}

impl FromRequestParts<Arc<Aggregator>> for OfRound {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        aggregator: &Arc<Aggregator>,
    ) -> Result<Self, Refusal> {
        let OfStudy(study) = OfStudy::from_request_parts(parts, aggregator).await?;
        let number = segment(parts, "round").await?;
        let number = number.parse().map_err(|_| {
            Refusal::missing(format!("expected a round number in the path, got {number:?}"))
        })?;
        study.round(number).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for OfSite {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        site(segment(parts, "site").await?).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for OfHolder {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        site(segment(parts, "holder").await?).map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let Query(parameters) = Query::try_from_uri(&parts.uri)
            .map_err(|error| Refusal::malformed(error.body_text()))?;
        Ok(Self(parameters))
    }
}

async fn segment(parts: &mut Parts, name: &str) -> Result<String, Refusal> {
    let segments = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|error| Refusal::malformed(error.body_text()))?;
    let value =
        segments.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned());
    value.ok_or_else(|| Refusal::missing(format!("the path names no {name}")))
}

fn site(name: String) -> Result<SiteId, Refusal> {
    name.parse().map_err(|error| Refusal::missing(format!("{error}")))
}

/// Reads one signed statement.
pub(super) async fn statement<T: Statement>(
    aggregator: &Aggregator,
    body: Body,
) -> Result<Signed<T>, Refusal> {
    let message = aggregator.inbox.read(body, json::MAX_MESSAGE).await?;
    Ok(json::parse(&message.bytes, json::MAX_MESSAGE, T::LABEL)?)
}

/// Reads one binary frame.
pub(super) async fn binary<T: DeserializeOwned>(
    aggregator: &Aggregator,
    body: Body,
    expected: &'static str,
) -> Result<T, Refusal> {
    let message = aggregator.inbox.read(body, frame::MAX_FRAME).await?;
    Ok(frame::decode(&message.bytes, expected)?)
}

/// The path and the statement must name the same site.
pub(super) fn same_site(path: &SiteId, statement: &SiteId) -> Result<(), Refusal> {
    match path == statement {
        true => Ok(()),
        false => Err(Refusal::message(format!(
            "the path names {path}, the statement {statement}; put it under the site that signed it"
        ))),
    }
}

/// A JSON answer.
pub(super) fn answer<T: Serialize>(value: &T) -> Response {
    raw_json(json::compact(value))
}

/// A JSON answer to a request that made something, or found it made.
pub(super) fn made<T: Serialize>(made: Made, value: &T) -> Response {
    let status = match made {
        Made::Now => StatusCode::CREATED,
        Made::Before => StatusCode::OK,
    };
    (status, answer(value)).into_response()
}

/// An answer that is JSON already.
pub(super) fn raw_json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
}

/// A binary answer.
pub(super) fn bytes(bytes: Vec<u8>) -> Response {
    let kind = HeaderValue::from_static("application/octet-stream");
    ([(header::CONTENT_TYPE, kind)], bytes).into_response()
}

/// Streams a file, or the one range of it that the request asks for.
pub(super) async fn file(path: &Path, request: Request<Body>) -> Result<Response, Refusal> {
    let asked = request.headers().get(header::RANGE).cloned();
    let response = ServeFile::new(path).try_call(request).await?;
    match response.status() {
        StatusCode::RANGE_NOT_SATISFIABLE => {
            Err(Refusal::range(format!("the range {asked:?} is not one range within the file")))
        }
        // The file has a receipt or a closing: its absence is our fault.
        StatusCode::NOT_FOUND => Err(Refusal::internal(&format!("{} is gone", path.display()))),
        _ => Ok(response.map(Body::new)),
    }
}
