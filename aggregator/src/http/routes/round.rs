//! Rounds: opened by their initiators' manifests, followed by long polls.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::request::{OfRound, OfStudy, Parameters, answer, made, statement};
use crate::aggregator::Aggregator;
use crate::problem::Refusal;

/// Longest long poll, in seconds.
const MAX_WAIT: u64 = 60;

/// `POST /studies/{study}/rounds`: the initiator's manifest.
pub(super) async fn open(
    State(aggregator): State<Arc<Aggregator>>,
    OfStudy(study): OfStudy,
    body: Body,
) -> Result<Response, Refusal> {
    let manifest = statement(&aggregator, body).await?;
    let (opened, round) = aggregator.open_round(study, manifest).await?;
    let status = round.read().status();
    Ok(made(opened, &status))
}

/// How long to wait for news, and what is not news.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// Seconds, 60 at most.
    #[serde(default)]
    wait: u64,
    /// The version that the client has seen; without it the answer is immediate.
    after: Option<u64>,
}

/// `GET .../rounds/{r}?wait=30&after=VERSION`: the status, once it is newer or the wait is over.
pub(super) async fn status(
    State(aggregator): State<Arc<Aggregator>>,
    OfRound(round): OfRound,
    Parameters(Wait { wait, after }): Parameters<Wait>,
) -> Response {
    if let Some(after) = after {
        let mut versions = round.versions();
        let mut stopping = aggregator.stopping.clone();
        // However it ends, the answer is the status of then: a shutdown ends it, too.
        tokio::select! {
            _ = versions.wait_for(|version| *version > after) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = tokio::time::sleep(Duration::from_secs(wait.min(MAX_WAIT))) => {}
        }
    }
    let status = round.read().status();
    answer(&status)
}

/// `GET .../manifest`.
pub(super) async fn manifest(OfRound(round): OfRound) -> Response {
    answer(round.manifest())
}
