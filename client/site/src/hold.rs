//! A key holder's duties in a round: review, endorse, open.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::log::{LogEntry, LogHash};
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Closing, Header, Manifest, Receipt};
use ringfence_crypto::wire::frame;
use ringfence_keys::duties::holder::{
    self, CertifiedSet, ClosingView, Decision, Holder, HolderError, open_share_sum,
};
use ringfence_keys::duties::logged::{LogProofs, Seen};
use ringfence_keys::round_secret::RoundSecret;
use ringfence_keys::share::envelope::{EnvelopeError, open_envelope};
use ringfence_keys::share::share::Share;

use crate::error::SiteError;
use crate::site::Site;
use crate::transport::{TransportError, present};

/// What a holder did in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldReport {
    /// Dealers it complained about.
    pub complaints: Vec<SiteId>,
    /// Whether it opened a certified set; false after an abort.
    pub opened: bool,
}

impl Site {
    /// Does a key holder's duties in a round, from review to opening, waiting for the others.
    ///
    /// # Errors
    /// [`SiteError`] when this site is no holder, refuses what it is shown, or too few answer.
    pub async fn hold(&self, round: RoundNumber) -> Result<HoldReport, SiteError> {
        self.help_if_behind().await?;
        let manifest = self.manifest(round).await?.statement;
        let journal = self.journal.round(self.study_id, round)?;
        let mut holder = Holder::restore(
            Arc::clone(&self.study),
            self.id().clone(),
            self.journal.endorsements(self.study_id)?,
            self.journal.abstains_through(self.study_id)?,
            self.journal.last_closing(self.study_id)?.map(|last| Seen::from(&last.statement)),
        );
        if !self.holds(round) {
            let site = self.id().clone();
            return Err(HolderError::NoHolder { site, round }.into());
        }
        let complaints = match journal.opening()? {
            // The secret may be gone by now.
            Some(_) => Vec::new(),
            None => self.review(&manifest).await?,
        };
        let over = |state| !matches!(state, RoundState::Collecting | RoundState::Reviewing);
        self.wait_and_mend(round, "a closing", |status| over(status.state)).await?;
        self.endorse(&manifest, &mut holder).await?;

        let done = |state| !matches!(state, RoundState::Closed);
        let certified = |status: &RoundStatus| over(status.state) && done(status.state);
        self.wait_and_mend(round, "a certificate", certified).await?;
        let certificate = self.certificate(round).await?;
        if certificate.closing.statement.is_abort() {
            self.destroy_round_secret(round)?;
            return Ok(HoldReport { complaints, opened: false });
        }
        let frame = match journal.opening()? {
            Some(frame) => frame,
            None => {
                let set = holder.may_open(&manifest, &certificate)?;
                let frame = self.opening(&manifest, &set).await?;
                let frame = frame::encode(&frame).map_err(TransportError::from)?;
                journal.save_opening(&frame)?;
                frame
            }
        };
        let frame: OpeningFrame =
            frame::decode(&frame, "an opening").map_err(TransportError::from)?;
        // What was dealt is summed and durable: the key that it came under is not needed again.
        self.destroy_round_secret(round)?;
        self.at(round).put_opening(&frame).await?;
        Ok(HoldReport { complaints, opened: true })
    }

    /// Opens every envelope that was dealt to this holder and posts its review.
    async fn review(&self, manifest: &Manifest) -> Result<Vec<SiteId>, SiteError> {
        let round = manifest.round;
        let status = self
            .wait(round, "the end of its contributions", |s| s.state != RoundState::Collecting)
            .await?;
        if status.state != RoundState::Reviewing || status.reviewed.contains(self.id()) {
            return Ok(Vec::new());
        }
        let secret = self.round_secret(manifest)?;
        let mut complaints = BTreeSet::new();
        for dealer in &status.received {
            let header = self.header(round, dealer).await?;
            let late = |state| state != RoundState::Reviewing;
            // What the aggregator lost is no fault of the dealer's.
            let Some(sealed) = self.sealed(&header.statement, late).await? else { continue };
            if self.dealt(secret.as_ref(), &header.statement, &sealed).is_err() {
                complaints.insert(dealer.clone());
            }
        }
        let review = holder::review(&self.identity, manifest, complaints);
        // Kept, to be sent back should the aggregator lose it.
        self.journal.round(self.study_id, round)?.save_review(&review)?;
        match self.at(round).put_review(&review).await {
            Ok(()) => Ok(review.statement.complaints),
            // The time to review is over: the closing stands without this holder's word.
            Err(error) if error.status() == Some(409) => Ok(review.statement.complaints),
            Err(error) => Err(error.into()),
        }
    }

