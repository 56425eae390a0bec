//! Who may ask what: one table, and the guard that holds every request to it before anything of it is
//! stored, looked up or answered.
//!
//! A route that is not in the table takes no request: forgetting it closes it.

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
use ringfence_crypto::request::{
    CONTENT_DIGEST, ContentDigest, PERMIT, RequestParts, RequestSignature, RequestSignatureError,
    SIGNATURE, SIGNATURE_INPUT,
};
use ringfence_crypto::signature::{PublicKey, Signed};
use ringfence_crypto::statement::{CarrierPermit, PermitError};
use ringfence_crypto::wire::json;

use crate::auth::{Holder, Role};
use crate::core::draft_roster::DraftRoster;
use crate::core::drafts::no_draft;
use crate::core::epochs::Wanted;
use crate::core::incoming::Digested;
use crate::core::refusal::{Kind, Refusal};
use crate::core::rounds::LiveStudy;
use crate::core::senders::Answering;
use crate::http::extract::segment;
use crate::http::front::Front;

/// Who may make a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever can reach the server.
    Anyone,
    /// Who has an administrator's token.
    Admin,
    /// A site of the study, an auditor of it, an administrator.
    Reader,
    /// A site of the study.
    Member,
    /// The site that the path names as this: its own statements, and what is sealed to it.
    Own(&'static str),
}

use Access::{Admin, Anyone, Member, Own, Reader};

/// Every route under `/v2/studies/{study}`: method, path, who may. `docs/http.md` shows the same.
const OF_STUDY: &[(&str, &str, Access)] = &[
    ("GET", "", Reader),
    ("GET", "/status", Reader),
    ("GET", "/recovered", Reader),
    ("POST", "/recovered", Member),
    ("POST", "/epochs", Member),
    ("GET", "/epochs", Reader),
    ("DELETE", "/epochs", Admin),
    ("GET", "/epochs/{number}", Reader),
    ("GET", "/log/checkpoint", Reader),
    ("GET", "/log/consistency", Reader),
    ("GET", "/log/inclusion", Reader),
    ("POST", "/log/inclusion", Reader),
    ("GET", "/round-keys", Reader),
    // Signed by that site, and passed on by whoever the aggregator hides them from.
    ("PUT", "/round-keys/{site}", Member),
    ("GET", "/round-keys/{site}", Reader),
    ("GET", "/restored", Reader),
    ("PUT", "/restored/{site}", Own("site")),
    ("GET", "/restored/{site}/standings", Reader),
    ("PUT", "/restored/{site}/standings/{holder}", Own("holder")),
    ("POST", "/rounds", Member),
    ("GET", "/rounds/{round}", Reader),
    ("GET", "/rounds/{round}/manifest", Reader),
    ("PUT", "/rounds/{round}/contributions/{site}", Own("site")),
    ("GET", "/rounds/{round}/contributions/{site}", Reader),
    ("PUT", "/rounds/{round}/contributions/{site}/header", Own("site")),
    ("GET", "/rounds/{round}/contributions/{site}/header", Reader),
    ("PUT", "/rounds/{round}/contributions/{site}/envelopes", Own("site")),
    ("GET", "/rounds/{round}/contributions/{site}/envelopes/{holder}", Own("holder")),
    ("PUT", "/rounds/{round}/contributions/{site}/body", Own("site")),
    ("GET", "/rounds/{round}/contributions/{site}/body", Reader),
    ("GET", "/rounds/{round}/freeze", Reader),
    ("GET", "/rounds/{round}/headers", Reader),
    ("GET", "/rounds/{round}/dealt/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/opened/{site}", Own("site")),
    ("PUT", "/rounds/{round}/reviews/{site}", Own("site")),
    ("GET", "/rounds/{round}/reviews", Reader),
    ("GET", "/rounds/{round}/closing", Reader),
    ("PUT", "/rounds/{round}/endorsements/{site}", Own("site")),
    ("GET", "/rounds/{round}/certificate", Reader),
    ("GET", "/rounds/{round}/sum", Reader),
    ("GET", "/rounds/{round}/openings", Reader),
    ("PUT", "/rounds/{round}/openings/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/openings/{holder}/recipients/{site}", Own("site")),
    ("GET", "/rounds/{round}/disputes/{index}", Reader),
    ("PUT", "/rounds/{round}/disputes/{index}/endorsements/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/disputes/{index}/openings", Reader),
    ("PUT", "/rounds/{round}/disputes/{index}/openings/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/disputes/{index}/openings/{holder}/recipients/{site}", Own("site")),
    ("GET", "/rounds/{round}/verdicts/{index}", Reader),
    ("PUT", "/rounds/{round}/verdicts/{index}/endorsements/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/verdicts/{index}/openings", Reader),
    ("PUT", "/rounds/{round}/verdicts/{index}/openings/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/verdicts/{index}/openings/{holder}/recipients/{site}", Own("site")),
    ("PUT", "/rounds/{round}/snapshots/{site}/{holder}", Own("holder")),
    ("GET", "/rounds/{round}/snapshots/{site}/{holder}", Own("site")),
    ("PUT", "/rounds/{round}/acks/{site}", Own("site")),
    ("GET", "/rounds/{round}/acks", Reader),
    ("GET", "/rounds/{round}/agreed", Reader),
];

