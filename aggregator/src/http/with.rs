//! What comes with a status: the answers of other requests, which its client need not make then.
//!
//! Each is what the request by itself would answer, for whom it is asked. What is not there yet, what
//! the asker may not ask for, and what would make the answer too long is left out: a request for it
//! by itself says why.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use ringfence_crypto::api::{
    EnvelopeFrame, MAX_LEAVES, MAX_WITH, OpenedFrame, Part, RoundPart, StatusFrame, StatusPart,
    StudyPart, With,
};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::log::{LogEntry, LogHash};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Acknowledgement, Review, RoundKeys, Subject};
use ringfence_crypto::wire::{frame, json};
use serde::Serialize;

use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::core::rounds::LiveStudy;
use crate::http::access::Asker;
use crate::http::answer::bytes;

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
pub(crate) fn accompanied(status: Bytes, parts: Vec<StatusPart>) -> Result<Response, Refusal> {
    Ok(bytes(frame::encode(&StatusFrame { status: status.into(), parts })?))
}

/// What comes with a status, as long as there is room.
#[derive(Debug)]
struct Coming {
    left: usize,
    parts: Vec<StatusPart>,
}

impl Coming {
    fn new() -> Self {
        Self { left: MAX_WITH, parts: Vec::new() }
    }

    /// Takes what is there and has room.
    fn take(&mut self, path: String, answer: Result<Vec<u8>, Refusal>) {
        let Ok(bytes) = answer else { return };
        if let Some(left) = self.left.checked_sub(bytes.len()) {
            self.left = left;
            self.parts.push(StatusPart { path, bytes });
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
            RoundPart::Manifest => self.json(path("manifest"), Ok(round.manifest())),
            RoundPart::Freeze => self.json(path("freeze"), round.freeze_statement()),
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
                let reviews = round.closing().map(|_| reviews(round));
                self.json(path("reviews"), reviews);
            }
            RoundPart::Closing => self.json(path("closing"), round.closing()),
            RoundPart::Proofs => self.proofs(round, asker.site(), seen),
            RoundPart::Certificate => self.json(path("certificate"), round.certificate()),
            RoundPart::Opened => {
                let Some(site) = asker.site() else { return };
                let needed = usize::from(round.served.study.threshold.opening);
                if round.read().openings(Subject::Sum).count() < needed {
                    return;
                }
                let Ok(mut parts) = round.opened_to(site, 0, self.left / 2).await else { return };
                parts.truncate(needed);
                let framed = frame::encode(&OpenedFrame { parts }).map_err(Refusal::from);
                self.take(path(&format!("opened/{site}?from=0")), framed);
            }
            RoundPart::Agreed => self.json(path("agreed"), agreed(round)),
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
                    StudyPart::Manifest => self.json(path("manifest"), Ok(round.manifest())),
                    _ => self.json(path("agreed"), agreed(&round)),
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
                let restores = study.restores().await;
                self.json("restored".to_owned(), restores);
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
) -> Vec<StatusPart> {
    let mut coming = Coming::new();
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
) -> Vec<StatusPart> {
    let mut coming = Coming::new();
    for part in each(with) {
        coming.of_study(study, asker, (part, leaves)).await;
    }
    coming.parts
}

/// Each part once, however often it is named.
fn each<P: Part>(with: &With<P>) -> impl Iterator<Item = P> {
    P::ALL.iter().map(|(part, _)| *part).filter(|part| with.0.contains(part))
}

/// The reviews: those that were judged, and those that came later.
pub(super) fn reviews(round: &LiveRound) -> Vec<Signed<Review>> {
    round.read().reviews().cloned().collect()
}

/// As many acknowledgements of one model as are needed.
pub(super) fn agreed(round: &LiveRound) -> Result<Vec<Signed<Acknowledgement>>, Refusal> {
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
