//! Restore requests and their answers.

use axum::response::Response;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{RestoreRequest, Standing};

use crate::core::refusal::Refusal;
use crate::http::answer::{answer, made, raw_json};
use crate::http::extract::{OfHolder, OfSite, OfStudy, Stated, same_site};
use crate::http::openapi::{Nothing, RestoreRequests, Standings};

/// A site that was restored from a backup asks the others how far the study has come.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/restored/{site}",
    operation_id = "put_restore_request",
    request_body = Signed<RestoreRequest>,
    responses(
        (status = 201, description = "It is passed on", body = Nothing),
        (status = 200, description = "The same as before, which was known", body = Nothing)
    )
)]
pub(crate) async fn request(
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
    Stated(signed): Stated<RestoreRequest>,
) -> Result<Response, Refusal> {
    same_site(&site, &signed.statement.site)?;
    Ok(made(study.request_restore(&signed).await?, &()))
}

/// The last request of each site that was restored from a backup.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/restored",
    operation_id = "get_restore_requests",
    responses((status = 200, description = "The requests", body = RestoreRequests))
)]
pub(crate) async fn requests(OfStudy(study): OfStudy) -> Result<Response, Refusal> {
    Ok(raw_json(study.restores().await?))
}

/// Another site's answer to a restored one: `holder` is who answers.
#[utoipa::path(
    put,
    path = "/v2/studies/{study}/restored/{site}/standings/{holder}",
    operation_id = "put_standing",
    request_body = Signed<Standing>,
    responses(
        (status = 201, description = "It is passed on", body = Nothing),
        (status = 200, description = "The same as before, which was known", body = Nothing)
    )
)]
pub(crate) async fn stand(
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
    OfHolder(by): OfHolder,
    Stated(signed): Stated<Standing>,
) -> Result<Response, Refusal> {
    same_site(&by, &signed.statement.site)?;
    Ok(made(study.answer_restore(&site, &signed).await?, &()))
}

/// The answers to a restored site's last request.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/restored/{site}/standings",
    operation_id = "get_standings",
    responses((status = 200, description = "The answers", body = Standings))
)]
pub(crate) async fn standings(
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    Ok(answer(&study.standings(&site).await?))
}
