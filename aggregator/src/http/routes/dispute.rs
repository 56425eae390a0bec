//! What follows where the sum does not decode, or check words are wrong: disputes, verdicts, and
//! what holders open under them.

use axum::extract::State;
use axum::response::Response;
use ringfence_crypto::statement::{DisputeEndorsement, VerdictEndorsement};

use super::opening::{listed, part_of, take};
use crate::core::dispute::same_index;
use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::http::answer::answer;
use crate::http::extract::{OfHolder, OfIndex, OfRound, OfSite, Stated, same_site};
use crate::http::front::Front;

/// `PUT .../disputes/{index}/endorsements/{holder}`.
pub(crate) async fn endorse(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
    OfHolder(holder): OfHolder,
    Stated(endorsement): Stated<DisputeEndorsement>,
) -> Result<Response, Refusal> {
    same_site(&holder, &endorsement.statement.holder)?;
    same_index(index, endorsement.statement.statement.index)?;
    Ok(answer(&round.dispute(endorsement).await?))
}

/// `GET .../disputes/{index}`: the certificate.
pub(crate) async fn certified(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
) -> Result<Response, Refusal> {
    Ok(answer(&round.certified_dispute(index)?))
}

/// `PUT .../disputes/{index}/openings/{holder}`.
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

/// `GET .../disputes/{index}/openings`: the signed statements.
pub(crate) async fn functionals(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
) -> Result<Response, Refusal> {
    Ok(listed(&round, round.functionals(index)?))
}

/// `GET .../disputes/{index}/openings/{holder}/recipients/{site}`: that site's part.
pub(crate) async fn functionals_part(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
    OfHolder(holder): OfHolder,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    part_of(&round, round.functionals(index)?, &holder, &site).await
}

/// `PUT .../verdicts/{index}/endorsements/{holder}`.
pub(crate) async fn judge(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
    OfHolder(holder): OfHolder,
    Stated(endorsement): Stated<VerdictEndorsement>,
) -> Result<Response, Refusal> {
    same_site(&holder, &endorsement.statement.holder)?;
    round.same_verdict_index(index, &endorsement.statement.statement)?;
    Ok(answer(&round.judge(endorsement).await?))
}

/// `GET .../verdicts/{index}`: the certificate.
pub(crate) async fn verdict(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
) -> Result<Response, Refusal> {
    Ok(answer(&round.certified_verdict(index)?))
}

/// `PUT .../verdicts/{index}/openings/{holder}`.
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

/// `GET .../verdicts/{index}/openings`: the signed statements.
pub(crate) async fn keys(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
) -> Result<Response, Refusal> {
    Ok(listed(&round, round.keys(index)?))
}

/// `GET .../verdicts/{index}/openings/{holder}/recipients/{site}`: that site's part.
pub(crate) async fn keys_part(
    OfRound(round): OfRound,
    OfIndex(index): OfIndex,
    OfHolder(holder): OfHolder,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    part_of(&round, round.keys(index)?, &holder, &site).await
}