    async fn endorse(&self, manifest: &Manifest, holder: &mut Holder) -> Result<(), SiteError> {
        let round = manifest.round;
        let closing = self.at(round).closing().await?;
        let reviews = self.at(round).reviews().await?;
        let named = &closing.statement;
        let mut headers = Vec::new();
        let sites = named.included.iter().map(|entry| &entry.site);
        for site in sites.chain(named.excluded.iter().map(|entry| &entry.site)) {
            headers.push(self.header(round, site).await?);
        }
        let journal = self.journal.round(self.study_id, round)?;
        let receipt = journal.receipt()?;
        let log = self.log_proofs(manifest, named, receipt.as_ref(), holder.seen()).await?;
        let view = ClosingView {
            manifest,
            closing: &closing,
            headers: &headers,
            reviews: &reviews,
            receipt: receipt.as_ref(),
            log: &log,
        };
        let decision = holder.endorse(view);
        if let Err(HolderError::Log(_)) = &decision {
            // Its signature has been checked: with the closing before, it is the evidence.
            journal.save_refused(&closing)?;
        }
        let endorsement = match decision? {
            Decision::Repeat(endorsement) => endorsement,
            Decision::Fresh(endorsement) => {
                journal.endorse(&endorsement)?;
                endorsement
            }
        };
        // After a crash between the two, the repeat comes here, too.
        journal.save_closing(&closing)?;
        holder.record(endorsement.clone(), named);
        self.at(round).put_endorsement(&self.identity.sign(endorsement)).await?;
        Ok(())
    }

    /// Fetches what shows that a closing's checkpoint contains what it must, and is of the log that
    /// this site has seen. The holder checks it.
    async fn log_proofs(
        &self,
        manifest: &Manifest,
        closing: &Closing,
        receipt: Option<&Signed<Receipt>>,
        seen: Option<Seen>,
    ) -> Result<LogProofs, SiteError> {
        let entries = closing.logged(manifest, receipt.map(|receipt| &receipt.statement));
        let leaves: Vec<LogHash> = entries.iter().map(LogEntry::leaf).collect();
        let size = closing.checkpoint.size;
        let inclusion = self.transport.inclusion(self.study_id, size, &leaves).await?;
        let mut consistency = None;
        if let Some(seen) = seen.map(|seen| seen.checkpoint.size) {
            let (from, to) = (seen.min(size), seen.max(size));
            // An aggregator that has lost a part of its log cannot prove anything about it: the
            // holder says so.
            consistency = present(self.transport.consistency(self.study_id, from, to).await)?;
        }
        Ok(LogProofs { inclusion, consistency })
    }

    async fn opening(
        &self,
        manifest: &Manifest,
        set: &CertifiedSet<'_>,
    ) -> Result<OpeningFrame, SiteError> {
        let secret = self.round_secret(manifest)?;
        let mut shares = Vec::new();
        for (site, named) in set.sites() {
            let header = self.header(manifest.round, site).await?;
            // A dealer with at most c complaints stays in the set; a holder that it cheated cannot
            // open, which the threshold allows for: it is one of the missing shares then.
            let Some(sealed) = self.sealed(&header.statement, |_| false).await? else { continue };
            match self.dealt(secret.as_ref(), &header.statement, &sealed) {
                Ok(share) if header.id() == named => shares.push((site.clone(), share)),
                _ => {}
            }
        }
        let mut rng =
            ringfence_keys::system_rng().map_err(|e| SiteError::Randomness(e.to_string()))?;
        Ok(open_share_sum(&self.identity, &self.study, set, &shares, &mut rng)?)
    }

    async fn header(&self, round: RoundNumber, site: &SiteId) -> Result<Signed<Header>, SiteError> {
        Ok(self.at(round).header(site).await?)
    }

    /// What a contribution's header seals to this holder; nothing once the round is `over` and the
    /// aggregator has not got again what it lost.
    async fn sealed(
        &self,
        header: &Header,
        over: fn(RoundState) -> bool,
    ) -> Result<Option<Vec<u8>>, SiteError> {
        let end = self.clock.moment().after(self.patience);
        loop {
            let error = match present(self.at(header.round).envelope(&header.site, self.id()).await)
            {
                Err(error) if error.is_busy() => error,
                sealed => return Ok(Some(sealed?.unwrap_or_default())),
            };
            if self.mend(header.round, error, end, over).await? {
                return Ok(None);
            }
        }
    }

    /// The share that a contribution's header deals to this holder; an error is the dealer's fault.
    fn dealt(
        &self,
        secret: Option<&RoundSecret>,
        header: &Header,
        sealed: &[u8],
    ) -> Result<Share, EnvelopeError> {
        open_envelope(&self.identity, secret, &self.study, header, sealed)
    }
}
