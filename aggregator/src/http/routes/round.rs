//! Rounds: opened by their initiators' manifests, followed by long polls.

use std::time::Duration;

use axum::response::Response;
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Manifest;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::core::refusal::Refusal;
use crate::http::access::Asker;
use crate::http::answer::{made, raw_json};
use crate::http::extract::{OfRound, OfStudy, Parameters, Stated};
use crate::http::openapi::Bytes;
use crate::http::with;

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

/// How long to wait for news of a round, what is not news, and what comes with its status.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Following {
    /// Seconds, 60 at most.
    #[serde(default)]
    #[param(maximum = 60)]
    wait: u64,
    /// The round's version that the client has seen; without it the answer is immediate.
    after: Option<u64>,
    /// What is to come with the status, as far as it is there then: names with commas between, of
    /// `manifest`, `freeze`, `headers`, `dealt`, `reviews`, `closing`, `proofs`, `certificate`,
    /// `opened`, `agreed`. The answer is a binary frame then.
    with: Option<String>,
    /// With `proofs`: the size of the log that the client has seen.
    seen: Option<u64>,
}

/// Where a round stands: at once, or once its version is above `after` or `wait` seconds are over.
/// It is a hint for waiting; what a client acts on is signed. With it comes what is asked for by
/// `with`, each as a request for it by itself would answer.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}",
    operation_id = "get_round",
    params(Following),
    responses((
        status = 200, description = "The status of the round; a frame where `with` is given",
        content((RoundStatus = "application/json"), (Bytes = "application/octet-stream"))
    ))
)]
pub(crate) async fn status(
    OfRound(round): OfRound,
    asker: Asker,
    Parameters(Following { wait, after, with, seen }): Parameters<Following>,
) -> Result<Response, Refusal> {
    let with = with::named(with.as_deref())?;
    if let Some(after) = after {
        // However the wait ends, the answer is the status of then.
        round.news(after, Duration::from_secs(wait.min(MAX_WAIT))).await;
    }
    // First: what it speaks of comes with it.
    let status = round.status_json();
    match with {
        None => Ok(raw_json(status)),
        Some(with) => {
            let parts = with::of_round(&round, &asker, (&with, seen)).await;
            Ok(with::accompanied(status, parts))
        }
    }
}

/// The manifest that opened the round.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/manifest",
    operation_id = "get_manifest",
    responses((status = 200, description = "The manifest", body = Signed<Manifest>))
)]
pub(crate) async fn manifest(OfRound(round): OfRound) -> Result<Response, Refusal> {
    Ok(raw_json(round.manifest_text()?))
}