/// The routes of no study, and of studies that wait for signatures.
const OTHERS: &[(&str, &str, Access)] = &[
    ("GET", "/v2/aggregator", Anyone),
    ("POST", "/v2/drafts", Admin),
    ("GET", "/v2/drafts", Admin),
    ("GET", "/v2/drafts/{study}", Reader),
    ("GET", "/v2/drafts/{study}/status", Reader),
    ("PUT", "/v2/drafts/{study}/signatures/{site}", Own("site")),
    ("DELETE", "/v2/drafts/{study}", Admin),
    ("POST", "/v2/studies", Admin),
    ("GET", "/healthz", Anyone),
    ("GET", "/readyz", Anyone),
    ("GET", "/openapi.json", Anyone),
    ("GET", "/docs", Anyone),
];

const STUDY: &str = "/v2/studies/{study}";
const DRAFT: &str = "/v2/drafts/{study}";

/// Whose roster a site must be on: that of a study, or of one that waits for signatures.
enum Of {
    Study(Arc<LiveStudy>),
    Draft(Arc<DraftRoster>),
}

/// Every row of the table: method, whole path, who may.
pub(crate) fn rows() -> impl Iterator<Item = (&'static str, String, Access)> {
    let of_study =
        OF_STUDY.iter().map(|(method, path, who)| (*method, format!("{STUDY}{path}"), *who));
    let others = OTHERS.iter().map(|(method, path, who)| (*method, (*path).to_owned(), *who));
    others.chain(of_study)
}

/// A request's method and route as the table has them, for whoever counts them: `other` for what is not
/// there.
pub(crate) fn in_table(method: &Method, route: Option<&str>) -> (&'static str, String) {
    let found = route.and_then(|route| Some((row(method, route)?, route)));
    found.map_or(("other", "other".to_owned()), |((method, ..), route)| (*method, route.to_owned()))
}

/// The row of a request.
fn row(method: &Method, route: &str) -> Option<&'static (&'static str, &'static str, Access)> {
    // What GET answers, HEAD answers without its body.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let (table, path) = match route.strip_prefix(STUDY) {
        Some(rest) => (OF_STUDY, rest),
        None => (OTHERS, route),
    };
    table.iter().find(|(of, known, _)| *of == method && *known == path)
}

