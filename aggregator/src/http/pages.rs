//! The dashboard: pages for people, made here and complete without a script. What they are made of is
//! escaped by the templates; they load one style sheet and one script, both this server's own.

mod budget;
mod held;
mod home;
mod ring;
mod round;
mod shell;
pub(super) mod sign_in;
mod sites;
mod steps;
mod study;
mod uniform;
mod words;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maud::Markup;
use ringfence_crypto::id::{RoundNumber, SiteId};
use serde::Deserialize;

use crate::auth::{Holder, Role};
use crate::core::overview::Seen;
use crate::core::refusal::{Kind, Refusal};
use crate::core::rounds::LiveStudy;
use crate::http::access::{is_page, signed_in};
use crate::http::extract::{OfRound, OfStudy, Parameters};
use crate::http::front::Front;
use crate::http::pages::shell::{Page, Viewer};
use crate::http::pages::sign_in::is_ours;
use crate::http::routes::round::MAX_WAIT;

const STYLE: &str = include_str!("pages/style.css");
const SCRIPT: &str = include_str!("pages/live.js");
const ICON: &str = include_str!("pages/mark.svg");

/// What a browser may do with a page: run and load what this server itself serves, and send forms to
/// nobody else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page as it is sent.
fn page(status: StatusCode, markup: Markup) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        // With none at all, a browser does not say where a form of ours comes from.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (status, headers, markup.into_string()).into_response()
}

/// The names under which the style sheet and the script are served: they change with what is in them,
/// so that a browser may keep them.
fn style_name() -> String {
    format!("style-{}.css", shell::version_of(STYLE))
}

/// The same of the script.
fn script_name() -> String {
    format!("live-{}.js", shell::version_of(SCRIPT))
}

/// The same of the program's mark.
fn icon_name() -> String {
    format!("mark-{}.svg", shell::version_of(ICON))
}

/// The style sheet, the script and the mark.
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Refusal> {
    let (kind, text) = match name {
        name if name == style_name() => ("text/css; charset=utf-8", STYLE),
        name if name == script_name() => ("text/javascript; charset=utf-8", SCRIPT),
        name if name == icon_name() => ("image/svg+xml", ICON),
        name => {
            return Err(Refusal::missing(format!(
                "the dashboard of this version has no file {name:?}: load the page again"
            )));
        }
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, text).into_response())
}

/// How long a page waits for news, and what its reader has seen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Following {
    /// Seconds, 60 at most.
    wait: Option<u64>,
    /// As the page said: rounds, events of the last one, changes of the roster.
    after: Option<String>,
    /// Rounds before this one.
    until: Option<u32>,
}

impl Following {
    /// Waits for what is new since what its reader has seen; whether there is something to show.
    async fn news(&self, study: &LiveStudy) -> Result<bool, Refusal> {
        let Some(after) = &self.after else { return Ok(true) };
        let numbers: Result<Vec<u64>, _> = after.split('.').map(str::parse).collect();
        let seen = match numbers.as_deref() {
            Ok([rounds, version, epochs]) => Seen {
                rounds: u32::try_from(*rounds).unwrap_or(u32::MAX),
                version: *version,
                epochs: u32::try_from(*epochs).unwrap_or(u32::MAX),
            },
            _ => {
                return Err(Refusal::malformed(format!(
                    "expected after=ROUNDS.VERSION.EPOCHS, as the page said, got {after:?}"
                )));
            }
        };
        let wait = Duration::from_secs(self.wait.unwrap_or_default().min(MAX_WAIT));
        Ok(study.moves_on(seen, wait).await)
    }
}

/// Where a page goes on to be read from, once there is news.
fn live(path: &str, seen: Seen) -> String {
    let Seen { rounds, version, epochs } = seen;
    format!("{path}?wait=25&after={rounds}.{version}.{epochs}")
}

/// A study.
pub(super) async fn study(
    State(front): State<Front>,
    OfStudy(study): OfStudy,
    headers: HeaderMap,
    Parameters(following): Parameters<Following>,
) -> Result<Response, Refusal> {
    if !following.news(&study).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // First: what is shown is of then or later, and whoever asks again misses nothing.
    let (seen, now) = (study.seen(), front.clock.now());
    let latest = match study.latest().1 {
        Some(round) => Some((round.view().await?, round.halted())),
        None => None,
    };
    let path = format!("/studies/{}", study.served.first);
    let (cohorts, cosigned) = (study.cohorts().await?, study.cosigned_last().await?);
    let shown = study::Shown { latest, cohorts, cosigned };
    let main = study::page(&study, &shown, (following.until, now))?;
    let name = study.served.study.name.clone();
    let live = following.until.is_none().then(|| live(&path, seen));
    let viewer = Viewer::by(&front, &headers);
    let page_of = Page { title: &name, live, crumbs: vec![], now, viewer };
    Ok(page(StatusCode::OK, page_of.with(main)))
}

