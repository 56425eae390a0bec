//! Studies: registered by the administrator, signed by their rosters.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use ringfence_crypto::api::Returned;
use ringfence_crypto::wire::json;

use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::core::studies::Studies;
use crate::http::answer::{answer, made, raw_json};
use crate::http::extract::{OfRecoveringStudy, OfStudy, Parameters};
use crate::http::front::Front;
use crate::http::routes::round::{MAX_WAIT, Wait};

/// `POST /studies`: a signed study, of an administrator.
pub(crate) async fn register(
    State(front): State<Front>,
    body: Incoming,
) -> Result<Response, Refusal> {
    let message = front.inbox.read(body, json::MAX_STUDY).await?;
    let (created, status) = front.studies.register(message.bytes).await?;
    Ok(made(created, &status))
}

/// `GET /studies/{study}`: the signed study as it was posted.
pub(crate) async fn file(
    State(studies): State<Arc<Studies>>,
    OfRecoveringStudy(study): OfRecoveringStudy,
) -> Result<Response, Refusal> {
    Ok(raw_json(studies.file(study.served.id).await?))
}

/// `POST /studies/{study}/recovered`: signed statements that the aggregator lost.
pub(crate) async fn recover(
    State(front): State<Front>,
    OfRecoveringStudy(study): OfRecoveringStudy,
    body: Incoming,
) -> Result<Response, Refusal> {
    let message = front.inbox.read(body, json::MAX_STUDY).await?;
    let statements: Vec<Returned> =
        json::parse(&message.bytes, json::MAX_STUDY, "list of returned statements")?;
    Ok(answer(&study.take_back(statements).await?))
}

/// `GET /studies/{study}/recovered`: what the aggregator lost.
pub(crate) async fn lost(OfRecoveringStudy(study): OfRecoveringStudy) -> Response {
    answer(&study.recovery())
}

/// `GET /studies/{study}/status?wait=30&after=ROUNDS`: the status, once more rounds are open or the
/// wait is over.
pub(crate) async fn status(
    OfStudy(study): OfStudy,
    Parameters(Wait { wait, after }): Parameters<Wait<u32>>,
) -> Response {
    if let Some(after) = after {
        study.news(after, Duration::from_secs(wait.min(MAX_WAIT))).await;
    }
    answer(&study.status())
}
