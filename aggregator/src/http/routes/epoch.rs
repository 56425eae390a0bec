//! Changes of the roster: proposed, signed by the sites in any order, and made.

use axum::extract::State;
use axum::response::Response;
use ringfence_crypto::api::EpochStatus;
use ringfence_crypto::statement::SignedEpoch;
use ringfence_crypto::wire::json;

use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::http::access::Signer;
use crate::http::answer::{answer, made};
use crate::http::extract::{OfNumber, OfStudy};
use crate::http::front::Front;

/// An epoch that a site proposes, or that it has signed, with the signatures that it knows of. It is
/// made as soon as enough have signed.
#[utoipa::path(
    post,
    path = "/v2/studies/{study}/epochs",
    operation_id = "post_epoch",
    request_body = SignedEpoch,
    responses(
        (status = 201, description = "Its signatures are kept", body = EpochStatus),
        (status = 200, description = "The same as before, which was known", body = EpochStatus)
    )
)]
pub(crate) async fn post(
    OfStudy(study): OfStudy,
    Signer(by): Signer,
    State(front): State<Front>,
    body: Incoming,
) -> Result<Response, Refusal> {
    let message = front.inbox.read(body, json::MAX_STUDY).await?;
    let signed = SignedEpoch::parse(&message.bytes)?;
    let (created, status) = study.take_epoch(by, signed).await?;
    Ok(made(created, &status))
}

/// The epochs that are proposed for the next one, with the signatures that they have.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/epochs",
    operation_id = "get_proposed_epochs",
    responses((status = 200, description = "The epochs", body = Vec<SignedEpoch>))
)]
pub(crate) async fn proposed(OfStudy(study): OfStudy) -> Response {
    let proposed = study.proposed();
    answer(&proposed.iter().map(|signed| &**signed).collect::<Vec<_>>())
}

/// Drops what is proposed for the next epoch, so that rounds are opened again; the proposals, as they
/// were.
#[utoipa::path(
    delete,
    path = "/v2/studies/{study}/epochs",
    operation_id = "drop_proposed_epochs",
    responses((status = 200, description = "What was proposed", body = Vec<SignedEpoch>))
)]
pub(crate) async fn drop_proposed(OfStudy(study): OfStudy) -> Result<Response, Refusal> {
    let dropped = study.drop_proposed().await?;
    Ok(answer(&dropped.iter().map(|signed| &**signed).collect::<Vec<_>>()))
}

/// An epoch that is made.
#[utoipa::path(
    get,
    path = "/v2/studies/{study}/epochs/{number}",
    operation_id = "get_epoch",
    responses((status = 200, description = "The epoch", body = SignedEpoch))
)]
pub(crate) async fn made_one(
    OfStudy(study): OfStudy,
    OfNumber(number): OfNumber,
) -> Result<Response, Refusal> {
    Ok(answer(&*study.epoch(number)?))
}
