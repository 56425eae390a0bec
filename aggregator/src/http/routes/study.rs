//! Studies: registered by the administrator, signed by their rosters.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use ringfence_crypto::api::{Recovery, Returned, StudyStatus};
use ringfence_crypto::statement::SignedStudy;
use ringfence_crypto::wire::json;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::core::studies::Studies;
use crate::http::access::Asker;
use crate::http::answer::{answer, made, raw_json};
use crate::http::extract::{OfRecoveringStudy, OfStudy, Parameters};
use crate::http::front::Front;
use crate::http::openapi::Bytes;
use crate::http::routes::round::MAX_WAIT;
use crate::http::with;

/// Registers a study that all of its sites have signed.
#[utoipa::path(
    post,
    path = "/v2/studies",
    operation_id = "register_study",
    request_body = SignedStudy,
    responses(
        (status = 201, description = "The study is registered", body = StudyStatus),
        (status = 200, description = "The same as before, which was known", body = StudyStatus)
    )
)]
pub(crate) async fn register(
    State(front): State<Front>,
    body: Incoming,
) -> Result<Response, Refusal> {
    let message = front.inbox.read(body, json::MAX_STUDY).await?;
    let (created, status) = front.studies.register(message.bytes).await?;
    Ok(made(created, &status))
}

/// The signed study, byte for byte as it was posted.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}",
    operation_id = "get_study",
    responses((status = 200, description = "The study", body = SignedStudy))
)]
pub(crate) async fn file(
    State(studies): State<Arc<Studies>>,
    OfRecoveringStudy(study): OfRecoveringStudy,
) -> Result<Response, Refusal> {
    Ok(raw_json(studies.file(study.served.id).await?))
}

/// Gives signed statements back that the aggregator lost.
#[utoipa::path(
    post,
    path = "/v2/studies/{study}/recovered",
    operation_id = "return_statements",
    request_body = Vec<Returned>,
    responses((status = 200, description = "What is still missing", body = Recovery))
)]
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

/// Which acknowledged statements the aggregator lost.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/recovered",
    operation_id = "get_recovery",
    responses((status = 200, description = "What is missing", body = Recovery))
)]
pub(crate) async fn lost(OfRecoveringStudy(study): OfRecoveringStudy) -> Response {
    answer(&study.recovery())
}

/// How long to wait for more rounds, and what comes with the status of a study.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Following {
    /// Seconds, 60 at most.
    #[serde(default)]
    #[param(maximum = 60)]
    wait: u64,
    /// How many open rounds the client has seen; without it the answer is immediate.
    after: Option<u64>,
    /// What is to come with the status, as far as it is there then: names with commas between, of
    /// `manifest`, `agreed` and `holder-keys` (of the last round), `round-keys` (for the next one),
    /// `checkpoint`, `restored`. The answer is a binary frame then.
    with: Option<String>,
    /// With `checkpoint`: hashes of up to 16 leaves with commas between, whose proofs in its log are
    /// to come, too.
    leaves: Option<String>,
}

/// How many rounds are open, and where the last one stands: at once, or once more than `after`
/// rounds are open or `wait` seconds are over. With it comes what is asked for by `with`, each as a
/// request for it by itself would answer.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/status",
    operation_id = "get_study_status",
    params(Following),
    responses((
        status = 200, description = "The status of the study; a frame where `with` is given",
        content((StudyStatus = "application/json"), (Bytes = "application/octet-stream"))
    ))
)]
pub(crate) async fn status(
    OfStudy(study): OfStudy,
    asker: Asker,
    Parameters(Following { wait, after, with, leaves }): Parameters<Following>,
) -> Result<Response, Refusal> {
    let (with, leaves) = (with::named(with.as_deref())?, with::leaves(leaves.as_deref())?);
    if let Some(after) = after.map(|after| u32::try_from(after).unwrap_or(u32::MAX)) {
        study.news(after, Duration::from_secs(wait.min(MAX_WAIT))).await;
    }
    // First: what it speaks of comes with it.
    let status = study.status_json();
    match with {
        None => Ok(raw_json(status)),
        Some(with) => {
            let parts = with::of_study(&study, &asker, (&with, &leaves)).await;
            Ok(with::accompanied(status, parts))
        }
    }
}
