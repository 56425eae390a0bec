//! The study's log: its signed checkpoint, and proofs about it.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ringfence_crypto::api::{InclusionQuery, MAX_PROOFS};
use ringfence_crypto::log::LogHash;
use ringfence_crypto::wire::json;
use serde::Deserialize;

use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::http::answer::answer;
use crate::http::extract::{OfStudy, Parameters};
use crate::http::front::Front;

/// Most bytes of a query: 512 hashes of 67 bytes in JSON take 34 kB.
const MAX_QUERY: usize = 64 << 10;

/// `GET .../log/checkpoint`: a C2SP checkpoint, signed by the aggregator as a note.
pub(crate) async fn checkpoint(OfStudy(study): OfStudy) -> Result<Response, Refusal> {
    let note = study.served.checkpoint()?;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], note.to_string()).into_response())
}

/// Between which sizes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sizes {
    from: u64,
    to: u64,
}

/// `GET .../log/consistency?from=&to=`.
pub(crate) async fn consistency(
    OfStudy(study): OfStudy,
    Parameters(Sizes { from, to }): Parameters<Sizes>,
) -> Result<Response, Refusal> {
    if from > to {
        return Err(Refusal::message(format!(
            "expected `from` at most `to`, got {from} and {to}: a log never shrinks"
        )));
    }
    let proof = study.served.log.read().consistency(from, to)?;
    Ok(answer(&proof))
}

/// Which leaf, in the log of which size.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaf {
    size: u64,
    leaf: LogHash,
}

/// `GET .../log/inclusion?size=&leaf=`: the proof of one leaf, named by its hash.
pub(crate) async fn inclusion(
    OfStudy(study): OfStudy,
    Parameters(Leaf { size, leaf }): Parameters<Leaf>,
) -> Result<Response, Refusal> {
    let proof = study.served.log.read().inclusion(leaf, size)?;
    Ok(answer(&proof))
}

/// `POST .../log/inclusion`: the proofs of up to [`MAX_PROOFS`] leaves, in the order asked. It
/// changes nothing; the leaves would not fit into a URL.
pub(crate) async fn inclusions(
    State(front): State<Front>,
    OfStudy(study): OfStudy,
    body: Incoming,
) -> Result<Response, Refusal> {
    let message = front.inbox.read(body, MAX_QUERY).await?;
    let InclusionQuery { size, leaves } =
        json::parse(&message.bytes, MAX_QUERY, "query for inclusion proofs")?;
    if leaves.len() > MAX_PROOFS {
        return Err(Refusal::message(format!(
            "expected at most {MAX_PROOFS} leaves, got {}; ask for the others in further requests",
            leaves.len()
        )));
    }
    let log = study.served.log.read();
    let proofs: Result<Vec<_>, _> =
        leaves.into_iter().map(|leaf| log.inclusion(leaf, size)).collect();
    drop(log);
    Ok(answer(&proofs?))
}
