//! A key holder's duties in a round: review, endorse, open.

use std::sync::Arc;

use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::id::{HeaderId, RoundNumber, SiteId};
use ringfence_crypto::log::{LogEntry, LogHash};
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Closing, Manifest, Receipt};
use ringfence_crypto::wire::frame;
use ringfence_keys::duties::holder::{
    CertifiedSet, ClosingView, Decision, Holder, HolderError, open_share_sum,
};
use ringfence_keys::duties::logged::{LogProofs, Seen};
use ringfence_keys::share::dealt::DealtShare;
use ringfence_keys::share::envelope::Complaint;

use crate::error::SiteError;
use crate::site::{Hidden, Site};
use crate::transport::{Openings, TransportError, present};
use crate::wait::Awaited;

/// What a holder did in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldReport {
    /// What it complained about, each with the dealer.
    pub complaints: Vec<Complaint>,
    /// Whether it opened a certified set; false after an abort, or where it was cheated.
    pub opened: bool,
    /// Dealers of the certified set that dealt it no share: it cannot open, and the others do without
    /// it, as the threshold allows for.
    pub cheated_by: Vec<SiteId>,
}

impl Site {
    /// Does a key holder's duties in a round, from review to opening, waiting for the others.
    ///
    /// # Errors
    /// [`SiteError`] when this site is no holder, refuses what it is shown, or too few answer.
    pub async fn hold(&self, round: RoundNumber) -> Result<HoldReport, SiteError> {
        let held: Hidden<'_, HoldReport> = Box::pin(self.duties(round));
        held.await
    }

    async fn duties(&self, round: RoundNumber) -> Result<HoldReport, SiteError> {
        self.takes_part(round)?;
        self.help_if_behind().await?;
        let (manifest, answered) = tokio::join!(self.manifest(round), self.attend());
        let manifest = manifest?.statement;
        answered?;
        let journal = self.journal.round(self.study_id, round)?;
        if !self.holds(round) {
            let site = self.id().clone();
            return Err(HolderError::NoHolder { site, round }.into());
        }
        let mut holder = self.holder()?;
        holder.takes_part(&manifest)?;
        if let Err(left_out) = self.names_own_round_key(&manifest) {
            return self.end_left_out(&manifest, &mut holder, left_out).await;
        }
        let (complaints, reviewed) = match journal.is_settled()? {
            // The secret is gone by now.
            true => (Vec::new(), None),
            false => {
                let (complaints, status) = self.review(&manifest, &mut holder).await?;
                (complaints, Some(status))
            }
        };
        let over = |state| !matches!(state, RoundState::Collecting | RoundState::Reviewing);
        self.wait_and_mend_from(reviewed, round, Awaited::Closing, |status| over(status.state))
            .await?;
        let endorsed = self.endorse(&manifest, &mut holder).await?;

        let done = |state| !matches!(state, RoundState::Closed);
        let certified = |status: &RoundStatus| over(status.state) && done(status.state);
        self.wait_and_mend_from(Some(endorsed), round, Awaited::Certificate, certified).await?;
        let certificate = self.certificate(round).await?;
        if certificate.closing.statement.is_abort() {
            // Nothing is ever opened.
            self.settle(round)?;
            self.destroyed()?;
            return Ok(HoldReport { complaints, opened: false, cheated_by: Vec::new() });
        }
        let frame = match journal.opening(Openings::Sum)? {
            Some(frame) => {
                journal.sync()?;
                frame
            }
            None => {
                let set = holder.may_open(&manifest, &certificate)?;
                let named: Vec<(SiteId, HeaderId)> =
                    set.sites().map(|(site, header)| (site.clone(), header)).collect();
                // A wrong envelope is an error instead, and named: the aggregator's.
                let shares = self.shares(&manifest, &named).await?;
                let dealt = |site: &SiteId| shares.iter().any(|(dealer, _)| dealer == site);
                let cheated_by: Vec<SiteId> =
                    named.into_iter().map(|(site, _)| site).filter(|site| !dealt(site)).collect();
                if !cheated_by.is_empty() {
                    return Ok(HoldReport { complaints, opened: false, cheated_by });
                }
                let frame = self.opening(&set, &shares)?;
                let frame = frame::encode(&frame).map_err(TransportError::from)?;
                journal.save_opening(Openings::Sum, &frame)?;
                frame
            }
        };
        let frame: OpeningFrame =
            frame::decode(&frame, "an opening").map_err(TransportError::from)?;
        // What was dealt is kept until Q sites hold one model: a dispute may ask for it.
        self.at(round).put_opening(Openings::Sum, &frame).await?;
        Ok(HoldReport { complaints, opened: true, cheated_by: Vec::new() })
    }

