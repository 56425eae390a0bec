//! The front page, signing in and signing out.

use axum::Form;
use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::shell::{Page, Viewer};
use super::{home as shown, page};
use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::http::access::signed_in;
use crate::http::extract::Parameters;
use crate::http::front::Front;
use crate::http::sessions::{Channel, SECONDS, from_here};

/// Most bytes of a form.
const MAX_FORM: usize = 4096;

/// What the front page is asked with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Home {
    /// That a sign-in was just taken: a browser that shows none now has kept none.
    signed: Option<u8>,
}

/// The front page: the studies of whoever has signed in, or the form to do so.
pub(in crate::http) async fn home(
    State(front): State<Front>,
    headers: HeaderMap,
    Parameters(Home { signed }): Parameters<Home>,
) -> Result<Response, Refusal> {
    let ready = front.studies.ready().await;
    let now = front.clock.now();
    match signed_in(&front, &headers) {
        Ok(Some(holder)) => {
            let _place = holder.sender.begin(&"this token", None)?;
            let studies = shown::listed(&front, &holder.role).await?;
            let main = shown::studies(&studies, &ready, now);
            let viewer = Viewer::of(Some(&holder));
            let page_of =
                Page { title: "Studies", live: Some("/".into()), crumbs: vec![], now, viewer };
            Ok(page(StatusCode::OK, page_of.with(main)))
        }
        Ok(None) if signed.is_some() => {
            let said = "The token was right, and your browser has not kept the sign-in: it does so over \
                HTTPS, and in plain HTTP on the machine itself. Open this page by its https address.";
            Ok(page(StatusCode::OK, shown::sign_in(&front, &ready, (Some(said), "/"))))
        }
        Ok(None) => Ok(page(StatusCode::OK, shown::sign_in(&front, &ready, (None, "/")))),
        Err(refusal) => {
            let asked = (Some(refusal.detail()), "/");
            Ok(page(StatusCode::OK, shown::sign_in(&front, &ready, asked)))
        }
    }
}

/// The form of a sign-in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    token: String,
    /// The page to go on to.
    #[serde(default)]
    to: String,
}

/// Takes a token, and answers with a cookie in its place.
pub(in crate::http) async fn sign_in(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Incoming,
) -> Result<Response, Refusal> {
    from_here(&headers)?;
    let message = front.inbox.read(body, MAX_FORM).await?;
    let kind = headers.get(header::CONTENT_TYPE).cloned();
    let mut request = Request::post("/sign-in")
        .body(Body::from(message.bytes))
        .map_err(|error| Refusal::internal(&error))?;
    kind.into_iter().for_each(|kind| {
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
    });
    let form = Form::<SignIn>::from_request(request, &()).await;
    let Form(SignIn { token, to }) =
        form.map_err(|error| Refusal::malformed(format!("expected a form with a token: {error}")))?;
    let to = if is_ours(&to) { to.as_str() } else { "/" };
    match front.sessions.begin(token.trim().as_bytes(), front.clock.now()) {
        Some(cookie) => {
            let cookie = Channel::of(front.has_tls, &headers).set(&cookie, SECONDS);
            let to = if to == "/" { "/?signed=1" } else { to };
            Ok(see_other(to, &cookie))
        }
        None => {
            let said = "This is no token of this aggregator. Paste the one line of your token's file; \
                a token that was added since needs the aggregator to start again.";
            let ready = front.studies.ready().await;
            Ok(page(StatusCode::UNAUTHORIZED, shown::sign_in(&front, &ready, (Some(said), to))))
        }
    }
}

/// Removes the cookie.
pub(in crate::http) async fn sign_out(
    State(front): State<Front>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    from_here(&headers)?;
    Ok(see_other("/", &Channel::of(front.has_tls, &headers).set("", 0)))
}

fn see_other(to: &str, cookie: &str) -> Response {
    let headers = [(header::LOCATION, to), (header::SET_COOKIE, cookie)];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// Whether a place to go on to is a page of a study here: of nobody else's server, whatever a link says.
pub(super) fn is_ours(to: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '/' || c == '-';
    to.len() < 300 && to.starts_with("/studies/") && to.chars().all(plain) && !to.contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_goes_on_to_a_page_of_ours_and_nowhere_else() {
        assert!(is_ours("/studies/00ff/rounds/3"));
        for other in [
            "//evil.example",
            "/studies//evil.example",
            "https://evil.example",
            "/studies/../v2",
            "/studies/x?y",
            "/studies/\r\nset-cookie: a=b",
            "/v2/studies/x",
            "",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
