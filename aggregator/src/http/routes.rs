//! The routes under `/v2`.

pub(super) mod closing;
pub(super) mod contribution;
pub(super) mod dispute;
pub(super) mod draft;
pub(super) mod epoch;
pub(super) mod evidence;
pub(super) mod log;
pub(super) mod opening;
mod replica;
pub(super) mod restored;
pub(super) mod round;
pub(super) mod round_keys;
pub(super) mod study;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post, put};
use ringfence_crypto::api::AggregatorStatus;
use tower_http::trace::TraceLayer;

use crate::core::refusal::Refusal;
use crate::core::studies::Studies;
use crate::http::access::guard;
use crate::http::answer::answer;
use crate::http::front::Front;
use crate::http::openapi;
use crate::http::pages;
use crate::http::watch::watch;

/// All routes of the service.
pub(crate) fn router(front: Front) -> Router {
    let round = "/v2/studies/{study}/rounds/{round}";
    let path = |rest: &str| format!("{round}/{rest}");
    Router::new()
        .route("/v2/aggregator", get(aggregator))
        .route("/v2/drafts", post(draft::post).get(draft::list))
        .route("/v2/drafts/{study}", get(draft::file).delete(draft::remove))
        .route("/v2/drafts/{study}/status", get(draft::status))
        .route("/v2/drafts/{study}/signatures/{site}", put(draft::sign))
        .route("/v2/studies", post(study::register))
        .route("/v2/studies/{study}", get(study::file))
        .route("/v2/studies/{study}/status", get(study::status))
        .route("/v2/studies/{study}/recovered", post(study::recover).get(study::lost))
        .route(
            "/v2/studies/{study}/epochs",
            post(epoch::post).get(epoch::proposed).delete(epoch::drop_proposed),
        )
        .route("/v2/studies/{study}/epochs/{number}", get(epoch::made_one))
        .route("/v2/studies/{study}/log/checkpoint", get(log::checkpoint))
        .route("/v2/studies/{study}/log/consistency", get(log::consistency))
        .route("/v2/studies/{study}/log/entries", get(evidence::entries))
        .route("/v2/studies/{study}/log/cosignatures", get(log::cosignatures))
        .route(
            "/v2/studies/{study}/log/cosignatures/{site}",
            put(log::cosign).get(log::cosignature),
        )
        .route("/v2/studies/{study}/log/tile/{*tile}", get(log::tile))
        .route("/v2/studies/{study}/log/inclusion", get(log::inclusion).post(log::inclusions))
        .route("/v2/studies/{study}/round-keys", get(round_keys::logged))
        .route(
            "/v2/studies/{study}/round-keys/{site}",
            put(round_keys::publish).get(round_keys::fetch),
        )
        .route("/v2/studies/{study}/restored", get(restored::requests))
        .route("/v2/studies/{study}/restored/{site}", put(restored::request))
        .route("/v2/studies/{study}/restored/{site}/standings", get(restored::standings))
        .route("/v2/studies/{study}/restored/{site}/standings/{holder}", put(restored::stand))
        .route("/v2/studies/{study}/rounds", post(round::open))
        .route(round, get(round::status))
        .route(&path("manifest"), get(round::manifest))
        .route(&path("proof"), get(evidence::proof))
        .route(&path("headers"), get(contribution::frozen_headers))
        .route(&path("dealt/{holder}"), get(contribution::dealt))
        .route(
            &path("contributions/{site}"),
            put(contribution::contribute).get(contribution::progress),
        )
        .route(
            &path("contributions/{site}/header"),
            put(contribution::announce).get(contribution::header),
        )
        .route(&path("contributions/{site}/envelopes"), put(contribution::envelopes))
        .route(&path("contributions/{site}/envelopes/{holder}"), get(contribution::envelope))
        .route(
            &path("contributions/{site}/body"),
            put(contribution::upload).get(contribution::body),
        )
        .route(&path("freeze"), get(closing::freeze))
        .route(&path("reviews/{site}"), put(closing::review))
        .route(&path("reviews"), get(closing::reviews))
        .route(&path("closing"), get(closing::closing))
        .route(&path("endorsements/{site}"), put(closing::endorse))
        .route(&path("certificate"), get(closing::certificate))
        .route(&path("sum"), get(opening::sum))
        .route(&path("openings"), get(opening::openings))
        .route(&path("opened/{site}"), get(opening::opened))
        .route(&path("openings/{holder}"), put(opening::post))
        .route(&path("openings/{holder}/recipients/{site}"), get(opening::part))
        .route(&path("disputes/{index}"), get(dispute::certified))
        .route(&path("disputes/{index}/endorsements/{holder}"), put(dispute::endorse))
        .route(&path("disputes/{index}/openings"), get(dispute::functionals))
        .route(&path("disputes/{index}/openings/{holder}"), put(dispute::post_functionals))
        .route(
            &path("disputes/{index}/openings/{holder}/recipients/{site}"),
            get(dispute::functionals_part),
        )
        .route(&path("verdicts/{index}"), get(dispute::verdict))
        .route(&path("verdicts/{index}/endorsements/{holder}"), put(dispute::judge))
        .route(&path("verdicts/{index}/openings"), get(dispute::keys))
        .route(&path("verdicts/{index}/openings/{holder}"), put(dispute::post_keys))
        .route(
            &path("verdicts/{index}/openings/{holder}/recipients/{site}"),
            get(dispute::keys_part),
        )
        .route(
            &path("snapshots/{site}/{holder}"),
            put(opening::put_snapshot).get(opening::snapshot),
        )
        .route(&path("acks/{site}"), put(opening::acknowledge))
        .route(&path("acks"), get(opening::acknowledgements))
        .route(&path("agreed"), get(opening::agreed))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/openapi.json", get(openapi::json))
        .route("/docs", get(openapi::page))
        .route("/", get(pages::sign_in::home))
        .route("/dashboard/{file}", get(pages::file))
        .route("/sign-in", post(pages::sign_in::sign_in))
        .route("/sign-out", post(pages::sign_in::sign_out))
        .route("/studies/{study}", get(pages::study))
        .route("/studies/{study}/rounds/{round}", get(pages::round))
        .route("/studies/{study}/held", get(pages::held))
        .route("/studies/{study}/held/body.png", get(pages::body))
        .route_layer(from_fn_with_state(front.clone(), replica::catch_up))
        .route_layer(from_fn_with_state(front.clone(), guard))
        .route_layer(from_fn_with_state(front.clone(), replica::meet))
        .fallback(unknown_route)
        .layer(from_fn_with_state(front.clone(), pages::dress))
        .layer(from_fn_with_state(front.clone(), watch))
        // What failed by our fault is logged where it is refused, with its cause.
        .layer(TraceLayer::new_for_http().on_failure(()))
        .with_state(front)
}

/// Whose answers these are, and what the aggregator's clock shows. Not signed: it tells apart servers
/// that do not pretend.
#[utoipa::path(
    get,
    path = "/v2/aggregator",
    operation_id = "get_aggregator",
    responses((status = 200, description = "Its key and its clock", body = AggregatorStatus))
)]
pub(super) async fn aggregator(State(front): State<Front>) -> Response {
    answer(&AggregatorStatus { aggregator_key: front.key, now: front.clock.now() })
}

/// Whether the process runs.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "get_health",
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain"))
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the aggregator's store takes what is written to it, too.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "get_readiness",
    responses((status = 200, description = "`ready`", body = String, content_type = "text/plain"))
)]
pub(super) async fn readyz(State(studies): State<Arc<Studies>>) -> Result<&'static str, Refusal> {
    studies.ready().await?;
    Ok("ready\n")
}

async fn unknown_route(method: Method, uri: Uri) -> Refusal {
    Refusal::missing(format!(
        "there is no route {method} {}; all routes but those of the dashboard start with /v2",
        uri.path()
    ))
}