    /// Endorses the closing of a round whose manifest leaves out this site's round key, and does
    /// nothing else in it. What was sealed to its long-term key is sealed, whether the round ends or
    /// not; the rounds after it are open to this site only when it ends.
    async fn end_left_out(
        &self,
        manifest: &Manifest,
        holder: &mut Holder,
        left_out: SiteError,
    ) -> Result<HoldReport, SiteError> {
        let round = manifest.round;
        let over = |state| !matches!(state, RoundState::Collecting | RoundState::Reviewing);
        let closed = self.wait_and_mend(round, Awaited::Closing, |status| over(status.state)).await;
        if closed.is_ok() {
            self.endorse(manifest, holder).await?;
        }
        Err(left_out)
    }

    /// This site as a key holder, with everything that it has said.
    pub(crate) fn holder(&self) -> Result<Holder, SiteError> {
        Ok(Holder::restore(
            Arc::clone(&self.study),
            self.id().clone(),
            self.journal.holder_records(self.study_id)?,
            self.abstention()?,
            self.last_closing()?.map(|last| Seen::from(&last.statement)),
        ))
    }

    /// Endorses the closing; how the round stands then.
    async fn endorse(
        &self,
        manifest: &Manifest,
        holder: &mut Holder,
    ) -> Result<RoundStatus, SiteError> {
        let round = manifest.round;
        let closing = self.at(round).closing().await?;
        let named = &closing.statement;
        let proven = self.own_round_keys_logged(manifest, &closing);
        let (freeze, trust) = (self.freeze(manifest).await?, self.trust_before(round)?);
        let journal = self.journal.round(self.study_id, round)?;
        self.recall_receipt(&journal).await?;
        let receipt = journal.receipt()?;
        let (reviews, headers, log, own_keys) = tokio::join!(
            self.reviews(named, &freeze.statement),
            self.frozen_headers(manifest, &freeze.statement),
            self.log_proofs(manifest, named, receipt.as_ref(), holder.seen()),
            proven,
        );
        let (reviews, headers, log) = (reviews?, headers?, log?);
        let view = ClosingView {
            manifest,
            trust: &trust,
            freeze: &freeze,
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
            Decision::Repeat(endorsement) => {
                if journal.closing()?.is_none() {
                    journal.save_closing(&closing)?;
                }
                journal.sync()?;
                endorsement
            }
            Decision::Fresh(endorsement) => {
                if matches!(own_keys, Err(SiteError::RoundKeysNotLogged { .. })) {
                    // With its signature, which has been checked, it is the evidence.
                    journal.save_refused(&closing)?;
                }
                own_keys?;
                self.caught_up(|now| named.check_clock(now)).await?;
                journal.endorse(&endorsement, &closing)?;
                endorsement
            }
        };
        holder.record(endorsement.clone(), named);
        let status = self.at(round).put_endorsement(&self.identity.sign(endorsement)).await?;
        self.saw(&status);
        Ok(status)
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
        // An aggregator that has lost a part of its log cannot prove anything about it: the holder
        // says so.
        let consistent = async {
            let Some(seen) = seen.map(|seen| seen.checkpoint.size) else { return Ok(None) };
            let (from, to) = (seen.min(size), seen.max(size));
            present(self.transport.consistency(self.first_study, from, to).await)
        };
        let (inclusion, consistency) =
            tokio::join!(self.transport.inclusion(self.first_study, size, &leaves), consistent);
        let inclusion = match inclusion {
            Err(error) if error.is_missing() => {
                let (round, contributed) = (closing.round, receipt.is_some());
                return Err(SiteError::NotInLog { round, contributed, source: error });
            }
            inclusion => inclusion?,
        };
        Ok(LogProofs { inclusion, consistency: consistency? })
    }

    fn opening(
        &self,
        set: &CertifiedSet<'_>,
        shares: &[(SiteId, DealtShare)],
    ) -> Result<OpeningFrame, SiteError> {
        let mut rng =
            ringfence_keys::system_rng().map_err(|e| SiteError::Randomness(e.to_string()))?;
        Ok(open_share_sum(&self.identity, &self.study, set, shares, &mut rng)?)
    }
}
