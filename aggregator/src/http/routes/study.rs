//! Studies: registered by the administrator, signed by their rosters.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use ringfence_crypto::wire::json;

use super::request::{OfStudy, answer, made, raw_json};
use crate::aggregator::{self, Aggregator};
use crate::incoming::drain;
use crate::problem::Refusal;

/// `POST /studies`: a signed study and the administrator's token.
pub(super) async fn register(
    State(aggregator): State<Arc<Aggregator>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    if !aggregator.admin.admits(&headers) {
        drain(body.into_data_stream(), json::MAX_STUDY as u64).await;
        return Err(Refusal::unauthorised());
    }
    let message = aggregator.inbox.read(body, json::MAX_STUDY).await?;
    let (created, status) = aggregator.register(message.bytes).await?;
    Ok(made(created, &status))
}

/// `GET /studies/{study}`: the signed study as it was posted.
pub(super) async fn file(
    State(aggregator): State<Arc<Aggregator>>,
    OfStudy(study): OfStudy,
) -> Result<Response, Refusal> {
    let file = aggregator.store.study(study.digest).await?;
    Ok(raw_json(file.ok_or_else(|| Refusal::internal(&"a live study has no row"))?))
}

/// `GET /studies/{study}/status`.
pub(super) async fn status(OfStudy(study): OfStudy) -> Response {
    answer(&aggregator::status(&study))
}