/// A round.
pub(super) async fn round(
    State(front): State<Front>,
    OfStudy(study): OfStudy,
    OfRound(round): OfRound,
    headers: HeaderMap,
    Parameters(following): Parameters<Following>,
) -> Result<Response, Refusal> {
    if !following.news(&study).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (seen, now) = (study.seen(), front.clock.now());
    let view = round.view().await?;
    let main = round::page(&study, &view, (round.halted(), now));
    let path = format!("/studies/{}", study.served.first);
    let live = Some(live(&format!("{path}/rounds/{}", round.id.round), seen));
    let crumbs = vec![(path, study.served.study.name.clone())];
    let title = format!("Round {}", round.id.round);
    let viewer = Viewer::by(&front, &headers);
    Ok(page(StatusCode::OK, Page { title: &title, live, crumbs, now, viewer }.with(main)))
}

/// What this server can see of a study.
pub(super) async fn held(
    State(front): State<Front>,
    OfStudy(study): OfStudy,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (inventory, body) = (study.inventory().await?, study.a_body().await?);
    let now = front.clock.now();
    let path = format!("/studies/{}", study.served.first);
    let main = held::page(&path, &inventory, body.as_ref());
    let crumbs = vec![(path, study.served.study.name.clone())];
    let (title, viewer) = ("What this server can see", Viewer::by(&front, &headers));
    Ok(page(StatusCode::OK, Page { title, live: None, crumbs, now, viewer }.with(main)))
}

/// Which body is drawn.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drawn {
    round: u32,
    site: String,
}

/// The beginning of a stored body as a picture: a byte, a pixel.
pub(super) async fn body(
    OfStudy(study): OfStudy,
    Parameters(Drawn { round, site }): Parameters<Drawn>,
) -> Result<Response, Refusal> {
    let site: SiteId = site.parse().map_err(|error| Refusal::missing(format!("{error}")))?;
    let round = study.round(RoundNumber(round)).await?;
    round.read().contribution(&site)?;
    let sample = round.sample(&site).await?.ok_or_else(|| {
        Refusal::missing(format!("no body of {site} is stored for round {}", round.id.round))
    })?;
    let picture = uniform::picture(&sample.bytes).map_err(|error| Refusal::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("image/png"))], picture).into_response())
}

/// Says a refusal as a page, where a browser asked for one.
pub(super) async fn dress(State(front): State<Front>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let of_page = route.is_some_and(|route| is_page(route.as_str()));
    let accepts = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_asked = of_page && accepts.is_some_and(|accept| accept.contains("text/html"));
    let path = request.uri().path().to_owned();
    let viewer = is_asked.then(|| Viewer::by(&front, request.headers()));
    let answer = next.run(request).await;
    let (Some(viewer), Some(refusal)) = (viewer, answer.extensions().get::<Refusal>().cloned())
    else {
        return answer;
    };
    let status = answer.status();
    let markup = match refusal.kind() {
        Kind::Unauthorised => {
            let ready = front.studies.ready().await;
            let to = if is_ours(&path) { path.as_str() } else { "/" };
            home::sign_in(&front, &ready, (Some(refusal.detail()), to))
        }
        _ => {
            let title = status.canonical_reason().unwrap_or("Refused");
            let page = Page { title, live: None, crumbs: vec![], now: front.clock.now(), viewer };
            page.with(home::refused(&refusal))
        }
    };
    let mut dressed = page(status, markup);
    if let Some(after) = answer.headers().get(header::RETRY_AFTER) {
        dressed.headers_mut().insert(header::RETRY_AFTER, after.clone());
    }
    dressed
}

impl Viewer {
    /// Whoever has signed in with this browser.
    fn by(front: &Front, headers: &HeaderMap) -> Self {
        Self::of(signed_in(front, headers).ok().flatten().as_ref())
    }

    fn of(holder: Option<&Holder>) -> Self {
        match holder.map(|holder| &holder.role) {
            None => Self::Nobody,
            Some(Role::Admin) => Self::Admin,
            Some(Role::Auditor(_)) => Self::Auditor,
        }
    }
}

/// A study in the list of the front page, or why it is not served.
type Listed = Result<Arc<LiveStudy>, String>;
