//! What follows a certificate: openings, the sum, acknowledgements.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Acknowledgement, Opening};
use ringfence_crypto::wire::frame;

use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::http::answer::{answer, bytes};
use crate::http::blob::blob;
use crate::http::extract::{OfHolder, OfRound, OfSite, Stated, binary, same_site};
use crate::http::front::Front;

/// `PUT .../openings/{holder}`: the statement, the content, and its key sealed to every site.
pub(crate) async fn post(
    State(front): State<Front>,
    OfRound(round): OfRound,
    OfHolder(holder): OfHolder,
    body: Incoming,
) -> Result<Response, Refusal> {
    let opening: OpeningFrame = binary(&front, body, "an opening").await?;
    same_site(&holder, &opening.statement.statement.holder)?;
    Ok(answer(&round.open_sum(opening).await?))
}

/// `GET .../openings`: the signed statements.
pub(crate) async fn openings(OfRound(round): OfRound) -> Response {
    let all: Vec<Signed<Opening>> = round.read().openings().cloned().collect();
    answer(&all)
}

/// `GET .../openings/{holder}/recipients/{site}`: that site's part.
pub(crate) async fn part(
    OfRound(round): OfRound,
    OfHolder(holder): OfHolder,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    Ok(bytes(frame::encode(&round.opening_part(&holder, &site).await?)?))
}

/// `GET .../sum`: the whole sum or one range of it.
pub(crate) async fn sum(OfRound(round): OfRound, headers: HeaderMap) -> Result<Response, Refusal> {
    let sum = round.sum().await?;
    blob(&round, sum, &headers).await
}

/// `PUT .../acks/{site}`.
pub(crate) async fn acknowledge(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    Stated(acknowledgement): Stated<Acknowledgement>,
) -> Result<Response, Refusal> {
    same_site(&site, &acknowledgement.statement.site)?;
    Ok(answer(&round.acknowledge(acknowledgement).await?))
}

/// `GET .../acks`.
pub(crate) async fn acknowledgements(OfRound(round): OfRound) -> Response {
    let all: Vec<Signed<Acknowledgement>> = round.read().acknowledgements().cloned().collect();
    answer(&all)
}
