//! Who may ask what: one [`table`], and the guard that holds every request to it before anything of it
//! is stored, looked up or answered. Whose a request is shows in its [`credentials`].

mod credentials;
mod table;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http_body::{Frame, SizeHint};
use ringfence_clock::Clock;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::request::SIGNATURE_INPUT;
use ringfence_crypto::signature::PublicKey;

use self::credentials::{bearer, one, signer};
pub(crate) use self::table::{Access, in_table, is_page, rows};
use self::table::{DRAFT, STUDY, access};
use crate::auth::{Holder, Role};
use crate::core::draft_roster::DraftRoster;
use crate::core::drafts::no_draft;
use crate::core::epochs::Wanted;
use crate::core::refusal::{Kind, Refusal};
use crate::core::rounds::LiveStudy;
use crate::core::senders::Answering;
use crate::http::extract::segment;
use crate::http::front::Front;
use crate::http::sessions::Channel;
use Access::{Admin, Anyone, Own, Reader};

/// Whose roster a site must be on: that of a study, or of one that waits for signatures.
enum Of {
    Study(Arc<LiveStudy>),
    Draft(Arc<DraftRoster>),
}

/// Lets through what the table allows.
pub(crate) async fn guard(
    State(front): State<Front>,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let admitted = match one(&parts.headers, header::HOST.as_str()) {
        Ok(_) => admit(&front, route.as_str(), &mut parts).await,
        // RFC 9112, section 3.2: what stands between may have looked at the other one.
        Err(two) => Err(two),
    };
    match admitted {
        Ok(place) => {
            let answer = next.run(Request::from_parts(parts, body)).await;
            // Until the last of it is taken: an answer that nobody reads is in memory.
            answer.map(|body| Body::new(Held { body, _place: place }))
        }
        Err(refusal) => {
            forget(&front.clock, body).await;
            refusal.into_response()
        }
    }
}

/// What a request takes of what there is for its sender; of one that anyone may make, nothing.
type Place = Option<Answering>;

/// An answer and the place of its request.
struct Held {
    body: Body,
    _place: Place,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn admit(front: &Front, route: &str, parts: &mut Parts) -> Result<Place, Refusal> {
    let Some(access) = access(&parts.method, route) else {
        let detail = format!("{} does not take {}", parts.uri.path(), parts.method);
        return Err(Refusal::new(Kind::Method, detail));
    };
    if access == Anyone {
        return Ok(None);
    }
    let token = bearer(&parts.headers)?.map(|token| front.tokens.holder(token));
    let token = token.map(|holder| holder.ok_or_else(unknown_token)).transpose()?;
    // On pages only, and only to read: see the table.
    let token = match token {
        None if is_page(route) => signed_in(front, &parts.headers)?,
        token => token,
    };
    let begun = |holder: &Holder| holder.sender.begin(&"this token", None).map(Some);
    match (access, &token) {
        (Admin | Reader, Some(holder @ Holder { role: Role::Admin, .. })) => return begun(holder),
        (Admin, Some(_)) => return Err(not_this("an auditor", "an administrator")),
        (Admin, None) => return Err(admin_wanted()),
        _ => {}
    }
    let study = match token.is_some() || parts.headers.contains_key(SIGNATURE_INPUT) {
        true => segment(parts, "study").await?,
        false if is_page(route) => return Err(Refusal::unauthorised(NOT_SIGNED_IN)),
        false => return Err(unsigned(access)),
    };
    let study: StudyId = study.parse().map_err(|error| Refusal::missing(format!("{error}")))?;
    match (access, &token) {
        (Reader, Some(holder @ Holder { role: Role::Auditor(studies), .. })) => {
            match studies.admits(study) {
                true => return begun(holder),
                false => return Err(not_this("an auditor of other studies", "one of this study")),
            }
        }
        (_, Some(_)) => {
            return Err(not_this("a token", "a site of the study, by its signature"));
        }
        (_, None) => {}
    }
    let is_draft = route.starts_with(DRAFT);
    let of = match front.studies.study(study) {
        Err(refusal) if is_draft && refusal.kind() == Kind::Missing => {
            let roster = front.studies.draft_roster(study).await?;
            Of::Draft(roster.ok_or_else(|| no_draft(study))?)
        }
        live => Of::Study(live?),
    };
    let round = match route.contains("{round}") {
        true => segment(parts, "round").await?.parse().ok(),
        false => None,
    };
    let rest = route.strip_prefix(STUDY).unwrap_or_default();
    let wanted = Wanted {
        round,
        // Who has signed a draft may ask again when it is registered.
        reads: matches!(parts.method, Method::GET | Method::HEAD) || is_draft,
        joining: ["/epochs", "/log", "/status"].iter().any(|of| rest.starts_with(of))
            || rest.is_empty(),
    };
    let (site, signature) = signer(front, parts, study, |site| match &of {
        Of::Study(live) => {
            let keys = live.keys_of(site, wanted);
            if keys.is_empty() { Err(live.not_on_roster(site)) } else { Ok(keys) }
        }
        Of::Draft(draft) => Ok(vec![draft.key(site)?]),
    })?;
    if let Own(name) = access {
        let named = segment(parts, name).await?;
        if named != site.as_str() {
            return Err(Refusal::sender(format!(
                "{} {} is for {named} alone, and this request is signed by {site}",
                parts.method,
                parts.uri.path()
            )));
        }
    }
    let sender = match &of {
        Of::Study(live) => {
            live.served.presence.heard(&site, front.clock.moment());
            live.senders.of(&site)
        }
        Of::Draft(draft) => draft.senders.of(&site),
    };
    let place = sender.begin(&site, Some(signature))?;
    parts.extensions.insert(sender);
    Ok(Some(place))
}

/// What a browser is told that has not signed in.
const NOT_SIGNED_IN: &str = "this page is for those who may read the study: sign in with an auditor's or the administrator's token";

/// Who has signed in with the browser that sends this, if somebody has.
///
/// # Errors
/// A [`Refusal`] for a sign-in that counts no more.
pub(crate) fn signed_in(front: &Front, headers: &HeaderMap) -> Result<Option<Holder>, Refusal> {
    let cookie = Channel::of(front.has_tls, headers).cookie(headers);
    let holder = cookie.map(|cookie| front.sessions.holder(cookie, front.clock.now()));
    holder.transpose()
}

/// When a request was signed, by the clock of the site that did; long ago where none did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedAt(pub(crate) UnixSeconds);

impl<S: Sync> FromRequestParts<S> for SignedAt {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(parts.extensions.get().copied().unwrap_or(Self(UnixSeconds(0))))
    }
}