/// Who may make a request with this method to this route.
fn access(method: &Method, route: &str) -> Option<Access> {
    row(method, route).map(|(_, _, access)| *access)
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
    let begun = |holder: &Holder| holder.sender.begin(&"this token", None).map(Some);
    match (access, &token) {
        (Admin | Reader, Some(holder @ Holder { role: Role::Admin, .. })) => return begun(holder),
        (Admin, Some(_)) => return Err(not_this("an auditor", "an administrator")),
        (Admin, None) => return Err(admin_wanted()),
        _ => {}
    }
    let study = match token.is_some() || parts.headers.contains_key(SIGNATURE_INPUT) {
        true => segment(parts, "study").await?,
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

/// Checks whose request it is.
fn signer(
    front: &Front,
    parts: &mut Parts,
    study: StudyId,
    keys: impl Fn(&SiteId) -> Result<Vec<PublicKey>, Refusal>,
) -> Result<(SiteId, [u8; 64]), Refusal> {
    let value = |name: &str| one(&parts.headers, name);
    let (input, signature) = (value(SIGNATURE_INPUT)?, value(SIGNATURE)?);
    let signature = RequestSignature::parse(
        input.as_deref().unwrap_or_default(),
        signature.as_deref().unwrap_or_default(),
    );
    let signature = signature.map_err(|error| Refusal::unauthorised(error.to_string()))?;
    let site = signature.site();
    let (keys, now) = (keys(site)?, front.clock.now());
    let keys = match value(PERMIT)? {
        None => keys,
        Some(permit) => vec![permitted(&permit, study, (site, &keys), now)?],
    };
    let digest = value(CONTENT_DIGEST)?;
    let request = RequestParts {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query(),
        content_digest: digest.as_deref(),
    };
    let (mut verified, mut asker) = (Ok(()), Asker(None));
    for key in keys {
        verified = signature.verify(&request, &key, now);
        asker = Asker(Some((site.clone(), key)));
        if !matches!(verified, Err(RequestSignatureError::Invalid(_))) {
            break;
        }
    }
    verified.map_err(|error| match &error {
        RequestSignatureError::Clock { .. } | RequestSignatureError::Expired { .. } => {
            Refusal::new(Kind::Clock, error.to_string())
        }
        RequestSignatureError::Invalid(_) => Refusal::sender(error.to_string()),
        _ => Refusal::unauthorised(error.to_string()),
    })?;
    // For whoever reads the request's message.
    let digest = digest.as_deref().map(ContentDigest::parse).transpose();
    let digest = digest.map_err(|error| Refusal::malformed(error.to_string()))?;
    parts.extensions.insert(digest.map_or(Digested::Missing, Digested::As));
    parts.extensions.insert(SignedAt(signature.created()));
    parts.extensions.insert(Signer(site.clone()));
    parts.extensions.insert(asker);
    Ok((site.clone(), signature.bytes()))
}

/// Most bytes of a carrier's permit.
const MAX_PERMIT: usize = 1024;

/// The key of a carrier that a site permits to make its requests: those of a site without a network,
/// signed when they are sent. Whatever is in them the site itself has signed, or is held by a digest
/// that it has signed; so a carrier may ask what its site may, and say nothing of its own.
fn permitted(
    permit: &str,
    study: StudyId,
    (site, keys): (&SiteId, &[PublicKey]),
    now: UnixSeconds,
) -> Result<PublicKey, Refusal> {
    let permit: Signed<CarrierPermit> =
        json::parse(permit.as_bytes(), MAX_PERMIT, "carrier's permit")
            .map_err(|error| Refusal::malformed(format!("the header {PERMIT}: {error}")))?;
    let mut checked = Err(PermitError::NoKey(site.clone()));
    // Of one key at most the signature holds.
    for key in keys {
        checked = CarrierPermit::check(&permit, study, site, key, now);
        if !matches!(checked, Err(PermitError::Signature(_))) {
            break;
        }
    }
    checked.map_err(|error| match &error {
        PermitError::Time { .. } => Refusal::unauthorised(error.to_string()),
        _ => Refusal::sender(error.to_string()),
    })
}

/// The value of a header that may stand there once at most.
fn one(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refuse = |what: &str| Refusal::malformed(format!("the header {name} {what}"));
    if values.next().is_some() {
        return Err(refuse("is there twice"));
    }
    let value = value.to_str().map_err(|_| refuse("holds other bytes than visible ASCII"))?;
    Ok(Some(value.to_owned()))
}

/// The token of an `Authorization` header.
fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // The scheme's case does not matter (RFC 9110, section 11.1).
    let token = value.as_bytes().split_at_checked(7);
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    match (token, values.next()) {
        (Some((_, token)), None) => Ok(Some(token)),
        _ => Err(Refusal::unauthorised("expected one header `Authorization: Bearer TOKEN`")),
    }
}

fn admin_wanted() -> Refusal {
    Refusal::unauthorised(
        "expected the header `Authorization: Bearer TOKEN` with an administrator's token, got none; only an administrator registers studies, and removes drafts",
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

#[cfg(test)]
mod tests {
    use super::*;

    const METHODS: [&str; 4] = ["GET ", "PUT ", "POST ", "DELETE "];

    /// The tables of docs/http.md: method, path and who.
    fn documented() -> Vec<(String, String, String)> {
        let page = include_str!("../../../docs/http.md");
        let names = [("{r}", "{round}"), ("{by}", "{holder}"), ("{d}", "{index}")];
        let page =
            names.iter().fold(page.to_owned(), |page, (short, name)| page.replace(short, name));
        let mut found = Vec::new();
        for row in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [requests, who, ..] = cells.as_slice() else { continue };
            for request in requests
                .split('`')
                .filter(|text| METHODS.iter().any(|method| text.starts_with(method)))
            {
                let (method, path) = request.split_once(' ').unwrap();
                let path = path.split(['?', ',']).next().unwrap();
                let path = match path.strip_prefix("...") {
                    Some(rest) => format!("{STUDY}/rounds/{{round}}{rest}"),
                    None if path.starts_with("/rounds") || path.starts_with("/log") => {
                        format!("{STUDY}{path}")
                    }
                    None => path.to_owned(),
                };
                found.push((method.to_owned(), path, (*who).to_owned()));
            }
        }
        found
    }

    fn in_words(access: Access) -> String {
        match access {
            Anyone => "anyone".into(),
            Admin => "administrator".into(),
            Reader => "reader".into(),
            Member => "site".into(),
            Own(name) => format!("`{{{name}}}`"),
        }
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let mut ours: Vec<_> =
            rows().map(|(method, path, who)| (method.to_owned(), path, in_words(who))).collect();
        let mut documented = documented();
        ours.sort();
        documented.sort();
        // Asked with a query and without one.
        documented.dedup();
        assert_eq!(documented, ours);
    }

    #[test]
    fn what_is_not_in_the_table_takes_nothing() {
        assert_eq!(access(&Method::HEAD, "/healthz"), Some(Anyone));
        assert_eq!(access(&Method::GET, "/v2/studies/{study}/rounds/{round}/sum"), Some(Reader));
        for (method, route) in [
            (Method::DELETE, "/v2/studies/{study}"),
            (Method::PUT, "/v2/studies/{study}/status"),
            (Method::GET, "/v2/studies/{study}/secret"),
            (Method::GET, "/status"),
        ] {
            assert_eq!(access(&method, route), None, "{method} {route}");
        }
    }

    #[test]
    fn the_scheme_s_case_does_not_matter_and_one_token_is_one() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            headers
        };
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let headers = headers(&[&format!("{scheme} abc")]);
            assert_eq!(bearer(&headers).unwrap(), Some(&b"abc"[..]));
        }
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
        for bad in [&["Basic abc"][..], &["Bearer"], &["Bearer a", "Bearer a"]] {
            assert_eq!(bearer(&headers(bad)).unwrap_err().kind(), Kind::Unauthorised, "{bad:?}");
        }
    }
}
