//! What follows where the sum does not decode, or check words are wrong: disputes, verdicts, and
//! what holders open under them.

use axum::extract::State;
use axum::response::Response;
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Dispute, DisputeEndorsement, Endorses, Quorum, Verdict, VerdictEndorsement,
};

use super::opening::{listed, part_of, take};
use crate::core::dispute::same_index;
use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::http::answer::{answer, raw_json};
use crate::http::extract::{OfHolder, OfIndex, OfRound, OfSite, Stated, same_site};
use crate::http::front::Front;
use crate::http::openapi::{Bytes, Openings};

/// A key holder's word that the sum does not decode at a position.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/disputes/{index}/endorsements/{holder}",
    operation_id = "put_dispute_endorsement",
    request_body = Signed<Endorses<Dispute>>,
    responses((status = 200, description = "The status of the round", body = RoundStatus))
)]
pub(crate) async fn endorse(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
    OfHolder(holder): OfHolder,
    Stated(endorsement): Stated<DisputeEndorsement>,
) -> Result<Response, Refusal> {
    same_site(&holder, &endorsement.statement.holder)?;
    same_index(index, endorsement.statement.statement.index)?;
    round.dispute(endorsement).await?;
    Ok(raw_json(round.status_json()))
}

/// The dispute with the endorsements of enough key holders.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/disputes/{index}",
    operation_id = "get_dispute",
    responses((status = 200, description = "The certified dispute", body = Quorum<Dispute>))
)]
pub(crate) async fn certified(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
) -> Result<Response, Refusal> {
    Ok(answer(&round.certified_dispute(index)?))
}

/// A key holder's opening in a dispute, as a binary frame.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/disputes/{index}/openings/{holder}",
    operation_id = "put_dispute_opening",
    request_body(content = Bytes, content_type = "application/octet-stream"),
    responses((status = 200, description = "The status of the round", body = RoundStatus))
)]
pub(crate) async fn post_functionals(
    State(front): State<Front>,
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
    OfHolder(holder): OfHolder,
    body: Incoming,
) -> Result<Response, Refusal> {
    let subject = round.functionals(index);
    take(&front, &round, (subject, holder), body).await
}

/// The signed statements of the openings in a dispute.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/disputes/{index}/openings",
    operation_id = "get_dispute_openings",
    responses((status = 200, description = "The statements", body = Openings))
)]
pub(crate) async fn functionals(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
) -> Result<Response, Refusal> {
    Ok(listed(&round, round.functionals(index)?))
}

/// The part of an opening in a dispute that is sealed to one site, as a binary frame.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/disputes/{index}/openings/{holder}/recipients/{site}",
    operation_id = "get_dispute_opening_part",
    responses(
        (status = 200, description = "The part", body = Bytes, content_type = "application/octet-stream")
    )
)]
pub(crate) async fn functionals_part(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
    OfHolder(holder): OfHolder,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    part_of(&round, round.functionals(index)?, &holder, &site).await
}

/// A key holder's word on whose contribution has spoiled the sum.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/verdicts/{index}/endorsements/{holder}",
    operation_id = "put_verdict_endorsement",
    request_body = Signed<Endorses<Verdict>>,
    responses((status = 200, description = "The status of the round", body = RoundStatus))
)]
pub(crate) async fn judge(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
    OfHolder(holder): OfHolder,
    Stated(endorsement): Stated<VerdictEndorsement>,
) -> Result<Response, Refusal> {
    same_site(&holder, &endorsement.statement.holder)?;
    round.same_verdict_index(index, &endorsement.statement.statement)?;
    round.judge(endorsement).await?;
    Ok(raw_json(round.status_json()))
}

/// The verdict with the endorsements of enough key holders.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/verdicts/{index}",
    operation_id = "get_verdict",
    responses((status = 200, description = "The certified verdict", body = Quorum<Verdict>))
)]
pub(crate) async fn verdict(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
) -> Result<Response, Refusal> {
    Ok(answer(&round.certified_verdict(index)?))
}

/// A key holder's opening of culprits' keys, as a binary frame.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/verdicts/{index}/openings/{holder}",
    operation_id = "put_verdict_opening",
    request_body(content = Bytes, content_type = "application/octet-stream"),
    responses((status = 200, description = "The status of the round", body = RoundStatus))
)]
pub(crate) async fn post_keys(
    State(front): State<Front>,
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
    OfHolder(holder): OfHolder,
    body: Incoming,
) -> Result<Response, Refusal> {
    let subject = round.keys(index);
    take(&front, &round, (subject, holder), body).await
}

/// The signed statements of the openings of culprits' keys.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/verdicts/{index}/openings",
    operation_id = "get_verdict_openings",
    responses((status = 200, description = "The statements", body = Openings))
)]
pub(crate) async fn keys(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
) -> Result<Response, Refusal> {
    Ok(listed(&round, round.keys(index)?))
}

/// The part of an opening of culprits' keys that is sealed to one site, as a binary frame.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/verdicts/{index}/openings/{holder}/recipients/{site}",
    operation_id = "get_verdict_opening_part",
    responses(
        (status = 200, description = "The part", body = Bytes, content_type = "application/octet-stream")
    )
)]
pub(crate) async fn keys_part(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
    OfHolder(holder): OfHolder,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    part_of(&round, round.keys(index)?, &holder, &site).await
}
