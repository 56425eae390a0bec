//! Restore requests and their answers.

use axum::response::Response;
use ringfence_crypto::statement::{RestoreRequest, Standing};

use crate::core::refusal::Refusal;
use crate::http::answer::{answer, made};
use crate::http::extract::{OfHolder, OfSite, OfStudy, Stated, same_site};

/// `PUT /studies/{study}/restored/{site}`: the site asks the others how far the study has come.
pub(crate) async fn request(
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
    Stated(signed): Stated<RestoreRequest>,
) -> Result<Response, Refusal> {
    same_site(&site, &signed.statement.site)?;
    Ok(made(study.request_restore(&signed)?, &()))
}

/// `GET /studies/{study}/restored`: the last request of each site that was restored.
pub(crate) async fn requests(OfStudy(study): OfStudy) -> Result<Response, Refusal> {
    Ok(answer(&study.restores()))
}

/// `PUT /studies/{study}/restored/{site}/standings/{holder}`: another site's answer.
pub(crate) async fn stand(
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
    OfHolder(by): OfHolder,
    Stated(signed): Stated<Standing>,
) -> Result<Response, Refusal> {
    same_site(&by, &signed.statement.site)?;
    Ok(made(study.answer_restore(&site, &signed)?, &()))
}

/// `GET /studies/{study}/restored/{site}/standings`: the answers to the site's last request.
pub(crate) async fn standings(
    OfStudy(study): OfStudy,
    OfSite(site): OfSite,
) -> Result<Response, Refusal> {
    Ok(answer(&study.standings(&site)?))
}
