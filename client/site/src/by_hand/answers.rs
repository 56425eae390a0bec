//! The mailbox in the aggregator's place: what a site asks is answered from the last bundle, what it
//! says is put into the outbox. A step that needs what is in neither ends there, with a word.

use futures_util::stream;
use reqwest::{Body, Method, Request, Response, StatusCode};
use ringfence_crypto::Digest;
use ringfence_crypto::api::{
    AggregatorStatus, ContributionProgress, InclusionQuery, PROBLEM_JSON, Problem, StudyStatus,
};
use ringfence_crypto::id::{HeaderId, SiteId, StudyId};
use ringfence_crypto::log::InclusionProof;
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Header;
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::bundle::Bundle;
use super::contents::{Item, Kind, Refusal, described};
use super::error::ByHandError;
use super::mailbox::{Held, Mailbox};
use crate::transport::{TransportError, printable};

/// Items longer than this are not held in memory.
const LONG: u64 = 1 << 20;

/// Bytes of a long item that are read at once.
const PIECE: usize = 1 << 18;

/// What is answered to a request that the mailbox knows nothing of.
const NO_SUCH_METHOD: u16 = 405;

/// What to do when the files do not suffice.
const GO_ON: &str = "have `ringfence bundle export` write what is to leave, have it carried, take what comes back by `ringfence bundle import`, and run this command again";

/// What a request is answered with.
enum Reply {
    /// At once.
    Bytes(u16, Vec<u8>),
    /// An item of the inbox.
    Long(std::io::Take<std::fs::File>),
}

impl From<ByHandError> for TransportError {
    fn from(error: ByHandError) -> Self {
        match error {
            ByHandError::File { path, source } => {
                Self::File { path: path.display().to_string(), source }
            }
            ByHandError::Transport(error) => error,
            other => Self::Unreadable(printable(&other.to_string())),
        }
    }
}

