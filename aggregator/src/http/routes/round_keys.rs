//! KEM keys for single rounds, published ahead by the sites.

use axum::response::Response;
use ringfence_crypto::api::LoggedKeys;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::RoundKeys;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::core::refusal::Refusal;
use crate::http::answer::{answer, made, raw_json};
use crate::http::extract::{OfSite, OfStudy, Parameters, Stated, same_site};
use crate::http::openapi::Nothing;

/// A site's keys for coming rounds, sent by whichever site has them. A round's key is never
/// replaced.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/round-keys/{site}",
    operation_id = "put_round_keys",
    request_body = Signed<RoundKeys>,
    responses(
        (status = 201, description = "They are in the log", body = Nothing),
        (status = 200, description = "The same as before, which was known", body = Nothing)
    )
)]
pub(crate) async fn publish(
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
    Stated(signed): Stated<RoundKeys>,
) -> Result<Response, Refusal> {
    same_site(&site, &signed.statement.site)?;
    Ok(made(study.publish_round_keys(signed).await?, &()))
}

/// The round of interest.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfRoundNumber {
    /// The round.
    round: RoundNumber,
}

/// Which round keys the log has of each key holder of a round: what a manifest of that round names.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/round-keys",
    operation_id = "get_logged_keys",
    params(OfRoundNumber),
    responses((status = 200, description = "Each key holder, with the digest of its statement", body = Vec<LoggedKeys>))
)]
pub(crate) async fn logged(
    OfStudy(study): OfStudy,
    Parameters(OfRoundNumber { round }): Parameters<OfRoundNumber>,
) -> Result<Response, Refusal> {
    Ok(answer(&study.logged_keys(round).await?))
}

/// A site's statement of keys that covers a round.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/round-keys/{site}",
    operation_id = "get_round_keys",
    params(OfRoundNumber),
    responses((status = 200, description = "The statement", body = Signed<RoundKeys>))
)]
pub(crate) async fn fetch(
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
    Parameters(OfRoundNumber { round }): Parameters<OfRoundNumber>,
) -> Result<Response, Refusal> {
    Ok(raw_json(study.round_keys(&site, round).await?))
}
