//! Openings, and what anybody may have of a round that is frozen or closed.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use ringfence_crypto::Digest;
use ringfence_crypto::api::{
    CheckedOpening, MAX_SNAPSHOT, OpeningFrame, OpeningPart, opening_part_bytes,
};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::log::LogHash;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Certificate, Closing, Freeze, Opening, Review, Subject};
use ringfence_crypto::wire::frame::{self, FrameError};
use serde::{Deserialize, Serialize};

use crate::core::dispute::named;
use crate::core::refusal::{Kind, Refusal};
use crate::core::round::LiveRound;
use crate::core::texts::Text;
use crate::store::blobs::Blob;
use crate::store::terms::StoreError;

/// What is stored beside the content for one site: its sealed key, and the key's path. As a frame,
/// so that it is read back as it was written or not at all.
#[derive(Serialize, Deserialize)]
struct StoredKey {
    key: Vec<u8>,
    path: Vec<LogHash>,
}

/// Which piece of a stored opening is the content; the sites' keys follow in roster order.
const CONTENT: usize = 0;

/// Cuts a checked opening into the pieces that are stored.
fn pieces(opening: &CheckedOpening) -> Result<Vec<Vec<u8>>, FrameError> {
    let content = opening.frame().content.clone();
    let keys = (0..opening.frame().keys.len()).filter_map(|position| opening.key(position));
    let keys = keys.map(|(key, path)| frame::encode(&StoredKey { key: key.to_vec(), path }));
    std::iter::once(Ok(content)).chain(keys).collect()
}

/// What a snapshot is stored under: no opening's digest.
fn snapshot_name(from: &SiteId, to: &SiteId) -> Digest {
    Digest::of(format!("snapshot {from} {to}").as_bytes())
}

impl LiveRound {
    /// Most bytes of a snapshot: the model in single precision, twice as much again in double, and room
    /// for check keys and the seal.
    pub(crate) fn longest_snapshot(&self) -> usize {
        let values = self.served.study.layout.values();
        values.saturating_mul(20).saturating_add(1 << 20).min(MAX_SNAPSHOT)
    }

    /// Takes the model after this round, sealed by one site to another; a later one replaces it.
    pub(crate) async fn take_snapshot(
        &self,
        (from, to): (&SiteId, &SiteId),
        sealed: Vec<u8>,
    ) -> Result<(), Refusal> {
        if self.read().certificate().is_none() {
            return Err(Refusal::conflict(format!(
                "round {} has not ended: there is no model after it yet",
                self.id.round
            )));
        }
        let pieces = vec![sealed, Vec::new()];
        Ok(self.served.blobs().write_opening(self.id, snapshot_name(from, to), pieces).await?)
    }

