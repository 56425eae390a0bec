//! What comes with a status: the answers of other requests, which its client need not make then.
//!
//! Each is what the request by itself would answer, for whom it is asked. What is not there yet, what
//! the asker may not ask for, and what would make the answer too long is left out: a request for it
//! by itself says why.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use ringfence_crypto::api::{
    EnvelopeFrame, MAX_LEAVES, MAX_WITH, OpenedFrame, OpeningPart, Part, RoundPart, StudyPart, With,
};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::log::{LogEntry, LogHash};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Acknowledgement, RoundKeys, Subject};
use ringfence_crypto::wire::{frame, json};
use serde::Serialize;

use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::core::rounds::LiveStudy;
use crate::core::texts::Text;
use crate::http::access::Asker;
use crate::http::answer::bytes;
use crate::http::chunks::Chunks;

/// The parts that a query names.
pub(crate) fn named<P: Part>(names: Option<&str>) -> Result<Option<With<P>>, Refusal> {
    let with = names.map(str::parse::<With<P>>).transpose();
    with.map_err(|error| Refusal::malformed(format!("the parameter `with`: {error}")))
}

/// The leaves that a query names, with commas between.
pub(crate) fn leaves(names: Option<&str>) -> Result<Vec<LogHash>, Refusal> {
    let refuse = |reason: String| Refusal::malformed(format!("the parameter `leaves`: {reason}"));
    let hash = |name: &str| name.parse::<LogHash>().map_err(|error| refuse(error.to_string()));
    let leaves: Vec<LogHash> =
        names.into_iter().flat_map(|names| names.split(',')).map(hash).collect::<Result<_, _>>()?;
    match leaves.len() > MAX_LEAVES {
        true => Err(refuse(format!(
            "expected at most {MAX_LEAVES}, got {}; ask for the others at log/inclusion",
            leaves.len()
        ))),
        false => Ok(leaves),
    }
}

/// A status and what comes with it.
pub(crate) fn accompanied(status: Bytes, parts: Vec<Coming>) -> Response {
    bytes(framed(status, parts).into_body())
}

/// The frame of a status and what comes with it: a
/// [`StatusFrame`](ringfence_crypto::api::StatusFrame), without a copy of what many are sent.
fn framed(status: Bytes, parts: Vec<Coming>) -> Chunks {
    let count = |frame: &mut Chunks, count: usize| frame.copy(&(count as u64).to_le_bytes());
    let mut frame = Chunks::default();
    count(&mut frame, status.len());
    frame.share(status);
    count(&mut frame, parts.len());
    for Coming { path, answer } in parts {
        count(&mut frame, path.len());
        frame.copy(path.as_bytes());
        count(&mut frame, answer.len());
        frame.append(answer);
    }
    frame
}

/// An answer that comes with a status.
#[derive(Debug)]
pub(crate) struct Coming {
    path: String,
    answer: Chunks,
}

/// What comes with a status, as long as there is room.
#[derive(Debug)]
struct AllComing {
    left: usize,
    parts: Vec<Coming>,
}

impl AllComing {
    fn new() -> Self {
        Self { left: MAX_WITH, parts: Vec::new() }
    }

    /// Takes what is there and has room.
    fn take(&mut self, path: String, answer: Result<impl Into<Chunks>, Refusal>) {
        let Ok(answer) = answer.map(Into::into) else { return };
        if let Some(left) = self.left.checked_sub(answer.len()) {
            self.left = left;
            self.parts.push(Coming { path, answer });
        }
    }

    fn json<T: Serialize>(&mut self, path: String, value: Result<T, Refusal>) {
        self.take(path, value.map(|value| json::compact(&value)));
    }

