//! A contribution's body: streamed to the store, resumable by offset, and the receipt at its end.

use std::sync::Arc;
use std::time::Duration;

use ringfence_crypto::Digest;
use ringfence_crypto::api::ContributionProgress;
use ringfence_crypto::id::{SiteId, UnixSeconds};
use ringfence_crypto::round::{AnnouncedContribution, Event, Verdict};
use ringfence_crypto::statement::Header;
use tokio::sync::OwnedSemaphorePermit;

use crate::core::incoming::Incoming;
use crate::core::refusal::{Kind, Refusal};
use crate::core::round::LiveRound;
use crate::core::uploading::UploadPlace;
use crate::store::blobs::BodyCheck;

/// One site's contribution to a round.
#[derive(Clone, Debug)]
pub(crate) struct LiveContribution {
    /// The round.
    pub(crate) live: Arc<LiveRound>,
    /// Whose contribution.
    pub(crate) site: SiteId,
}

/// One request with bytes of a body.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Where its bytes go.
    pub(crate) offset: u64,
    /// When its sender signed it.
    pub(crate) signed_at: UnixSeconds,
    /// Its place among the uploads at the same time.
    pub(crate) place: OwnedSemaphorePermit,
    /// Its bytes.
    pub(crate) bytes: Incoming,
}

impl LiveContribution {
    /// What the round has of it.
    pub(crate) fn known(&self) -> Result<AnnouncedContribution, Refusal> {
        Ok(self.live.read().contribution(&self.site)?.clone())
    }

    /// How far it has come. If it is complete but for its receipt (a crash came in between, or the
    /// envelopes came last), the receipt is issued now.
    pub(crate) async fn progress(&self) -> Result<ContributionProgress, Refusal> {
        // The round may have ended, or the body may have been a wrong one: the report says so.
        match self.settle().await {
            Err(refusal) if refusal.kind().is_ours() => Err(refusal),
            _ => self.report().await,
        }
    }

    /// How far it has come, changing nothing.
    pub(super) async fn report(&self) -> Result<ContributionProgress, Refusal> {
        let AnnouncedContribution { header, receipt, .. } = self.known()?;
        // What is wanted again has its receipt again once it is there.
        let receipt = receipt.filter(|_| !self.is_wanted());
        let blobs = self.live.served.blobs();
        let envelopes = match receipt.is_some() {
            true => blobs.has_envelopes(self.live.id, &self.site).await?,
            false => self.live.has_envelopes(&header.statement).await?,
        };
        let body_bytes = blobs.body_bytes(self.live.id, &self.site).await?;
        Ok(ContributionProgress { header: header.id(), envelopes, body_bytes, receipt })
    }

    /// Takes a piece of the body and answers how far the contribution has come.
    pub(crate) async fn upload(self, mut piece: Piece) -> Result<ContributionProgress, Refusal> {
        // A task of its own: when the client hangs up, what came is still stored.
        let task = tokio::spawn(async move {
            let outcome = self.take(&mut piece).await;
            let Piece { place, bytes, .. } = piece;
            drop(place);
            bytes.drain(self.live.served.body_bytes).await;
            outcome?;
            self.report().await
        });
        task.await.map_err(|error| Refusal::internal(&error))?
    }

    async fn take(&self, piece: &mut Piece) -> Result<(), Refusal> {
        let Piece { offset, signed_at, bytes, .. } = piece;
        let offset = *offset;
        let contribution = self.known()?;
        let wanted = self.is_wanted();
        if contribution.receipt.is_some() && !wanted {
            return Ok(());
        }
        if !wanted {
            // Refused now rather than at the end when collecting is over already.
            self.live.read().receipt(&self.site, self.live.now())?;
        }
        let header = contribution.header.statement;
        let place = self.begin(*signed_at, bytes.idle()).await?;
        let progress = self.report().await?;
        if !progress.envelopes {
            return Err(Refusal::conflict(format!(
                "the envelopes of {} are not stored; put them before the body",
                self.site
            )));
        }
        let stored = progress.body_bytes;
        if offset != stored {
            let detail = format!(
                "the body of {} has {stored} bytes so far, got offset {offset}; go on at offset={stored}",
                self.site
            );
            return Err(Refusal::new(Kind::Offset, detail));
        }
        if bytes.announced().is_some_and(|more| stored.saturating_add(more) > header.body_bytes) {
            return Err(too_long(&header));
        }
        let hashed = match stored < header.body_bytes {
            true => self.append(&header, stored, bytes, &place).await?,
            false => None,
        };
        self.complete(&header, &place, hashed).await
    }