impl Mailbox {
    /// Answers a request as the aggregator would have done when the last bundle was fetched.
    ///
    /// # Errors
    /// [`TransportError::ByHand`] where a bundle must be carried first.
    pub(crate) fn answer(&self, request: &Request) -> Result<Response, TransportError> {
        let path = request.url().path().trim_start_matches("/v2/");
        let path = match request.url().query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let message = request.body().and_then(Body::as_bytes).unwrap_or_default();
        let reply = match request.method() {
            &Method::GET => self.asked(&path)?,
            &Method::POST if path.ends_with("/log/inclusion") => self.proofs(&path, message)?,
            method => {
                let content_type = request.headers().get("content-type");
                let content_type = content_type.and_then(|value| value.to_str().ok());
                let kind = Kind::Message {
                    method: method.to_string(),
                    content_type: content_type.unwrap_or_default().to_owned(),
                };
                self.said(&path, kind, message)?
            }
        };
        let (status, body) = match reply {
            Reply::Bytes(status, bytes) => (status, Body::from(bytes)),
            Reply::Long(part) => (200, in_pieces(part)),
        };
        let response = http::Response::builder()
            .status(StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND))
            .body(body)
            .map_err(|error| TransportError::Unreadable(error.to_string()))?;
        Ok(response.into())
    }

    fn asked(&self, path: &str) -> Result<Reply, TransportError> {
        if path == "aggregator" {
            let aggregator_key = self.of.aggregator_key;
            let status = AggregatorStatus { aggregator_key, now: self.clock.now() };
            return Ok(Reply::Bytes(200, json::compact(&status)));
        }
        let (place, query) = path.split_once('?').unwrap_or((path, ""));
        let parameter = |name: &str| {
            let mut parameters = query.split('&').filter_map(|of| of.split_once('='));
            parameters.find(|(of, _)| *of == name).map(|(_, value)| value)
        };
        // What would come with a status is asked for by itself: a bundle has answers, each under its own
        // path.
        match (parameter("wait"), parameter("with")) {
            (None, None) => return self.known(path),
            (None, Some(_)) => return self.known(place),
            _ => {}
        }
        let after = parameter("after").and_then(|after| after.parse::<u64>().ok());
        let known = self.known(place)?;
        let Reply::Bytes(_, bytes) = &known else { return Ok(known) };
        let (version, stands) = if place.ends_with("/status") {
            let status: StudyStatus = json::parse(bytes, MAX_MESSAGE, "study status")?;
            let stands = match status.latest {
                Some(latest) => format!("round {} is {}", latest.round, latest.state),
                None => "no round is open".to_owned(),
            };
            (u64::from(status.rounds), stands)
        } else {
            let status: RoundStatus = json::parse(bytes, MAX_MESSAGE, "round status")?;
            (status.version, format!("round {} is {}", status.round, status.state))
        };
        match after.is_some_and(|after| version > after) {
            true => Ok(known),
            false => Err(self.ends(&format!("{stands}, and nothing more can be done here now"))),
        }
    }

    /// An answer that the inbox holds; what it lacks is asked for in the next bundle.
    fn known(&self, path: &str) -> Result<Reply, TransportError> {
        let reply = self.with(|held| {
            if let Some(reply) = found(held, path)? {
                self.used(held, path)?;
                return Ok(Some(reply));
            }
            self.want(held, path)?;
            Ok(None)
        })?;
        reply.ok_or_else(|| self.ends(&format!("it does not hold {}", described(path))))
    }

    /// Asks in the next bundle for what the inbox lacks of all these.
    pub(crate) fn want_all(
        &self,
        paths: impl Iterator<Item = String>,
    ) -> Result<(), TransportError> {
        let wanted = self.with(|held| {
            for path in paths {
                if found(held, &path)?.is_none() {
                    self.want(held, &path)?;
                }
            }
            Ok(())
        });
        Ok(wanted?)
    }

    /// Inclusion proofs, which a bundle holds leaf by leaf.
    fn proofs(&self, path: &str, query: &[u8]) -> Result<Reply, TransportError> {
        let InclusionQuery { size, leaves } =
            json::parse(query, MAX_MESSAGE, "query for inclusion proofs")?;
        let mut proofs: Vec<InclusionProof> = Vec::with_capacity(leaves.len());
        let mut missing = None;
        for leaf in leaves {
            match self.known(&format!("{path}?size={size}&leaf={leaf}")) {
                Ok(Reply::Bytes(200, bytes)) => {
                    proofs.push(json::parse(&bytes, MAX_MESSAGE, "inclusion proof")?);
                }
                Ok(refused) => return Ok(refused),
                // All of them are asked for in one bundle.
                Err(error) if error.is_by_hand() => missing = Some(error),
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some(missing) => Err(missing),
            None => Ok(Reply::Bytes(200, json::compact(&proofs))),
        }
    }

    fn said(&self, path: &str, kind: Kind, message: &[u8]) -> Result<Reply, TransportError> {
        let digest = Digest::of(message);
        let item = Item { path: path.to_owned(), kind, bytes: message.len() as u64, digest };
        let what = item.described();
        let parts: Vec<&str> = path.split('/').skip(2).collect();
        if let ["rounds", _, "contributions", _] = parts.as_slice() {
            // Header and envelopes are two messages of a bundle: the site sends them so, then.
            let detail = "a mailbox takes header and envelopes one after the other";
            return Ok(Reply::Bytes(NO_SUCH_METHOD, problem(NO_SUCH_METHOD, detail)));
        }
        if parts.as_slice() == ["rounds"] {
            // A second one, signed a moment later, would be refused.
            let waits = self.with(|held| {
                let waits = held.outbox.values().any(|outgoing| outgoing.item.path == path);
                if !waits {
                    self.put(held, item, Ok(message))?;
                }
                Ok(waits)
            })?;
            let again = if waits { "an earlier run has put " } else { "" };
            return Err(self.left(&format!("{again}{what} is in the outbox")));
        }
        let header = match parts.as_slice() {
            [_, _, "contributions", _, "header"] => {
                let header: Signed<Header> = json::parse(message, MAX_MESSAGE, "header")?;
                Some(header.id())
            }
            _ => None,
        };
        let answer = self.with(|held| {
            held.announced = header.or(held.announced);
            if let ["rounds", round, "contributions", site, _] = parts.as_slice()
                && let Some(header) = held.announced
                && let Some(progress) = received(held, &self.of.study, (*round, *site), header)?
            {
                return Ok(Some(Reply::Bytes(200, progress)));
            }
            if let Some(refusal) = self.put(held, item, Ok(message))? {
                return Ok(Some(refused(&refusal)));
            }
            match parts.as_slice() {
                ["rounds", _, "contributions", _, last] => {
                    let progress = held.announced.map(|header| ContributionProgress {
                        header,
                        envelopes: *last == "envelopes",
                        body_bytes: 0,
                        receipt: None,
                    });
                    Ok(progress.map(|progress| Reply::Bytes(200, json::compact(&progress))))
                }
                ["rounds", round, ..] => {
                    found(held, &format!("studies/{}/rounds/{round}", self.of.study))
                }
                ["recovered" | "epochs"] => Ok(None),
                _ => Ok(Some(Reply::Bytes(200, b"null".to_vec()))),
            }
        })?;
        answer.ok_or_else(|| self.left(&format!("{what} is in the outbox")))
    }

    /// Puts a body into the outbox; answers with the receipt that the inbox holds.
    ///
    /// # Errors
    /// [`TransportError::ByHand`] where it holds none: the body is in the outbox then.
    pub(crate) fn put_body(
        &self,
        (path, site): (&str, &SiteId),
        file: &std::path::Path,
    ) -> Result<ContributionProgress, TransportError> {
        let path = path.split('?').next().unwrap_or_default();
        let round = path.split('/').nth(3).unwrap_or_default();
        let mut hasher = blake3::Hasher::new();
        let read = std::fs::File::open(file).and_then(|mut body| {
            let bytes = body.metadata()?.len();
            std::io::copy(&mut body, &mut hasher)?;
            Ok(bytes)
        });
        let bytes = read.map_err(ByHandError::file(file))?;
        let digest = Digest::finish(&hasher);
        let item = Item { path: path.to_owned(), kind: Kind::Body, bytes, digest };
        let (progress, refusal) = self.with(|held| {
            if let Some(header) = held.announced
                && let Some(progress) =
                    received(held, &self.of.study, (round, site.as_str()), header)?
            {
                return Ok((Some(progress), None));
            }
            Ok((None, self.put(held, item, Err(file))?))
        })?;
        if let Some(progress) = progress {
            return Ok(json::parse(&progress, MAX_MESSAGE, "contribution progress")?);
        }
        match refusal {
            Some(Refusal { status, detail }) => {
                Err(TransportError::Refused { status, detail, retry_after: None })
            }
            None => Err(self.left(&format!(
                "the contribution of {site} to round {round} is in the outbox, without a receipt yet"
            ))),
        }
    }

    /// A step that the last bundle does not go further with.
    fn ends(&self, why: &str) -> TransportError {
        let inbox = self.with(|held| {
            Ok((held.inbox.as_ref().map(|inbox| inbox.made_at), held.damaged.clone()))
        });
        TransportError::ByHand(match inbox {
            Ok((Some(made_at), _)) => {
                format!("by the bundle of {}, {why}; {GO_ON}", made_at.utc())
            }
            Ok((None, Some(damage))) => {
                format!("the bundle that was imported last cannot be read ({damage}); {GO_ON}")
            }
            _ => format!("no bundle was imported yet; {GO_ON}"),
        })
    }

    /// A step whose message must be carried first.
    fn left(&self, what: &str) -> TransportError {
        TransportError::ByHand(format!("{what}; {GO_ON}"))
    }
}

