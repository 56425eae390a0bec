//! What follows a certificate: openings, the sum, acknowledgements.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use ringfence_crypto::Digest;
use ringfence_crypto::statement::{Acknowledgement, Signed};
use ringfence_crypto::wire::frame;
use ringfence_crypto::wire::message::OpeningFrame;

use super::closing::{not_closed, status};
use super::request::{OfRound, OfSite, answer, binary, bytes, file, same_site, statement};
use crate::aggregator::Aggregator;
use crate::blocking;
use crate::problem::Refusal;

/// `PUT .../openings/{site}`: the statement and what the holder sealed.
pub(super) async fn post(
    State(aggregator): State<Arc<Aggregator>>,
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    body: Body,
) -> Result<Response, Refusal> {
    let OpeningFrame { statement, sealed } = binary(&aggregator, body, "an opening").await?;
    same_site(&site, &statement.statement.holder)?;
    let (expected, got) = (statement.statement.sealed, Digest::of(&sealed));
    if expected != got {
        return Err(Refusal::message(format!(
            "the opening's sealed bytes have digest {got}, its statement names {expected}"
        )));
    }
    // Nothing is written for a message that is refused.
    round.read().open_sum(&statement)?;
    let files = round.files.clone();
    blocking(move || files.write_opening(got, &sealed)).await??;
    round.commit(move |round| round.open_sum(&statement)).await?;
    Ok(status(&round))
}

/// `GET .../openings/{site}`.
pub(super) async fn fetch(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    let found = round.read().openings().find(|o| o.statement.holder == site).cloned();
    let missing = || Refusal::missing(format!("site {site} has not opened in this round"));
    let statement = found.ok_or_else(missing)?;
    let (files, digest) = (round.files.clone(), statement.statement.sealed);
    let sealed = blocking(move || files.read_opening(digest)).await??;
    Ok(bytes(frame::encode(&OpeningFrame { statement, sealed })?))
}

/// `GET .../sum`: the whole sum or one range of it.
pub(super) async fn sum(
    OfRound(round): OfRound,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    let closing = round.read().closing().cloned();
    let closing = closing.ok_or_else(|| not_closed(&round))?.statement;
    if closing.is_abort() {
        return Err(Refusal::missing(format!(
            "round {} was aborted: there are too few contributions, and no sum",
            closing.round
        )));
    }
    file(&round.files.sum(), request).await
}

/// `PUT .../acks/{site}`.
pub(super) async fn acknowledge(
    State(aggregator): State<Arc<Aggregator>>,
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    body: Body,
) -> Result<Response, Refusal> {
    let acknowledgement: Signed<Acknowledgement> = statement(&aggregator, body).await?;
    same_site(&site, &acknowledgement.statement.site)?;
    round.commit(move |round| round.acknowledge(&acknowledgement)).await?;
    Ok(status(&round))
}

/// `GET .../acks`.
pub(super) async fn acknowledgements(OfRound(round): OfRound) -> Response {
    let all: Vec<Signed<Acknowledgement>> = round.read().acknowledgements().cloned().collect();
    answer(&all)
}
