//! The study's log: its signed checkpoint, and proofs about it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ringfence_crypto::log::{LogHash, origin};
use ringfence_crypto::wire::json;
use ringfence_crypto::wire::message::{InclusionQuery, MAX_PROOFS};
use serde::Deserialize;

use super::request::{OfStudy, Parameters, answer};
use crate::aggregator::Aggregator;
use crate::problem::Refusal;

/// Most bytes of a query: 512 hashes of 67 bytes in JSON take 34 kB.
const MAX_QUERY: usize = 64 << 10;

/// `GET .../log/checkpoint`: a C2SP checkpoint, signed by the aggregator as a note.
pub(super) async fn checkpoint(
    State(aggregator): State<Arc<Aggregator>>,
    OfStudy(study): OfStudy,
) -> Result<Response, Refusal> {
    let checkpoint = study.log.read().checkpoint();
    let note = aggregator.identity.sign_checkpoint(&origin(study.digest), checkpoint)?;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], note.to_string()).into_response())
}

/// Between which sizes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sizes {
    from: u64,
    to: u64,
}

/// `GET .../log/consistency?from=&to=`.
pub(super) async fn consistency(
    OfStudy(study): OfStudy,
    Parameters(Sizes { from, to }): Parameters<Sizes>,
) -> Result<Response, Refusal> {
    if from > to {
        return Err(Refusal::message(format!(
            "expected `from` at most `to`, got {from} and {to}: a log never shrinks"
        )));
    }
    let proof = study.log.read().consistency(from, to)?;
    Ok(answer(&proof))
}

/// Which leaf, in the log of which size.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leaf {
    size: u64,
    leaf: LogHash,
}

/// `GET .../log/inclusion?size=&leaf=`: the proof of one leaf, named by its hash.
pub(super) async fn inclusion(
    OfStudy(study): OfStudy,
    Parameters(Leaf { size, leaf }): Parameters<Leaf>,
) -> Result<Response, Refusal> {
    let proof = study.log.read().inclusion(leaf, size)?;
    Ok(answer(&proof))
}

/// `POST .../log/inclusion`: the proofs of up to [`MAX_PROOFS`] leaves, in the order asked. It
/// changes nothing; the leaves would not fit into a URL.
pub(super) async fn inclusions(
    State(aggregator): State<Arc<Aggregator>>,
    OfStudy(study): OfStudy,
    body: Body,
) -> Result<Response, Refusal> {
    let message = aggregator.inbox.read(body, MAX_QUERY).await?;
    let InclusionQuery { size, leaves } =
        json::parse(&message.bytes, MAX_QUERY, "query for inclusion proofs")?;
    if leaves.len() > MAX_PROOFS {
        return Err(Refusal::message(format!(
            "expected at most {MAX_PROOFS} leaves, got {}; ask for the others in further requests",
            leaves.len()
        )));
    }
    let log = study.log.read();
    let proofs: Result<Vec<_>, _> =
        leaves.into_iter().map(|leaf| log.inclusion(leaf, size)).collect();
    drop(log);
    Ok(answer(&proofs?))
}
