//! Rounds: opened by their initiators' manifests, followed by long polls.

use std::time::Duration;

use axum::response::Response;
use ringfence_crypto::statement::Manifest;
use serde::Deserialize;

use crate::core::refusal::Refusal;
use crate::http::answer::{answer, made, raw_json};
use crate::http::extract::{OfRound, OfStudy, Parameters, Stated};

/// Longest long poll, in seconds.
pub(crate) const MAX_WAIT: u64 = 60;

/// `POST /studies/{study}/rounds`: the initiator's manifest.
pub(crate) async fn open(
    OfStudy(study): OfStudy,
    Stated(manifest): Stated<Manifest>,
) -> Result<Response, Refusal> {
    let (opened, round) = study.open_round(manifest).await?;
    Ok(made(opened, &round.status()))
}

/// How long to wait for news, and what is not news.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait<T> {
    /// Seconds, 60 at most.
    #[serde(default)]
    pub(crate) wait: u64,
    /// What the client has seen, a round's version or a study's number of rounds; without it the
    /// answer is immediate.
    pub(crate) after: Option<T>,
}

/// `GET .../rounds/{r}?wait=30&after=VERSION`: the status, once it is newer or the wait is over.
pub(crate) async fn status(
    OfRound(round): OfRound,
    Parameters(Wait { wait, after }): Parameters<Wait<u64>>,
) -> Response {
    if let Some(after) = after {
        // However the wait ends, the answer is the status of then.
        round.news(after, Duration::from_secs(wait.min(MAX_WAIT))).await;
    }
    raw_json(round.status_json())
}

/// `GET .../manifest`.
pub(crate) async fn manifest(OfRound(round): OfRound) -> Response {
    answer(round.manifest())
}