    /// Streams to the store. Whatever happens, what is stored is a beginning of what was sent. Answers
    /// with the digest of the whole body, where it came in this one piece.
    async fn append(
        &self,
        header: &Header,
        mut stored: u64,
        bytes: &mut Incoming,
        place: &UploadPlace,
    ) -> Result<Option<Digest>, Refusal> {
        let mut hasher = (stored == 0).then(blake3::Hasher::new);
        let blobs = self.live.served.blobs();
        let clock = &self.live.served.shared.clock;
        place.heard(clock.moment());
        let mut body = blobs.append_body(self.live.id, &self.site).await?;
        let outcome = async {
            loop {
                let chunk = tokio::select! {
                    biased;
                    () = place.displaced() => return Err(self.displaced()),
                    chunk = bytes.next() => chunk?,
                };
                let Some(chunk) = chunk else { return Ok(()) };
                place.heard(clock.moment());
                stored += chunk.len() as u64;
                if stored > header.body_bytes {
                    return Err(too_long(header));
                }
                self.live.served.shared.metrics.body_came(chunk.len());
                if let Some(hasher) = &mut hasher {
                    hasher.update(&chunk);
                }
                body.write(chunk).await?;
            }
        }
        .await;
        // Also what came before an error is kept: the client goes on behind it.
        body.finish().await?;
        outcome.map(|()| hasher.as_ref().map(Digest::finish))
    }

    /// Issues the receipt if everything is there and it is not too late.
    async fn settle(&self) -> Result<(), Refusal> {
        let header = self.known()?.header.statement;
        let progress = self.report().await?;
        let now = self.live.now();
        let timely = self.live.read().receipt(&self.site, now).is_ok();
        if !(timely || self.is_wanted()) || !is_whole(&progress, &header) {
            return Ok(());
        }
        // While an upload runs, it is the one to finish.
        let Some(place) = self.live.uploads.try_begin(&self.site) else { return Ok(()) };
        self.complete(&header, &place, None).await
    }

    /// Checks, keeps and acknowledges a body all of whose bytes are there; nothing before.
    async fn complete(
        &self,
        header: &Header,
        _: &UploadPlace,
        hashed: Option<Digest>,
    ) -> Result<(), Refusal> {
        let progress = self.report().await?;
        if !is_whole(&progress, header) {
            return Ok(());
        }
        match self.live.served.blobs().finish_body(self.live.id, header, hashed).await? {
            BodyCheck::Right if self.is_wanted() => self.mend().await,
            BodyCheck::Right => self.acknowledge().await,
            BodyCheck::Discarded { got } => Err(Refusal::message(format!(
                "the body of {} has digest {got}, its header promises {}; it was discarded: send the promised bytes from offset=0",
                header.site, header.body
            ))),
        }
    }

    /// Whether the site is to send again what it has a receipt for.
    pub(super) fn is_wanted(&self) -> bool {
        self.live.read().wanted().any(|wanted| wanted.site == self.site)
    }

    /// Notes that what was damaged is there again, as the header promises it. The receipt stays.
    async fn mend(&self) -> Result<(), Refusal> {
        let site = self.site.clone();
        self.live.commit_among(move |round, now| round.mended(&site, now)).await
    }

    /// Signs and stores the receipt of a contribution whose body and envelopes are durable.
    async fn acknowledge(&self) -> Result<(), Refusal> {
        let (identity, site) = (self.live.served.shared.identity.clone(), self.site.clone());
        let receipt = self.live.commit_among(move |round, now| {
            if round.contribution(&site)?.receipt.is_some() {
                return Ok(Verdict::Repeat);
            }
            let receipt = round.receipt(&site, now)?;
            Ok(Verdict::Fresh(Event::Received(identity.sign(receipt))))
        });
        receipt.await
    }

    async fn begin(&self, signed_at: UnixSeconds, idle: Duration) -> Result<UploadPlace, Refusal> {
        let clock = &self.live.served.shared.clock;
        let place = self.live.uploads.begin(&self.site, signed_at, clock).await;
        place.ok_or_else(|| {
            Refusal::conflict(format!(
                "another upload of {} is running, signed in the same second or later; send this again, signed anew, to take its place, or once that one has been silent for a few seconds (it is given up after {} s)",
                self.site,
                idle.as_secs()
            ))
            .retry_after(1)
        })
    }

    fn displaced(&self) -> Refusal {
        Refusal::conflict(format!(
            "a newer upload of {} has taken the place of this one; what came is kept, and the newer one goes on behind it",
            self.site
        ))
    }
}

/// Whether all bytes are there and only the receipt is missing.
fn is_whole(progress: &ContributionProgress, header: &Header) -> bool {
    progress.receipt.is_none() && progress.envelopes && progress.body_bytes >= header.body_bytes
}

fn too_long(header: &Header) -> Refusal {
    Refusal::too_long(format!(
        "the header of {} promises a body of {} bytes, got more",
        header.site, header.body_bytes
    ))
}
