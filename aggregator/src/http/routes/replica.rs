//! Where several aggregators serve the same studies, each request sees what the others have stored
//! before it came.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ringfence_crypto::id::StudyId;

use crate::http::front::Front;

/// Before it is known who asks: whether there is such a study. (One look, for what a stranger names.)
pub(crate) async fn meet(State(front): State<Front>, request: Request, next: Next) -> Response {
    if let Some(study) = study(&request)
        && let Err(refusal) = front.studies.meet(study).await
    {
        return refusal.into_response();
    }
    next.run(request).await
}

/// Of whoever may ask: what is new in the study.
pub(crate) async fn catch_up(State(front): State<Front>, request: Request, next: Next) -> Response {
    if let Some(study) = study(&request)
        && let Err(refusal) = front.studies.catch_up(study).await
    {
        return refusal.into_response();
    }
    next.run(request).await
}

/// The study that a path names.
fn study(request: &Request) -> Option<StudyId> {
    let path = request.uri().path();
    let mut prefixes = ["/v2/studies/", "/v2/drafts/", "/studies/"].into_iter();
    let rest = prefixes.find_map(|prefix| path.strip_prefix(prefix))?;
    rest.split('/').next()?.parse().ok()
}