    /// What one site has sealed to another.
    pub(crate) async fn snapshot(&self, from: &SiteId, to: &SiteId) -> Result<Vec<u8>, Refusal> {
        let name = snapshot_name(from, to);
        match self.served.blobs().opening(self.id, name, [0, 1]).await {
            Ok([sealed, _]) => Ok(sealed),
            Err(StoreError::Lost(_)) => Err(Refusal::missing(format!(
                "{from} has sealed no model after round {} to {to}",
                self.id.round
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a holder's opening: the statement, the content, and its key sealed to every site.
    pub(crate) async fn take_opening(self: &Arc<Self>, frame: OpeningFrame) -> Result<(), Refusal> {
        // Nothing is hashed or written for a message that is refused. One that came before is written
        // again: that mends what the disk has lost.
        self.read().take_opening(&frame.statement)?;
        let words = self.read().opening_words(frame.statement.statement.subject)?;
        let study = self.served.study.clone();
        // Hashes up to 16 MB, off the threads that serve requests.
        let checked = tokio::task::spawn_blocking(move || {
            let opening = frame.check(&study, words)?;
            Ok::<_, Refusal>((opening.frame().statement.clone(), pieces(&opening)?))
        });
        let (statement, pieces) = checked.await.map_err(|error| Refusal::internal(&error))??;
        self.served.blobs().write_opening(self.id, statement.id(), pieces).await?;
        self.commit_among(move |round, _| round.take_opening(&statement)).await
    }

    /// A site's part of the opening of a holder on a subject, checked against the holder's statement.
    pub(crate) async fn opening_part(
        &self,
        subject: Subject,
        holder: &SiteId,
        recipient: &SiteId,
    ) -> Result<OpeningPart, Refusal> {
        let found = self.read().openings(subject).find(|o| o.statement.holder == *holder).cloned();
        let missing = || {
            let what = named(subject);
            Refusal::missing(format!("site {holder} has not opened {what} in this round"))
        };
        let statement = found.ok_or_else(missing)?;
        let position = self.position(recipient)?;
        let pieces = [CONTENT, 1 + position];
        let read = self.served.blobs().opening(self.id, statement.id(), pieces).await;
        self.checked_part(statement, recipient, read)
    }

    /// What is stored of an opening for one site, if it is what its holder has signed.
    fn checked_part(
        &self,
        statement: Signed<Opening>,
        recipient: &SiteId,
        read: Result<[Vec<u8>; 2], StoreError>,
    ) -> Result<OpeningPart, Refusal> {
        let holder = statement.statement.holder.clone();
        let damaged = |cause: &dyn Display| damaged(&holder, cause);
        let [content, key] = read.map_err(|error| damaged(&error))?;
        let StoredKey { key, path } =
            frame::decode(&key, "a stored content key").map_err(|error| damaged(&error))?;
        let part = OpeningPart { statement, key, path, content };
        part.check_bytes(&self.served.study, recipient).map_err(|error| damaged(&error))?;
        Ok(part)
    }

    /// The place of a recipient on the roster.
    fn position(&self, recipient: &SiteId) -> Result<usize, Refusal> {
        self.served.study.position(recipient).ok_or_else(|| {
            Refusal::missing(format!(
                "site {recipient} is not on the study's roster: no opening is sealed to it"
            ))
        })
    }

    /// A site's parts of the openings of the sum, in the order of their list, without the first
    /// `from`, as many as have room in `room` bytes, and one at least where there are any left. None
    /// where what is stored is damaged: whoever asks for that one by itself is told why.
    pub(crate) async fn opened_to(
        &self,
        recipient: &SiteId,
        from: usize,
        room: usize,
    ) -> Result<Vec<Option<OpeningPart>>, Refusal> {
        let most = opening_part_bytes(
            self.read().opening_words(Subject::Sum).unwrap_or_default(),
            self.served.study.roster.len(),
        );
        let position = self.position(recipient)?;
        let openings = self.read().openings(Subject::Sum).skip(from).cloned().collect::<Vec<_>>();
        let openings: Vec<_> = openings.into_iter().take((room / most).max(1)).collect();
        let digests = openings.iter().map(Signed::id).collect();
        // All at once: each site asks for all of them.
        let pieces = [CONTENT, 1 + position];
        let read = self.served.blobs().openings(self.id, digests, pieces).await;
        let mut parts = Vec::new();
        for (opening, read) in openings.into_iter().zip(read) {
            match self.checked_part(opening, recipient, read) {
                Ok(part) => parts.push(Some(part)),
                Err(refusal) if refusal.kind() == Kind::Wanted => parts.push(None),
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(parts)
    }

    /// The freeze, once collecting has ended.
    pub(crate) fn freeze_statement(&self) -> Result<Signed<Freeze>, Refusal> {
        let freeze = self.read().freeze().cloned();
        freeze.ok_or_else(|| {
            let status = self.status();
            Refusal::missing(format!(
                "round {} has no freeze yet: contributions are taken until {} or until all have come, and {} did; ask again later",
                status.round,
                status.deadline.utc(),
                status.received.len()
            ))
        })
    }

    /// The manifest as it is sent.
    pub(crate) fn manifest_text(&self) -> Result<Bytes, Refusal> {
        self.texts.of(Text::Manifest, 1, || Ok(self.manifest()))
    }

    /// The freeze as it is sent.
    pub(crate) fn freeze_text(&self) -> Result<Bytes, Refusal> {
        self.texts.of(Text::Freeze, 1, || self.freeze_statement())
    }

    /// The reviews as they are sent: those that were judged, and those that came later.
    pub(crate) fn reviews_text(&self) -> Result<Bytes, Refusal> {
        // One that comes meanwhile is in it, and it is made anew then.
        let there = self.read().reviews().count();
        let reviews = || self.read().reviews().cloned().collect::<Vec<Signed<Review>>>();
        self.texts.of(Text::Reviews, there, || Ok(reviews()))
    }

    /// The closing as it is sent.
    pub(crate) fn closing_text(&self) -> Result<Bytes, Refusal> {
        self.texts.of(Text::Closing, 1, || self.closing())
    }

    /// The certificate as it is sent.
    pub(crate) fn certificate_text(&self) -> Result<Bytes, Refusal> {
        // More holders may have endorsed when it is made; then it is made again for the next one.
        let endorsed = self.read().endorsed();
        self.texts.of(Text::Certificate, endorsed, || self.certificate())
    }

    /// The closing, once the round is closed.
    pub(crate) fn closing(&self) -> Result<Signed<Closing>, Refusal> {
        let closing = self.read().closing().cloned();
        closing.ok_or_else(|| self.not_closed())
    }

    /// The certificate, once there are enough endorsements.
    pub(crate) fn certificate(&self) -> Result<Certificate, Refusal> {
        if self.read().closing().is_none() {
            return Err(self.not_closed());
        }
        let certificate = self.read().certificate();
        certificate.ok_or_else(|| {
            let status = self.status();
            Refusal::missing(format!(
                "round {} has no certificate yet: {} endorsements of its closing are needed, {} came",
                status.round,
                status.endorsements_needed,
                status.endorsed.len()
            ))
        })
    }

    /// The sum, once there is one, with the digest that the closing names. One that is missing or
    /// altered is made again from the bodies; if those are damaged, their sites are asked for them.
    pub(crate) async fn sum(self: &Arc<Self>) -> Result<Blob, Refusal> {
        // Not the closing itself, which is as long as the round has sites: each of them asks.
        let sum = self.read().closing().map(|closing| closing.statement.sum);
        match sum {
            None => Err(self.not_closed()),
            Some(Some(expected)) => {
                self.checked_sum(expected).await?;
                Ok(Blob::Sum)
            }
            Some(None) => Err(Refusal::missing(format!(
                "round {} was aborted: there are too few contributions, and no sum",
                self.id.round
            ))),
        }
    }

    /// Why there is nothing of a closed round yet.
    fn not_closed(&self) -> Refusal {
        let status = self.status();
        if let Some(reason) = self.halted() {
            return Refusal::new(
                Kind::Internal,
                format!(
                    "round {} could not be closed and is not tried again until a message comes or the aggregator is started again: {reason}",
                    status.round
                ),
            );
        }
        Refusal::missing(format!(
            "round {} is not closed: it is {} (contributions by now: {}, deadline {}; reviews: {} of {}); ask again later",
            status.round,
            status.state,
            status.received.len(),
            status.deadline.utc(),
            status.reviewed.len(),
            status.holders.len()
        ))
    }
}

/// What is stored of an opening is not what its holder signed: ours to mend, with the holder's help.
fn damaged(holder: &SiteId, cause: &dyn Display) -> Refusal {
    tracing::error!(%holder, %cause, "a stored opening is damaged");
    let detail = format!(
        "what the aggregator stored of the opening of {holder} is damaged, and it is not served; when {holder} runs `hold` for this round again, its opening is sent and stored anew: tell the aggregator's administrator"
    );
    Refusal::wanted(detail)
}