/// An answer of the inbox.
fn found(held: &Held, path: &str) -> Result<Option<Reply>, ByHandError> {
    let Some(inbox) = &held.inbox else { return Ok(None) };
    let place = inbox.places.get(path).and_then(|place| inbox.bundle.items.get(*place));
    let Some((item, start)) = place else { return Ok(None) };
    let Kind::Answer { status } = item.kind else { return Ok(None) };
    let file = ByHandError::file(&inbox.bundle.path);
    Ok(Some(match (item.bytes > LONG, status) {
        (true, 200) => Reply::Long(inbox.bundle.reader(item, *start).map_err(file)?),
        // No refusal is so long.
        (true, _) => return Ok(None),
        (false, _) => Reply::Bytes(status, bytes(&inbox.bundle, item, *start)?),
    }))
}

fn bytes(bundle: &Bundle, item: &Item, start: u64) -> Result<Vec<u8>, ByHandError> {
    bundle.bytes(item, start).map_err(ByHandError::file(&bundle.path))
}

/// The progress of this site's contribution, once the inbox holds its receipt.
fn received(
    held: &Held,
    study: &StudyId,
    (round, site): (&str, &str),
    header: HeaderId,
) -> Result<Option<Vec<u8>>, ByHandError> {
    let path = format!("studies/{study}/rounds/{round}/contributions/{site}");
    let Some(Reply::Bytes(200, bytes)) = found(held, &path)? else { return Ok(None) };
    let progress = json::parse::<ContributionProgress>(&bytes, MAX_MESSAGE, "progress").ok();
    let whole = progress.is_some_and(|of| of.header == header && of.receipt.is_some());
    Ok(whole.then_some(bytes))
}

/// A refusal as it was answered at the carrier.
fn refused(refusal: &Refusal) -> Reply {
    let Refusal { status, detail } = refusal;
    Reply::Bytes(*status, problem(*status, detail))
}

/// The problem document of a refusal.
pub(super) fn problem(status: u16, detail: &str) -> Vec<u8> {
    let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let kind = match status {
        404 => "/problems/missing",
        409 => "/problems/conflict",
        _ => "/problems/message",
    };
    let (kind, title) = (kind.to_owned(), title.unwrap_or(PROBLEM_JSON).to_owned());
    json::compact(&Problem { kind, title, status, detail: detail.to_owned() })
}

fn in_pieces(part: std::io::Take<std::fs::File>) -> Body {
    let left = part.limit();
    let file = File::from_std(part.into_inner());
    let pieces = stream::try_unfold((file, left), |(mut file, left)| async move {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let mut piece = vec![0; most];
        let read = if most == 0 { 0 } else { file.read(&mut piece).await? };
        piece.truncate(read);
        let left = left - read as u64;
        Ok::<_, std::io::Error>((read > 0).then_some((piece, (file, left))))
    });
    Body::wrap_stream(pieces)
}
