//! KEM keys for single rounds, published ahead by the sites.

use axum::response::Response;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::statement::RoundKeys;
use serde::Deserialize;

use crate::core::refusal::Refusal;
use crate::http::answer::{answer, made};
use crate::http::extract::{OfSite, OfStudy, Parameters, Stated, same_site};

/// `PUT /studies/{study}/round-keys/{site}`: the site's keys for coming rounds.
pub(crate) async fn publish(
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
    Stated(signed): Stated<RoundKeys>,
) -> Result<Response, Refusal> {
    same_site(&site, &signed.statement.site)?;
    Ok(made(study.publish_round_keys(signed).await?, &()))
}

/// The round of interest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfRoundNumber {
    round: RoundNumber,
}

/// `GET /studies/{study}/round-keys/{site}?round=`: the statement that covers the round.
pub(crate) async fn fetch(
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
    Parameters(OfRoundNumber { round }): Parameters<OfRoundNumber>,
) -> Result<Response, Refusal> {
    Ok(answer(&study.round_keys(&site, round).await?))
}
