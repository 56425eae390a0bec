//! The end of a round: reviews, the closing, endorsements, the certificate.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use ringfence_crypto::statement::{Endorsement, Review, Signed};

use super::request::{OfRound, OfSite, answer, same_site, statement};
use crate::aggregator::Aggregator;
use crate::problem::Refusal;
use crate::rounds::LiveRound;

/// `PUT .../reviews/{site}`.
pub(super) async fn review(
    State(aggregator): State<Arc<Aggregator>>,
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    body: Body,
) -> Result<Response, Refusal> {
    let review: Signed<Review> = statement(&aggregator, body).await?;
    same_site(&site, &review.statement.holder)?;
    round.commit(move |round| round.review(&review)).await?;
    Ok(status(&round))
}

/// `GET .../reviews`.
pub(super) async fn reviews(OfRound(round): OfRound) -> Response {
    let reviews: Vec<Signed<Review>> = round.read().reviews().cloned().collect();
    answer(&reviews)
}

/// `GET .../closing`.
pub(super) async fn closing(OfRound(round): OfRound) -> Result<Response, Refusal> {
    let closing = round.read().closing().cloned();
    Ok(answer(&closing.ok_or_else(|| not_closed(&round))?))
}

/// `PUT .../endorsements/{site}`.
pub(super) async fn endorse(
    State(aggregator): State<Arc<Aggregator>>,
    OfRound(round): OfRound,
    OfSite(site): OfSite,
    body: Body,
) -> Result<Response, Refusal> {
    let endorsement: Signed<Endorsement> = statement(&aggregator, body).await?;
    same_site(&site, &endorsement.statement.holder)?;
    round.commit(move |round| round.endorse(&endorsement)).await?;
    Ok(status(&round))
}

/// `GET .../certificate`.
pub(super) async fn certificate(OfRound(round): OfRound) -> Result<Response, Refusal> {
    if round.read().closing().is_none() {
        return Err(not_closed(&round));
    }
    let certificate = round.read().certificate();
    let missing = || {
        let status = round.read().status();
        Refusal::missing(format!(
            "round {} has no certificate yet: {} endorsements of its closing are needed, {} came",
            status.round,
            status.endorsements_needed,
            status.endorsed.len()
        ))
    };
    Ok(answer(&certificate.ok_or_else(missing)?))
}

/// The status after a message.
pub(super) fn status(round: &LiveRound) -> Response {
    let status = round.read().status();
    answer(&status)
}

/// Why there is nothing of a closed round yet.
pub(super) fn not_closed(round: &LiveRound) -> Refusal {
    let status = round.read().status();
    Refusal::missing(format!(
        "round {} is not closed: it is {:?} with {} contributions (deadline {}, in Unix seconds) and {} of {} reviews; ask again later",
        status.round,
        status.state,
        status.received.len(),
        status.deadline,
        status.reviewed.len(),
        status.holders.len()
    ))
}
