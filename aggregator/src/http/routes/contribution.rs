//! Contributions: header, envelopes, body, in this order; the last one answers with the receipt.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::RANGE;
use axum::response::Response;
use ringfence_crypto::api::EnvelopeFrame;
use ringfence_crypto::statement::Header;
use ringfence_crypto::wire::frame;
use serde::Deserialize;

use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::core::upload::Piece;
use crate::http::access::SignedAt;
use crate::http::answer::{answer, bytes};
use crate::http::blob::blob;
use crate::http::extract::{
    From, OfContribution, OfHolder, OfRound, Parameters, Stated, binary, same_site,
};
use crate::http::front::Front;

/// `PUT .../contributions/{site}/header`.
pub(crate) async fn announce(
    OfContribution(contribution): OfContribution,
    Stated(header): Stated<Header>,
) -> Result<Response, Refusal> {
    same_site(&contribution.site, &header.statement.site)?;
    Ok(answer(&contribution.announce(header).await?))
}

/// `PUT .../contributions/{site}/envelopes`: one for each holder, as the header promises.
pub(crate) async fn envelopes(
    State(front): State<Front>,
    OfContribution(contribution): OfContribution,
    body: Incoming,
) -> Result<Response, Refusal> {
    let header = match contribution.known() {
        Ok(known) => known.header.statement,
        Err(refusal) => {
            body.drain(frame::MAX_FRAME as u64).await;
            return Err(refusal);
        }
    };
    let EnvelopeFrame { envelopes } = binary(&front, body, "envelopes").await?;
    Ok(answer(&contribution.put_envelopes(&header, envelopes).await?))
}

/// Where an upload goes on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Offset {
    /// Bytes that are stored already.
    offset: u64,
}

/// `PUT .../contributions/{site}/body?offset=N`: raw bytes from there on.
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

/// `GET .../contributions/{site}`: how far it has come, and so where to go on.
pub(crate) async fn progress(
    OfContribution(contribution): OfContribution,
) -> Result<Response, Refusal> {
    Ok(answer(&contribution.progress().await?))
}

/// `GET .../contributions/{site}/header`.
pub(crate) async fn header(
    OfContribution(contribution): OfContribution,
) -> Result<Response, Refusal> {
    Ok(answer(&contribution.known()?.header))
}

/// `GET .../contributions/{site}/envelopes/{holder}`: the sealed bytes for that holder.
pub(crate) async fn envelope(
    OfContribution(contribution): OfContribution,
    OfHolder(holder): OfHolder,
) -> Result<Response, Refusal> {
    Ok(bytes(contribution.envelope(&holder).await?))
}

/// `GET .../headers?from=K`: those of the freeze's contributions, in its order, from the K-th on, as
/// many as one message takes.
pub(crate) async fn frozen_headers(
    OfRound(round): OfRound,
    Parameters(From { from }): Parameters<From>,
) -> Result<Response, Refusal> {
    Ok(answer(&round.frozen_headers(from)?))
}

/// `GET .../dealt/{holder}?from=K`: what the freeze's contributions seal to that holder, as many as
/// one frame takes.
pub(crate) async fn dealt(
    OfRound(round): OfRound,
    OfHolder(holder): OfHolder,
    Parameters(From { from }): Parameters<From>,
) -> Result<Response, Refusal> {
    let envelopes = round.dealt(&holder, from).await?;
    Ok(bytes(frame::encode(&EnvelopeFrame { envelopes })?))
}

/// `GET .../contributions/{site}/body`: the whole body or one range of it.
pub(crate) async fn body(
    OfContribution(contribution): OfContribution,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let body = contribution.body(headers.contains_key(RANGE)).await?;
    blob(&contribution.live, body, &headers).await
}