    async fn of_round(
        &mut self,
        round: &Arc<LiveRound>,
        asker: &Asker,
        (part, seen): (RoundPart, Option<u64>),
    ) {
        let path = |rest: &str| format!("rounds/{}/{rest}", round.id.round);
        match part {
            RoundPart::Manifest => self.take(path("manifest"), round.manifest_text()),
            RoundPart::Freeze => self.take(path("freeze"), round.freeze_text()),
            RoundPart::Headers => {
                self.take(path("headers?from=0"), round.frozen_headers(0, self.left / 2));
            }
            RoundPart::Dealt => {
                let Some(site) = asker.site() else { return };
                let dealt = round.dealt(site, 0, self.left / 2).await;
                let framed = |envelopes| Ok(frame::encode(&EnvelopeFrame { envelopes })?);
                self.take(path(&format!("dealt/{site}?from=0")), dealt.and_then(framed));
            }
            // Before it is closed they are not all there.
            RoundPart::Reviews => {
                if round.read().closing().is_some() {
                    self.take(path("reviews"), round.reviews_text());
                }
            }
            RoundPart::Closing => self.take(path("closing"), round.closing_text()),
            RoundPart::Proofs => self.proofs(round, asker.site(), seen),
            RoundPart::Certificate => self.take(path("certificate"), round.certificate_text()),
            RoundPart::Opened => {
                let Some(site) = asker.site() else { return };
                let needed = usize::from(round.served.study.threshold.opening);
                if round.read().openings(Subject::Sum).count() < needed {
                    return;
                }
                let Ok(mut parts) = round.opened_to(site, 0, self.left / 2).await else { return };
                parts.truncate(needed);
                let framed = opened_frame(parts);
                self.take(path(&format!("opened/{site}?from=0")), framed);
            }
            RoundPart::Agreed => self.take(path("agreed"), agreed(round)),
        }
    }

    /// The proofs that a site asks for before it endorses a closing: of what the closing's log must
    /// contain, of the round keys that the site holds under, and that the log which it has seen goes
    /// on in this one.
    fn proofs(&mut self, round: &LiveRound, site: Option<&SiteId>, seen: Option<u64>) {
        let Ok(closing) = round.closing() else { return };
        let (closing, manifest) = (&closing.statement, &round.manifest().statement);
        let size = closing.checkpoint.size;
        let own = site.and_then(|site| round.read().contribution(site).ok()?.receipt.clone());
        let mut entries = closing.logged(manifest, own.as_ref().map(|receipt| &receipt.statement));
        let offset = site.and_then(|site| round.served.study.holder_offset(manifest.round, site));
        let keys = offset.and_then(|offset| manifest.holder_keys.get(offset).copied().flatten());
        entries.extend(keys.map(LogEntry::of::<RoundKeys>));
        let log = round.served.log.read();
        for leaf in entries.iter().map(LogEntry::leaf) {
            self.json(inclusion(size, leaf), log.inclusion(leaf, size).map_err(Refusal::from));
        }
        if let Some(seen) = seen {
            let (from, to) = (seen.min(size), seen.max(size));
            let path = format!("log/consistency?from={from}&to={to}");
            self.json(path, log.consistency(from, to).map_err(Refusal::from));
        }
    }

    async fn of_study(
        &mut self,
        study: &LiveStudy,
        asker: &Asker,
        (part, leaves): (StudyPart, &[LogHash]),
    ) {
        let (opened, latest) = study.latest();
        match part {
            StudyPart::Manifest | StudyPart::Agreed => {
                let Some(round) = latest.filter(|of| asker.may_read(study, Some(of.id.round)))
                else {
                    return;
                };
                let path = |rest: &str| format!("rounds/{}/{rest}", round.id.round);
                match part {
                    StudyPart::Manifest => self.take(path("manifest"), round.manifest_text()),
                    _ => self.take(path("agreed"), agreed(&round)),
                }
            }
            StudyPart::HolderKeys => {
                let Some(round) = latest.map(|round| round.id.round) else { return };
                if asker.may_read(study, None) {
                    for (holder, keys) in study.holder_keys(round).await {
                        self.take(format!("round-keys/{holder}?round={round}"), Ok(keys));
                    }
                }
            }
            StudyPart::RoundKeys if asker.may_read(study, None) => {
                let next = RoundNumber(u32::try_from(opened).unwrap_or(u32::MAX));
                let logged = study.logged_keys(next).await;
                self.json(format!("round-keys?round={next}"), logged);
            }
            StudyPart::Checkpoint => {
                let checkpoint = study.served.log.read().checkpoint();
                let note = study.served.note_of(checkpoint).map_err(Refusal::from);
                let text = note.map(|note| note.to_string().into_bytes());
                self.take("log/checkpoint".to_owned(), text);
                let log = study.served.log.read();
                for leaf in leaves {
                    let proof = log.inclusion(*leaf, checkpoint.size).map_err(Refusal::from);
                    self.json(inclusion(checkpoint.size, *leaf), proof);
                }
            }
            StudyPart::Restored if asker.may_read(study, None) => {
                self.take("restored".to_owned(), study.restores().await);
            }
            StudyPart::RoundKeys | StudyPart::Restored => {}
        }
    }
}

