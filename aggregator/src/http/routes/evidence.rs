//! What an auditor is given to check offline: the file of each round, and what stands in the log.

use std::fmt::Write as _;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::core::refusal::Refusal;
use crate::http::answer::raw_json;
use crate::http::extract::{OfRound, OfStudy, Parameters};
use crate::http::routes::log::At;

/// The file of a round for an audit: every signed statement that it stands on, with its place in the
/// log of so many leaves, and what proves these places. `docs/audit.md` says what is in it.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/proof",
    operation_id = "get_round_proof",
    params(At),
    responses((status = 200, description = "The file", body = Value))
)]
pub(crate) async fn proof(
    OfStudy(study): OfStudy,
    OfRound(round): OfRound,
    Parameters(At { size }): Parameters<At>,
) -> Result<Response, Refusal> {
    Ok(raw_json(study.round_proof(round.id.round, size).await?))
}

/// Which entries of the log.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entries {
    /// Leaves before the first of them; 0 unless given.
    #[serde(default)]
    from: u64,
    /// Leaves of the log; all that it has now unless given.
    size: Option<u64>,
}

/// What stands in the log: of each leaf the statement's kind and digest, a line each, 10,000 at most.
/// The rest is asked for with `from` raised by as many as came.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/log/entries",
    operation_id = "get_log_entries",
    params(Entries),
    responses(
        (status = 200, description = "The entries", body = String, content_type = "text/plain")
    )
)]
pub(crate) async fn entries(
    OfStudy(study): OfStudy,
    Parameters(Entries { from, size }): Parameters<Entries>,
) -> Result<Response, Refusal> {
    let mut text = String::new();
    for entry in study.log_entries(from, size).await? {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{entry}");
    }
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
