//! Contributions: header, envelopes, body, in this order, together or in steps; the last one answers
//! with the receipt.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::RANGE;
use axum::response::Response;
use ringfence_crypto::api::{ContributionProgress, EnvelopeFrame};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Header;
use ringfence_crypto::wire::frame::{self, MAX_FRAME};
use ringfence_crypto::wire::json::MAX_MESSAGE;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::core::upload::Piece;
use crate::core::whole::Whole;
use crate::http::access::SignedAt;
use crate::http::answer::{answer, bytes, raw_json};
use crate::http::blob::blob;
use crate::http::chunks::Chunks;
use crate::http::extract::{
    From, OfContribution, OfHolder, OfRound, Parameters, Stated, binary, same_site,
};
use crate::http::front::Front;
use crate::http::openapi::{Bytes, Headers};

/// Announces a contribution by its header: the first of three steps.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/contributions/{site}/header",
    operation_id = "put_header",
    request_body = Signed<Header>,
    responses(
        (status = 200, description = "How far the contribution has come", body = ContributionProgress)
    )
)]
pub(crate) async fn announce(
    OfContribution(contribution): OfContribution,
    Stated(header): Stated<Header>,
) -> Result<Response, Refusal> {
    same_site(&contribution.site, &header.statement.site)?;
    Ok(answer(&contribution.announce(header).await?))
}

/// Announces a contribution by its header and takes the envelopes that it promises, and its body where
/// that is small: the first two of three steps at once, or all of them, answered with the receipt then.
/// They come as one binary frame: the JSON of the signed header as a byte string, the list of envelopes
/// and, unless it is left out, the whole body.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/contributions/{site}",
    operation_id = "put_contribution",
    request_body(content = Bytes, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "How far the contribution has come, with the receipt once it is complete", body = ContributionProgress)
    )
)]
pub(crate) async fn contribute(
    State(front): State<Front>,
    OfContribution(contribution): OfContribution,
    SignedAt(signed_at): SignedAt,
    body: Incoming,
) -> Result<Response, Refusal> {
    let whole = Whole::parse(front.inbox.read(body, frame::MAX_FRAME).await?)?;
    same_site(&contribution.site, &whole.header().site)?;
    Ok(answer(&contribution.take_whole(whole, signed_at, front.inbox).await?))
}

/// The envelopes of a contribution, one for each holder, as the header promises: the second step.
/// They come as one binary frame.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/contributions/{site}/envelopes",
    operation_id = "put_envelopes",
    request_body(content = Bytes, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "How far the contribution has come", body = ContributionProgress)
    )
)]
pub(crate) async fn envelopes(
    State(front): State<Front>,
    OfContribution(contribution): OfContribution,
    body: Incoming,
) -> Result<Response, Refusal> {
    let header = match contribution.known() {
        Ok(known) => known.header.statement,
        Err(refusal) => {
            body.drain(MAX_FRAME as u64).await;
            return Err(refusal);
        }
    };
    let EnvelopeFrame { envelopes } = binary(&front, body, "envelopes").await?;
    Ok(answer(&contribution.put_envelopes(&header, envelopes).await?))
}

/// Where an upload goes on.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Offset {
    /// Bytes that are stored already.
    offset: u64,
}

/// The bytes of a contribution's body from an offset on: the third step, in one request or many.
/// The one that completes the body is answered with the receipt.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/contributions/{site}/body",
    operation_id = "put_body",
    params(Offset),
    request_body(content = Bytes, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "How far the contribution has come, with the receipt once it is complete", body = ContributionProgress)
    )
)]
pub(crate) async fn upload(
    State(front): State<Front>,
    OfContribution(contribution): OfContribution,
    SignedAt(signed_at): SignedAt,
    offset: Result<Parameters<Offset>, Refusal>,
    bytes: Incoming,
) -> Result<Response, Refusal> {
    let place =
        offset.and_then(|Parameters(Offset { offset })| Ok((offset, front.inbox.upload()?)));
    match place {
        Ok((offset, place)) => {
            let piece = Piece { offset, signed_at, place, bytes };
            Ok(answer(&contribution.upload(piece).await?))
        }
        Err(refusal) => {
            bytes.drain(contribution.live.served.body_bytes).await;
            Err(refusal)
        }
    }
}

/// How far a contribution has come, and so where to go on.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/contributions/{site}",
    operation_id = "get_contribution",
    responses(
        (status = 200, description = "How far the contribution has come", body = ContributionProgress)
    )
)]
pub(crate) async fn progress(
    OfContribution(contribution): OfContribution,
) -> Result<Response, Refusal> {
    Ok(answer(&contribution.progress().await?))
}

/// The header of a contribution.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/contributions/{site}/header",
    operation_id = "get_header",
    responses((status = 200, description = "The header", body = Signed<Header>))
)]
pub(crate) async fn header(
    OfContribution(contribution): OfContribution,
) -> Result<Response, Refusal> {
    Ok(answer(&contribution.known()?.header))
}

/// What a contribution seals to one holder.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/contributions/{site}/envelopes/{holder}",
    operation_id = "get_envelope",
    responses(
        (status = 200, description = "The sealed bytes", body = Bytes, content_type = "application/octet-stream")
    )
)]
pub(crate) async fn envelope(
    OfContribution(contribution): OfContribution,
    OfHolder(holder): OfHolder,
) -> Result<Response, Refusal> {
    Ok(bytes(contribution.envelope(&holder).await?))
}

/// The headers of the freeze's contributions, in its order, as many as one message takes. Ask again
/// for the others.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/headers",
    operation_id = "get_headers",
    params(From),
    responses((status = 200, description = "The headers", body = Headers))
)]
pub(crate) async fn frozen_headers(
    OfRound(round): OfRound,
    Parameters(From { from }): Parameters<From>,
) -> Result<Response, Refusal> {
    let page = Chunks::from(round.frozen_headers(from, MAX_MESSAGE / 2)?);
    Ok(raw_json(page.into_body()))
}

/// What the freeze's contributions seal to one holder, in its order, as many as one frame takes.
/// Ask again for the others.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/dealt/{holder}",
    operation_id = "get_dealt",
    params(From),
    responses(
        (status = 200, description = "A frame of envelopes", body = Bytes, content_type = "application/octet-stream")
    )
)]
pub(crate) async fn dealt(
    OfRound(round): OfRound,
    OfHolder(holder): OfHolder,
    Parameters(From { from }): Parameters<From>,
) -> Result<Response, Refusal> {
    let envelopes = round.dealt(&holder, from, MAX_FRAME / 2).await?;
    Ok(bytes(frame::encode(&EnvelopeFrame { envelopes })?))
}

/// The body of a contribution: all of it, or one range.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/contributions/{site}/body",
    operation_id = "get_body",
    params(
        ("Range" = Option<String>, Header, description = "One range, `bytes=a-b`"),
        ("If-Unmodified-Since" = Option<String>, Header, description = "A date: 412 if it changed since"),
        ("If-Modified-Since" = Option<String>, Header, description = "A date: 304 if it did not change since"),
    ),
    responses(
        (status = 200, description = "All of it", body = Bytes, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = Bytes, content_type = "application/octet-stream"),
        (status = 304, description = "Not changed since"),
        (status = 412, description = "Changed since")
    )
)]
pub(crate) async fn body(
    OfContribution(contribution): OfContribution,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let body = contribution.body(headers.contains_key(RANGE)).await?;
    blob(&contribution.live, body, &headers).await
}
