//! Contributions: header, envelopes, body, in this order; the last one answers with the receipt.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use ringfence_crypto::Digest;
use ringfence_crypto::statement::{Header, Signed};
use ringfence_crypto::wire::frame;
use ringfence_crypto::wire::message::EnvelopeFrame;
use serde::Deserialize;

use super::request::{
    OfHolder, OfRound, OfSite, Parameters, answer, binary, bytes, file, same_site, statement,
};
use crate::aggregator::Aggregator;
use crate::blocking;
use crate::incoming::drain;
use crate::problem::Refusal;
use crate::rounds::now;
use crate::upload::{self, Piece};

/// `PUT .../contributions/{site}/header`.
pub(super) async fn announce(
    State(aggregator): State<Arc<Aggregator>>,
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    body: Body,
) -> Result<Response, Refusal> {
    let header: Signed<Header> = statement(&aggregator, body).await?;
    same_site(&site, &header.statement.site)?;
    round.commit(move |round| round.announce(&header, now())).await?;
    Ok(answer(&upload::progress(&round, &site).await?))
}

/// `PUT .../contributions/{site}/envelopes`: one for each holder, as the header promises.
pub(super) async fn envelopes(
    State(aggregator): State<Arc<Aggregator>>,
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    body: Body,
) -> Result<Response, Refusal> {
    let known = round.read().contribution(&site).cloned();
    let header = match known {
        Ok(known) => known.header.statement,
        Err(error) => {
            drain(body.into_data_stream(), frame::MAX_FRAME as u64).await;
            return Err(error.into());
        }
    };
    let EnvelopeFrame { envelopes } = binary(&aggregator, body, "envelopes").await?;
    let (expected, got) = (header.envelopes.len(), envelopes.len());
    if expected != got {
        return Err(Refusal::message(format!(
            "the header of {site} promises {expected} envelopes, got {got}"
        )));
    }
    let wrong = header.envelopes.iter().zip(&envelopes).position(|(d, e)| *d != Digest::of(e));
    if let Some(index) = wrong {
        return Err(Refusal::message(format!(
            "envelope {index} of {site} is not the one that its header promises; send the promised bytes"
        )));
    }
    let (files, dealer) = (round.files.clone(), site.clone());
    blocking(move || match files.has_envelopes(&dealer)? {
        // The header fixes every byte: what is there is the same.
        true => Ok(()),
        false => files.write_envelopes(&dealer, &envelopes),
    })
    .await??;
    Ok(answer(&upload::progress(&round, &site).await?))
}

/// Where an upload goes on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Offset {
    /// Bytes that are stored already.
    offset: u64,
}

/// `PUT .../contributions/{site}/body?offset=N`: raw bytes from there on.
pub(super) async fn upload(
    State(aggregator): State<Arc<Aggregator>>,
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    offset: Result<Parameters<Offset>, Refusal>,
    body: Body,
) -> Result<Response, Refusal> {
    let (announced, idle) = (body.size_hint().exact(), aggregator.inbox.idle);
    let piece = offset.and_then(|Parameters(Offset { offset })| {
        let busy = || Refusal::busy("too many uploads at once; go on later");
        let place = aggregator.uploads.clone().try_acquire_owned().map_err(|_| busy())?;
        Ok(Piece { offset, announced, idle, place })
    });
    match piece {
        Ok(piece) => Ok(answer(&upload::receive(&round, &site, piece, body).await?)),
        Err(refusal) => {
            drain(body.into_data_stream(), round.study.body_bytes().unwrap_or_default()).await;
            Err(refusal)
        }
    }
}

/// `GET .../contributions/{site}`: how far it has come, and so where to go on.
pub(super) async fn progress(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    Ok(answer(&upload::progress(&round, &site).await?))
}

/// `GET .../contributions/{site}/header`.
pub(super) async fn header(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    let contribution = round.read().contribution(&site)?.clone();
    Ok(answer(&contribution.header))
}

/// `GET .../contributions/{site}/envelopes/{holder}`: the sealed bytes for that holder.
pub(super) async fn envelope(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    OfHolder(holder): OfHolder,
) -> Result<Response, Refusal> {
    let header = round.read().contribution(&site)?.header.statement.clone();
    let number = header.round;
    let index = round.study.holder_offset(number, &holder).ok_or_else(|| {
        Refusal::missing(format!("site {holder} is no key holder of round {number}"))
    })?;
    let (files, dealer) = (round.files.clone(), site.clone());
    let count = header.envelopes.len();
    let envelope = blocking(move || match files.has_envelopes(&dealer)? {
        true => files.read_envelope(&dealer, index, count).map(Some),
        false => Ok(None),
    })
    .await??;
    let envelope = envelope
        .ok_or_else(|| Refusal::missing(format!("the envelopes of {site} have not come yet")))?;
    if header.envelopes.get(index) != Some(&Digest::of(&envelope)) {
        return Err(Refusal::internal(&format!("the envelopes of {site} changed on disk")));
    }
    Ok(bytes(envelope))
}

/// `GET .../contributions/{site}/body`: the whole body or one range of it.
pub(super) async fn body(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    let whole = round.read().contribution(&site)?.receipt.is_some();
    if !whole {
        return Err(Refusal::missing(format!("the body of {site} has not come whole yet")));
    }
    file(&round.files.body(&site), request).await
}
