//! Rounds: opened by their initiators' manifests, followed by long polls.

use std::time::Duration;

use axum::response::Response;
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Manifest;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::core::refusal::Refusal;
use crate::http::answer::{answer, made, raw_json};
use crate::http::extract::{OfRound, OfStudy, Parameters, Stated};

/// Longest long poll, in seconds.
pub(crate) const MAX_WAIT: u64 = 60;

/// Opens a round by its initiator's manifest.
#[utoipa::path(
    post,
    path = "/v2/studies/{study}/rounds",
    operation_id = "open_round",
    request_body = Signed<Manifest>,
    responses(
        (status = 201, description = "The round is open", body = RoundStatus),
        (status = 200, description = "The same as before, which was known", body = RoundStatus)
    )
)]
pub(crate) async fn open(
    OfStudy(study): OfStudy,
    Stated(manifest): Stated<Manifest>,
) -> Result<Response, Refusal> {
    let (opened, round) = study.open_round(manifest).await?;
    Ok(made(opened, &round.status()))
}

/// How long to wait for news, and what is not news.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {
    /// Seconds, 60 at most.
    #[serde(default)]
    #[param(maximum = 60)]
    pub(crate) wait: u64,
    /// What the client has seen, a round's version or a study's number of rounds; without it the
    /// answer is immediate.
    pub(crate) after: Option<u64>,
}

/// Where a round stands: at once, or once its version is above `after` or `wait` seconds are over.
/// It is a hint for waiting; what a client acts on is signed.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}",
    operation_id = "get_round",
    params(Wait),
    responses((status = 200, description = "The status of the round", body = RoundStatus))
)]
pub(crate) async fn status(
    OfRound(round): OfRound,
    Parameters(Wait { wait, after }): Parameters<Wait>,
) -> Response {
    if let Some(after) = after {
        // However the wait ends, the answer is the status of then.
        round.news(after, Duration::from_secs(wait.min(MAX_WAIT))).await;
    }
    raw_json(round.status_json())
}

/// The manifest that opened the round.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/manifest",
    operation_id = "get_manifest",
    responses((status = 200, description = "The manifest", body = Signed<Manifest>))
)]
pub(crate) async fn manifest(OfRound(round): OfRound) -> Response {
    answer(round.manifest())
}