/// Who reads of a study: a site, by the key that has signed its request, or whoever showed a token.
#[derive(Clone, Debug)]
pub(crate) struct Asker(Option<(SiteId, PublicKey)>);

impl Asker {
    /// The site.
    pub(crate) fn site(&self) -> Option<&SiteId> {
        self.0.as_ref().map(|(site, _)| site)
    }

    /// Whether the asker may read what readers may of a round, or of no round.
    pub(crate) fn may_read(&self, study: &LiveStudy, round: Option<RoundNumber>) -> bool {
        let wanted = Wanted { round, reads: true, joining: false };
        self.0.as_ref().is_none_or(|(site, key)| study.keys_of(site, wanted).contains(key))
    }
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(parts.extensions.get().cloned().unwrap_or(Self(None)))
    }
}

/// The site that signed a request, where one did.
#[derive(Clone, Debug)]
pub(crate) struct Signer(pub(crate) SiteId);

impl<S: Sync> FromRequestParts<S> for Signer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let signer = parts.extensions.get().cloned();
        signer.ok_or_else(|| Refusal::internal(&"a site's request without its site"))
    }
}

fn admin_wanted() -> Refusal {
    Refusal::unauthorised(
        "expected the header `Authorization: Bearer TOKEN` with an administrator's token, got none; only an administrator registers studies, removes drafts and drops proposed epochs",
    )
}

fn unknown_token() -> Refusal {
    Refusal::unauthorised(
        "what the header `Authorization` holds is no token of this aggregator (`Bearer TOKEN`): send the one line of the token's file, and start the aggregator again if its --admin-token-file or --tokens were changed since",
    )
}

fn unsigned(access: Access) -> Refusal {
    let who = match access {
        Reader => "a site of the study, or an auditor's token in `Authorization: Bearer TOKEN`",
        _ => "a site of the study",
    };
    Refusal::unauthorised(format!(
        "expected a request signed (RFC 9421) by {who}, got neither; give --identity or --token-file"
    ))
}

fn not_this(got: &str, expected: &str) -> Refusal {
    Refusal::sender(format!("this request is for {expected}, and comes from {got}"))
}

/// Most bytes of a refused request that are read, and for how long: a connection that is closed on
/// unread bytes is reset, and that overtakes the answer. Who sends more than a message of usual size
/// may lose the answer.
const FORGOTTEN: u64 = 1 << 20;
const FORGET_TIME: Duration = Duration::from_secs(5);

async fn forget(clock: &Clock, body: Body) {
    if body.is_end_stream() {
        return;
    }
    let mut stream = body.into_data_stream();
    let rest = async {
        let mut read = 0u64;
        while let Some(Ok(bytes)) = stream.next().await {
            read += bytes.len() as u64;
            if read > FORGOTTEN {
                break;
            }
        }
    };
    // Either way nothing more is read.
    let _ = clock.timeout(FORGET_TIME, rest).await;
}