fn inclusion(size: u64, leaf: LogHash) -> String {
    format!("log/inclusion?size={size}&leaf={leaf}")
}

/// What comes with the status of a round; `seen` is the size of the log that the client has seen.
pub(crate) async fn of_round(
    round: &Arc<LiveRound>,
    asker: &Asker,
    (with, seen): (&With<RoundPart>, Option<u64>),
) -> Vec<Coming> {
    let mut coming = AllComing::new();
    for part in each(with) {
        coming.of_round(round, asker, (part, seen)).await;
    }
    coming.parts
}

/// What comes with the status of a study; `leaves` are those that the checkpoint is to come with
/// proofs of.
pub(crate) async fn of_study(
    study: &LiveStudy,
    asker: &Asker,
    (with, leaves): (&With<StudyPart>, &[LogHash]),
) -> Vec<Coming> {
    let mut coming = AllComing::new();
    for part in each(with) {
        coming.of_study(study, asker, (part, leaves)).await;
    }
    coming.parts
}

/// Each part once, however often it is named.
fn each<P: Part>(with: &With<P>) -> impl Iterator<Item = P> {
    P::ALL.iter().map(|(part, _)| *part).filter(|part| with.0.contains(part))
}

/// The frame of a site's parts of openings.
pub(super) fn opened_frame(parts: Vec<Option<OpeningPart>>) -> Result<Vec<u8>, Refusal> {
    let long = |part: &OpeningPart| part.content.len() + part.key.len() + BESIDE;
    let bytes = parts.iter().flatten().map(long).sum();
    Ok(frame::encode_about(&OpenedFrame { parts }, bytes)?)
}

/// Bytes of a part of an opening beside content and key, about: its statement and its path.
const BESIDE: usize = 2 << 10;

/// As many acknowledgements of one model as are needed, as they are sent: those that are there first.
pub(super) fn agreed(round: &LiveRound) -> Result<Bytes, Refusal> {
    round.texts.of(Text::Agreed, 1, || acknowledgements(round))
}

fn acknowledgements(round: &LiveRound) -> Result<Vec<Signed<Acknowledgement>>, Refusal> {
    let standing = round.read();
    let agreed = standing.agreed().ok_or_else(|| {
        Refusal::missing(format!(
            "no {} sites have acknowledged one model of round {} yet: {} have said anything; ask again later",
            round.served.study.threshold.endorsements,
            round.id.round,
            standing.acknowledgements().count()
        ))
    })?;
    Ok(agreed.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use ringfence_crypto::api::{StatusFrame, StatusPart};

    use super::*;

    #[tokio::test]
    async fn what_comes_along_is_a_frame_as_any() {
        let answers = [("a", vec![1; 3]), ("rounds/0/headers?from=0", vec![2; 100_000])];
        for many in 0..=answers.len() {
            let (mut parts, mut coming) = (Vec::new(), AllComing::new());
            for (path, bytes) in answers.iter().take(many).cloned() {
                coming.take(path.to_owned(), Ok(bytes.clone()));
                parts.push(StatusPart { path: path.to_owned(), bytes });
            }
            let status = vec![b' '; 5000];
            let frame = framed(Bytes::from(status.clone()), coming.parts);
            let sent = frame.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(sent, frame::encode(&StatusFrame { status, parts }).unwrap());
        }
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let mut coming = AllComing::new();
        coming.take("a".to_owned(), Ok(vec![0; MAX_WITH - 1]));
        coming.take("b".to_owned(), Ok(vec![0; 2]));
        coming.take("c".to_owned(), Ok(vec![0; 1]));
        coming.take("d".to_owned(), Err::<Vec<u8>, _>(Refusal::missing("none")));
        let came: Vec<&str> = coming.parts.iter().map(|part| part.path.as_str()).collect();
        assert_eq!(came, ["a", "c"]);
    }
}
