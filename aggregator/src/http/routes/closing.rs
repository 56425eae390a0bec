//! The end of a round: the freeze, reviews, the closing, endorsements, the certificate.

use axum::response::Response;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Endorsement, Review};

use crate::core::refusal::Refusal;
use crate::http::answer::answer;
use crate::http::extract::{OfRound, OfSite, Stated, same_site};

/// `GET .../freeze`.
pub(crate) async fn freeze(OfRound(round): OfRound) -> Result<Response, Refusal> {
    Ok(answer(&round.freeze_statement()?))
}

/// `PUT .../reviews/{site}`.
pub(crate) async fn review(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    Stated(review): Stated<Review>,
) -> Result<Response, Refusal> {
    same_site(&site, &review.statement.holder)?;
    Ok(answer(&round.review(review).await?))
}

/// `GET .../reviews`: those that were judged, and those that came later.
pub(crate) async fn reviews(OfRound(round): OfRound) -> Response {
    let reviews: Vec<Signed<Review>> = round.read().reviews().cloned().collect();
    answer(&reviews)
}

/// `GET .../closing`.
pub(crate) async fn closing(OfRound(round): OfRound) -> Result<Response, Refusal> {
    Ok(answer(&round.closing()?))
}

/// `PUT .../endorsements/{site}`.
pub(crate) async fn endorse(
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    Stated(endorsement): Stated<Endorsement>,
) -> Result<Response, Refusal> {
    same_site(&site, &endorsement.statement.holder)?;
    Ok(answer(&round.endorse(endorsement).await?))
}

/// `GET .../certificate`.
pub(crate) async fn certificate(OfRound(round): OfRound) -> Result<Response, Refusal> {
    Ok(answer(&round.certificate()?))
}
