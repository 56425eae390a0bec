//! What follows a certificate: openings, the sum, acknowledgements.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use ringfence_crypto::api::{OpenedFrame, OpeningFrame};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Acknowledgement, Opening, Subject};
use ringfence_crypto::wire::frame;

use crate::core::dispute::same_subject;
use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::http::answer::{answer, bytes};
use crate::http::blob::blob;
use crate::http::extract::{
    From, OfHolder, OfRound, OfSite, Parameters, Stated, binary, same_site,
};
use crate::http::front::Front;

/// `PUT .../openings/{holder}`: the statement, the content, and its key sealed to every site.
pub(crate) async fn post(
    State(front): State<Front>,
    OfRound(round): OfRound,
    OfHolder(holder): OfHolder,
    body: Incoming,
) -> Result<Response, Refusal> {
    take(&front, &round, (Ok(Subject::Sum), holder), body).await
}

/// Takes the opening of a holder on the subject that the path names. The message is read first: who
/// is refused before has not sent it yet, and would not see why.
pub(super) async fn take(
    front: &Front,
    round: &Arc<LiveRound>,
    (subject, holder): (Result<Subject, Refusal>, SiteId),
    body: Incoming,
) -> Result<Response, Refusal> {
    let opening: OpeningFrame = binary(front, body, "an opening").await?;
    let stated = &opening.statement.statement;
    same_site(&holder, &stated.holder)?;
    same_subject(&holder, subject?, stated.subject)?;
    Ok(answer(&round.take_opening(opening).await?))
}

/// `GET .../openings`: the signed statements.
pub(crate) async fn openings(OfRound(round): OfRound) -> Response {
    listed(&round, Subject::Sum)
}

/// The signed statements of the openings on a subject.
pub(super) fn listed(round: &LiveRound, subject: Subject) -> Response {
    let all: Vec<Signed<Opening>> = round.read().openings(subject).cloned().collect();
    answer(&all)
}

/// `GET .../openings/{holder}/recipients/{site}`: that site's part.
pub(crate) async fn part(
    OfRound(round): OfRound,
    OfHolder(holder): OfHolder,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    part_of(&round, Subject::Sum, &holder, &site).await
}

/// `GET .../opened/{site}?from=K`: that site's parts of the openings, from the K-th on, as many as
/// one frame takes.
pub(crate) async fn opened(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    Parameters(From { from }): Parameters<From>,
) -> Result<Response, Refusal> {
    Ok(bytes(frame::encode(&OpenedFrame { parts: round.opened_to(&site, from).await? })?))
}

/// A site's part of the opening of a holder on a subject.
pub(super) async fn part_of(
    round: &LiveRound,
    subject: Subject,
    holder: &SiteId,
    site: &SiteId,
) -> Result<Response, Refusal> {
    Ok(bytes(frame::encode(&round.opening_part(subject, holder, site).await?)?))
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

/// `GET .../agreed`: as many acknowledgements of one model as are needed.
pub(crate) async fn agreed(OfRound(round): OfRound) -> Result<Response, Refusal> {
    let standing = round.read();
    let agreed = standing.agreed().ok_or_else(|| {
        Refusal::missing(format!(
            "no {} sites have acknowledged one model of round {} yet: {} have said anything; ask again later",
            round.served.study.threshold.endorsements,
            round.id.round,
            standing.acknowledgements().count()
        ))
    })?;
    Ok(answer(&agreed))
}

/// `GET .../acks`.
pub(crate) async fn acknowledgements(OfRound(round): OfRound) -> Response {
    let all: Vec<Signed<Acknowledgement>> = round.read().acknowledgements().cloned().collect();
    answer(&all)
}
