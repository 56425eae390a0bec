//! The study's log: its signed checkpoint, and proofs about it.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ringfence_crypto::api::{InclusionQuery, MAX_PROOFS};
use ringfence_crypto::log::{ConsistencyProof, InclusionProof, LogHash};
use ringfence_crypto::wire::json;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::core::witnesses::MAX_COSIGNED;
use crate::http::answer::{answer, bytes, made};
use crate::http::extract::{OfSite, OfStudy, OfTile, Parameters};
use crate::http::front::Front;
use crate::http::openapi::{Bytes, Nothing};

/// Most bytes of a query: 512 hashes of 67 bytes in JSON take 34 kB.
const MAX_QUERY: usize = 64 << 10;

/// In which state of the log.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct At {
    /// Leaves of the log; all that it has now unless given.
    pub(super) size: Option<u64>,
}

/// The checkpoint of the study's log, a signed note (C2SP tlog-checkpoint).
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/log/checkpoint",
    operation_id = "get_checkpoint",
    params(At),
    responses(
        (status = 200, description = "The note", body = String, content_type = "text/plain")
    )
)]
pub(crate) async fn checkpoint(
    OfStudy(study): OfStudy,
    Parameters(At { size }): Parameters<At>,
) -> Result<Response, Refusal> {
    let note = study.signed_log(size).await?;
    Ok(text(note))
}

/// An answer of text.
fn text(text: String) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// A tile of the log (C2SP tlog-tiles): the hashes of 256 subtrees of `256^L` leaves, `tile/L/N`, or the
/// data of 256 leaves, each after its length of 16 bits, `tile/entries/N`; with `.p/W` the first `W` of
/// them. The slashes of the path are sent as they are. A tile never changes.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/log/tile/{tile}",
    operation_id = "get_tile",
    responses((status = 200, description = "The tile", body = Bytes, content_type = "application/octet-stream"))
)]
pub(crate) async fn tile(
    OfStudy(study): OfStudy,
    OfTile(tile): OfTile,
) -> Result<Response, Refusal> {
    let mut answer = bytes(study.tile(&tile).await?);
    // Whoever may read the study keeps it, and nobody on the way.
    let kept = HeaderValue::from_static("private, max-age=31536000, immutable");
    answer.headers_mut().insert(header::CACHE_CONTROL, kept);
    Ok(answer)
}

/// A site cosigns a checkpoint of the log as its witness (C2SP tlog-cosignature): the checkpoint as it
/// was served, with the site's line. Of a larger log it takes the place of the one before.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/log/cosignatures/{site}",
    operation_id = "put_cosignature",
    request_body(content = Bytes, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "It is kept", body = Nothing),
        (status = 200, description = "The same as before, which was known", body = Nothing)
    )
)]
pub(crate) async fn cosign(
    State(front): State<Front>,
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
    body: Incoming,
) -> Result<Response, Refusal> {
    let message = front.inbox.read(body, MAX_COSIGNED).await?;
    let note = std::str::from_utf8(&message.bytes).map_err(|_| {
        Refusal::malformed("expected a cosigned checkpoint, which is text in UTF-8")
    })?;
    Ok(made(study.cosign(&site, note).await?, &()))
}

/// The last checkpoint that a site has cosigned, with our signature and its own.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/log/cosignatures/{site}",
    operation_id = "get_cosignature",
    responses(
        (status = 200, description = "The note", body = String, content_type = "text/plain")
    )
)]
pub(crate) async fn cosignature(
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    Ok(text(study.witness(&site).await?))
}

/// The last checkpoint that each site has cosigned, of smaller logs first: notes with our signature and
/// those of all sites that saw just this state, up to 99 in each.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/log/cosignatures",
    operation_id = "get_cosignatures",
    responses((status = 200, description = "The notes", body = Vec<String>))
)]
pub(crate) async fn cosignatures(OfStudy(study): OfStudy) -> Result<Response, Refusal> {
    Ok(answer(&study.witnesses().await?))
}

/// Between which sizes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sizes {
    /// Leaves of the earlier log.
    from: u64,
    /// Leaves of the later log.
    to: u64,
}

/// The proof that a later log begins with an earlier one.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/log/consistency",
    operation_id = "get_consistency",
    params(Sizes),
    responses((status = 200, description = "The proof", body = ConsistencyProof))
)]
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
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaf {
    /// Leaves of the log.
    size: u64,
    /// The leaf's hash.
    leaf: LogHash,
}

/// The proof that one leaf, named by its hash, is in the log.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/log/inclusion",
    operation_id = "get_inclusion",
    params(Leaf),
    responses((status = 200, description = "The proof", body = InclusionProof))
)]
pub(crate) async fn inclusion(
    OfStudy(study): OfStudy,
    Parameters(Leaf { size, leaf }): Parameters<Leaf>,
) -> Result<Response, Refusal> {
    let proof = study.served.log.read().inclusion(leaf, size)?;
    Ok(answer(&proof))
}

/// The proofs of up to 512 leaves, in the order asked. It changes nothing; the leaves would not fit
/// into a URL.
#[utoipa::path(
    post,
    path = "/v2/studies/{study}/log/inclusion",
    operation_id = "ask_inclusions",
    request_body = InclusionQuery,
    responses((status = 200, description = "The proofs", body = Vec<InclusionProof>))
)]
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
