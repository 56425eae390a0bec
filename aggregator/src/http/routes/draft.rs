//! Drafts: studies that wait for signatures. The administrator posts them, their sites sign them in any
//! order, and the last signature registers them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use ringfence_crypto::api::DraftStatus;
use ringfence_crypto::statement::{SignedStudy, SiteSignature};
use ringfence_crypto::wire::json;

use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::core::studies::Studies;
use crate::http::answer::{answer, made, raw_json};
use crate::http::extract::{OfDraft, OfSite, same_site};
use crate::http::front::Front;

/// Most bytes of a site's signature with its name.
const MAX_SIGNATURE: usize = 1024;

/// Has the signatures of a study gathered: it is registered as soon as all of its sites have signed.
#[utoipa::path(
    post,
    path = "/v2/drafts",
    operation_id = "post_draft",
    request_body = SignedStudy,
    responses(
        (status = 201, description = "It waits for signatures, or is registered", body = DraftStatus),
        (status = 200, description = "The same as before, which was known", body = DraftStatus)
    )
)]
pub(crate) async fn post(State(front): State<Front>, body: Incoming) -> Result<Response, Refusal> {
    let message = front.inbox.read(body, json::MAX_STUDY).await?;
    let (created, status) = front.studies.post_draft(message.bytes).await?;
    Ok(made(created, &status))
}

/// All studies that wait for signatures, the oldest first.
#[utoipa::path(
    get,
    path = "/v2/drafts",
    operation_id = "get_drafts",
    responses((status = 200, description = "How far each has come", body = Vec<DraftStatus>))
)]
pub(crate) async fn list(State(studies): State<Arc<Studies>>) -> Result<Response, Refusal> {
    Ok(answer(&studies.drafts().await?))
}

/// A draft, with the signatures that it has; the study itself once it is registered.
#[utoipa::path(
    get,
    path = "/v2/drafts/{study}",
    operation_id = "get_draft",
    responses((status = 200, description = "The study", body = SignedStudy))
)]
pub(crate) async fn file(
    OfDraft(study): OfDraft,
    State(studies): State<Arc<Studies>>,
) -> Result<Response, Refusal> {
    Ok(raw_json(studies.draft_file(study).await?))
}

/// How many have signed a draft, who has not, and whether it is registered.
#[utoipa::path(
    get,
    path = "/v2/drafts/{study}/status",
    operation_id = "get_draft_status",
    responses((status = 200, description = "How far it has come", body = DraftStatus))
)]
pub(crate) async fn status(
    OfDraft(study): OfDraft,
    State(studies): State<Arc<Studies>>,
) -> Result<Response, Refusal> {
    Ok(answer(&studies.draft_status(study).await?))
}

/// Removes a draft with its signatures. What is registered stays.
#[utoipa::path(
    delete,
    path = "/v2/drafts/{study}",
    operation_id = "remove_draft",
    responses((status = 200, description = "How far it had come", body = DraftStatus))
)]
pub(crate) async fn remove(
    OfDraft(study): OfDraft,
    State(studies): State<Arc<Studies>>,
) -> Result<Response, Refusal> {
    Ok(answer(&studies.remove_draft(study).await?))
}

/// A site's signature of a draft, the one that stands in a signed study file. The last one registers the
/// study.
#[utoipa::path(
    put,
    path = "/v2/drafts/{study}/signatures/{site}",
    operation_id = "sign_draft",
    request_body = SiteSignature,
    responses(
        (status = 201, description = "It is kept", body = DraftStatus),
        (status = 200, description = "The site had signed before", body = DraftStatus)
    )
)]
pub(crate) async fn sign(
    OfDraft(study): OfDraft,
    OfSite(site): OfSite,
    State(front): State<Front>,
    body: Incoming,
) -> Result<Response, Refusal> {
    let message = front.inbox.read(body, MAX_SIGNATURE).await?;
    let signature: SiteSignature =
        json::parse(&message.bytes, MAX_SIGNATURE, "site's signature of a study")?;
    same_site(&site, &signature.site)?;
    let (created, status) = front.studies.sign_draft(study, signature).await?;
    Ok(made(created, &status))
}
