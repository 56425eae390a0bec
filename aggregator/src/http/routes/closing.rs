//! The end of a round: the freeze, reviews, the closing, endorsements, the certificate.

use axum::response::Response;
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Certificate, Closing, Endorsement, Freeze, Review};

use crate::core::refusal::Refusal;
use crate::http::answer::raw_json;
use crate::http::extract::{OfRound, OfSite, Stated, same_site};
use crate::http::openapi::Reviews;

/// The freeze: the contributions that are reviewed. It is there once collecting has ended.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/freeze",
    operation_id = "get_freeze",
    responses((status = 200, description = "The freeze", body = Signed<Freeze>))
)]
pub(crate) async fn freeze(OfRound(round): OfRound) -> Result<Response, Refusal> {
    Ok(raw_json(round.freeze_text()?))
}

/// A key holder's review of the shares that were dealt to it, before the closing or after it.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/reviews/{site}",
    operation_id = "put_review",
    request_body = Signed<Review>,
    responses((status = 200, description = "The status of the round", body = RoundStatus))
)]
pub(crate) async fn review(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    Stated(review): Stated<Review>,
) -> Result<Response, Refusal> {
    same_site(&site, &review.statement.holder)?;
    round.review(review).await?;
    Ok(raw_json(round.status_json()))
}

/// The reviews: those that were judged, and those that came later.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/reviews",
    operation_id = "get_reviews",
    responses((status = 200, description = "The reviews", body = Reviews))
)]
pub(crate) async fn reviews(OfRound(round): OfRound) -> Result<Response, Refusal> {
    Ok(raw_json(round.reviews_text()?))
}

/// The closing: which contributions are in the sum.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/closing",
    operation_id = "get_closing",
    responses((status = 200, description = "The closing", body = Signed<Closing>))
)]
pub(crate) async fn closing(OfRound(round): OfRound) -> Result<Response, Refusal> {
    Ok(raw_json(round.closing_text()?))
}

/// A key holder's endorsement of the closing.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/rounds/{round}/endorsements/{site}",
    operation_id = "put_endorsement",
    request_body = Signed<Endorsement>,
    responses((status = 200, description = "The status of the round", body = RoundStatus))
)]
pub(crate) async fn endorse(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    Stated(endorsement): Stated<Endorsement>,
) -> Result<Response, Refusal> {
    same_site(&site, &endorsement.statement.holder)?;
    round.endorse(endorsement).await?;
    Ok(raw_json(round.status_json()))
}

/// The certificate: the closing, with the endorsements of enough key holders.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/rounds/{round}/certificate",
    operation_id = "get_certificate",
    responses((status = 200, description = "The certificate", body = Certificate))
)]
pub(crate) async fn certificate(OfRound(round): OfRound) -> Result<Response, Refusal> {
    Ok(raw_json(round.certificate_text()?))
}
