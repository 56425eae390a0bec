//! What follows a certificate: openings, the sum, acknowledgements.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Acknowledgement, Opening, Subject};
use ringfence_crypto::wire::frame::{self, MAX_FRAME};

use crate::core::dispute::same_subject;
use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::http::answer::{answer, bytes, raw_json};
use crate::http::blob::blob;
use crate::http::extract::{
    From, OfHolder, OfRound, OfSite, Parameters, Stated, binary, same_site,
};
use crate::http::front::Front;
use crate::http::openapi::{Acknowledgements, Bytes, Nothing, Openings};
use crate::http::with;

/// A key holder's opening of the sum, as a binary frame: the statement, the content, and its key
/// sealed to every site.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/openings/{holder}",
    operation_id = "put_opening",
    request_body(content = Bytes, content_type = "application/octet-stream"),
    responses((status = 200, description = "The status of the round", body = RoundStatus))
)]
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
    round.take_opening(opening).await?;
    Ok(raw_json(round.status_json()))
}

/// The signed statements of the openings of the sum.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/openings",
    operation_id = "get_openings",
    responses((status = 200, description = "The statements", body = Openings))
)]
pub(crate) async fn openings(OfRound(round): OfRound) -> Response {
    listed(&round, Subject::Sum)
}

/// The signed statements of the openings on a subject.
pub(super) fn listed(round: &LiveRound, subject: Subject) -> Response {
    let all: Vec<Signed<Opening>> = round.read().openings(subject).cloned().collect();
    answer(&all)
}

/// The part of an opening of the sum that is sealed to one site, as a binary frame.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/openings/{holder}/recipients/{site}",
    operation_id = "get_opening_part",
    responses(
        (status = 200, description = "The part", body = Bytes, content_type = "application/octet-stream")
    )
)]
pub(crate) async fn part(
    OfRound(round): OfRound,
    OfHolder(holder): OfHolder,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    part_of(&round, Subject::Sum, &holder, &site).await
}

/// The parts of the openings of the sum that are sealed to a site, as many as one binary frame takes.
/// Ask again for the others.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/opened/{site}",
    operation_id = "get_opened",
    params(From),
    responses(
        (status = 200, description = "The parts", body = Bytes, content_type = "application/octet-stream")
    )
)]
pub(crate) async fn opened(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    Parameters(From { from }): Parameters<From>,
) -> Result<Response, Refusal> {
    Ok(bytes(with::opened_frame(round.opened_to(&site, from, MAX_FRAME / 2).await?)?))
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

/// The sum of the bodies: all of it, or one range.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/sum",
    operation_id = "get_sum",
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
pub(crate) async fn sum(OfRound(round): OfRound, headers: HeaderMap) -> Result<Response, Refusal> {
    let sum = round.sum().await?;
    blob(&round, sum, &headers).await
}

/// What a site made of the opened sum.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/acks/{site}",
    operation_id = "put_acknowledgement",
    request_body = Signed<Acknowledgement>,
    responses((status = 200, description = "The status of the round", body = RoundStatus))
)]
pub(crate) async fn acknowledge(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    Stated(acknowledgement): Stated<Acknowledgement>,
) -> Result<Response, Refusal> {
    same_site(&site, &acknowledgement.statement.site)?;
    round.acknowledge(acknowledgement).await?;
    Ok(raw_json(round.status_json()))
}

/// As many acknowledgements of one model as are needed: what the next round starts from.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/agreed",
    operation_id = "get_agreed",
    responses((status = 200, description = "The acknowledgements", body = Acknowledgements))
)]
pub(crate) async fn agreed(OfRound(round): OfRound) -> Result<Response, Refusal> {
    Ok(raw_json(with::agreed(&round)?))
}

/// What the sites made of the opened sum.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/acks",
    operation_id = "get_acknowledgements",
    responses(
        (status = 200, description = "The acknowledgements", body = Acknowledgements)
    )
)]
pub(crate) async fn acknowledgements(OfRound(round): OfRound) -> Response {
    let all: Vec<Signed<Acknowledgement>> = round.read().acknowledgements().cloned().collect();
    answer(&all)
}

/// The model after this round, sealed by `holder` to a site that has come later.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/snapshots/{site}/{holder}",
    operation_id = "put_snapshot",
    request_body(content = Bytes, content_type = "application/octet-stream"),
    responses((status = 200, description = "It is kept", body = Nothing))
)]
pub(crate) async fn put_snapshot(
    State(front): State<Front>,
    OfRound(round): OfRound,
    OfSite(to): OfSite,
    OfHolder(from): OfHolder,
    body: Incoming,
) -> Result<Response, Refusal> {
    let message = front.inbox.read(body, round.longest_snapshot()).await?;
    round.take_snapshot((&from, &to), message.bytes).await?;
    Ok(answer(&()))
}

/// What `holder` has sealed to a site that has come later.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/snapshots/{site}/{holder}",
    operation_id = "get_snapshot",
    responses((
        status = 200, description = "The sealed bytes",
        body = Bytes, content_type = "application/octet-stream"
    ))
)]
pub(crate) async fn snapshot(
    OfRound(round): OfRound,
    OfSite(to): OfSite,
    OfHolder(from): OfHolder,
) -> Result<Response, Refusal> {
    Ok(bytes(round.snapshot(&from, &to).await?))
}
