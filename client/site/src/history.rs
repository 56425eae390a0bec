//! The rounds before: every manifest stands on a certificate, every model on acknowledgements.

use std::pin::pin;
use std::sync::PoisonError;
use std::time::Duration;

use ringfence_crypto::id::{ClosingId, ModelId, RoundNumber};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Freeze, Manifest, Outcome, Previous,
};

use crate::error::SiteError;
use crate::journal::RoundJournal;
use crate::round_wait::RoundWait;
use crate::site::{A_MOMENT, Hidden, Site};
use crate::transport::present;

/// How long acknowledgements are waited for before anybody is told.
const SOON: Duration = Duration::from_secs(5);

impl Site {
    /// The checked manifest of a round; kept, and what this site signs binds it to it.
    pub(crate) fn manifest(&self, round: RoundNumber) -> Hidden<'_, Signed<Manifest>> {
        Box::pin(self.manifest_after_all_before(round))
    }

    async fn manifest_after_all_before(
        &self,
        round: RoundNumber,
    ) -> Result<Signed<Manifest>, SiteError> {
        // Rounds are checked from the last one that is on disk: each stands on the one before. Upwards,
        // so that a round that does not exist ends it at the first one that is missing.
        // Or from one whose certificate a power cut has taken: it is asked for again.
        if round < self.first {
            return self.for_round(round).manifest(round).await;
        }
        self.is_under(round)?;
        let known = self.journal.first_to_check(self.study_id, round)?;
        if known.is_none()
            && let Some(last) = self.first.before()
        {
            // The first round of a roster stands on the last one of the roster before.
            let before = self.for_round(last);
            before.manifest(last).await?;
            before.certificate(last).await?;
        }
        let mut first = known.unwrap_or(self.first);
        while first < round {
            self.checked_manifest(first).await?;
            self.certificate(first).await?;
            first = first.next();
        }
        self.checked_manifest(round).await
    }

    async fn checked_manifest(&self, round: RoundNumber) -> Result<Signed<Manifest>, SiteError> {
        let journal = self.journal.round(self.study_id, round)?;
        let known = journal.manifest()?;
        if let Some(known) = known {
            return self.unless_another(&journal, known).await;
        }
        let manifest = self.at(round).manifest().await?;
        let previous = self.manifest_follows(round, &manifest).await?;
        if let Some(Previous { round: last, trust, .. }) = &previous {
            // The manifest names it, so it is final. First, for a manifest on disk stands on it.
            self.trust_is_final(*last, trust)?;
        }
        journal.save_manifest(&manifest)?;
        self.same_manifest.done(round, self.clock.moment());
        Ok(manifest)
    }

    /// The manifest that is kept, or the one that the aggregator shows now. An honest initiator signs
    /// a second one where the first lacked round keys, and an aggregator may show both. A site that
    /// has signed nothing under the first one goes with the others; what it has signed binds it until
    /// a certificate names the other one ([`Site::certificate`]).
    async fn unless_another(
        &self,
        journal: &RoundJournal,
        known: Signed<Manifest>,
    ) -> Result<Signed<Manifest>, SiteError> {
        let round = known.statement.round;
        if journal.certificate()?.is_some() || journal.has_signed()? {
            return Ok(known);
        }
        if self.same_manifest.is_within(&round, A_MOMENT, self.clock.moment()) {
            return Ok(known);
        }
        match self.at(round).manifest().await {
            Ok(shown) if shown.id() != known.id() => {
                self.manifest_follows(round, &shown).await?;
                journal.replace_manifest(&known, &shown)?;
                Ok(shown)
            }
            // What it does not show now changes nothing.
            _ => {
                self.same_manifest.done(round, self.clock.moment());
                Ok(known)
            }
        }
    }

    /// Checks a manifest of a round; what it stands on.
    async fn manifest_follows(
        &self,
        round: RoundNumber,
        manifest: &Signed<Manifest>,
    ) -> Result<Option<Previous>, SiteError> {
        let previous = match round.before() {
            None => None,
            Some(last) => {
                let of = self.for_round(last);
                let certificate = of.journal.round(of.study_id, last)?.certificate()?;
                let certificate = certificate.ok_or(SiteError::NoCertificate(last))?;
                Some(self.carried(of.previous(last, &certificate).await?))
            }
        };
        Manifest::check(manifest, &self.study, self.study_id, previous.as_ref())?;
        if manifest.statement.round != round {
            return Err(SiteError::NoManifest(round));
        }
        self.caught_up(|now| manifest.statement.check_clock(now, "this site's")).await?;
        Ok(previous)
    }

    /// The checked certificate of a round whose manifest is on disk, fetched if need be.
    pub(crate) async fn certificate(&self, round: RoundNumber) -> Result<Certificate, SiteError> {
        let journal = self.journal.round(self.study_id, round)?;
        if let Some(known) = journal.certificate()? {
            return Ok(known);
        }
        let manifest = journal.manifest()?.ok_or(SiteError::NoManifest(round))?;
        let certificate = self.at(round).certificate().await?;
        let manifest = self.certified_manifest(&journal, manifest, &certificate).await?;
        certificate.check(&self.study, &manifest.statement)?;
        self.certified_freeze(&journal, &manifest.statement, &certificate).await?;
        journal.save_certificate(&certificate)?;
        Ok(certificate)
    }

    /// The manifest that a certificate stands on. It replaces the one on disk: Q holders have signed
    /// that it is the round's, and there can be no second certificate. Not where this site has endorsed
    /// a closing under its own.
    async fn certified_manifest(
        &self,
        journal: &RoundJournal,
        kept: Signed<Manifest>,
        certificate: &Certificate,
    ) -> Result<Signed<Manifest>, SiteError> {
        let round = kept.statement.round;
        let named = certificate.closing.statement.manifest;
        if named == kept.id() || journal.endorsement()?.is_some() {
            return Ok(kept);
        }
        let shown = self.at(round).manifest().await?;
        if shown.id() != named {
            return Ok(kept);
        }
        self.manifest_follows(round, &shown).await?;
        certificate.check(&self.study, &shown.statement)?;
        journal.replace_manifest(&kept, &shown)?;
        Ok(shown)
    }

    /// Takes the freeze that a checked certificate names instead of another one on disk. To review,
    /// a site believes one freeze only; which one counts is certified.
    async fn certified_freeze(
        &self,
        journal: &RoundJournal,
        manifest: &Manifest,
        certificate: &Certificate,
    ) -> Result<(), SiteError> {
        let named = certificate.closing.statement.freeze;
        let Some(kept) = journal.freeze()?.filter(|kept| kept.id() != named) else {
            return Ok(());
        };
        let shown = self.at(manifest.round).freeze().await?;
        if shown.id() != named {
            let (kept, round) = (kept.id(), manifest.round);
            return Err(SiteError::FreezeNotShown { round, named, kept });
        }
        Freeze::check(&shown, &self.study, manifest, &self.trust_before(manifest.round)?)?;
        Ok(journal.replace_freeze(&kept, &shown)?)
    }

    /// What the round after this one stands on.
    pub(crate) async fn ended(&self, round: RoundNumber) -> Result<Previous, SiteError> {
        let of = self.for_round(round);
        of.manifest(round).await?;
        let certificate = of.certificate(round).await?;
        Ok(self.carried(of.previous(round, &certificate).await?))
    }

    /// The same without the sites that were gone before the next round.
    fn carried(&self, previous: Previous) -> Previous {
        let Previous { round, trust, .. } = &previous;
        let trust = self.lineage.carried(trust, *round, round.next());
        Previous { trust, ..previous }
    }

    async fn previous(
        &self,
        round: RoundNumber,
        certificate: &Certificate,
    ) -> Result<Previous, SiteError> {
        let trust = self.trust_after(round, certificate).await?;
        let closing = &certificate.closing;
        Ok(Previous { round, closing: closing.id(), closed_at: closing.statement.closed_at, trust })
    }

    /// Refuses to go on from a model that the sites have not agreed on: before the first opened
    /// set it must be the study's initial model, afterwards one that Q sites acknowledged.
    pub(crate) async fn agreed(
        &self,
        round: RoundNumber,
        base_model: ModelId,
    ) -> Result<(), SiteError> {
        let Some((last, closing)) = self.last_opened(round).await? else {
            let expected = self.study.initial_model;
            if base_model != expected {
                return Err(SiteError::NotInitialModel { expected, got: base_model });
            }
            return Ok(());
        };
        // It was agreed on under the roster of its round.
        let of = self.for_round(last);
        let needed = of.study.threshold.endorsements;
        let own = Outcome::Applied { model: of.check_key()?.model(&base_model) };
        let agreed = (last, closing, own);
        if *self.agreed_on.lock().unwrap_or_else(PoisonError::into_inner) == Some(agreed) {
            return Ok(());
        }
        let deadline = self.clock.moment().after(self.patience);
        let mut status = of.look_again(last).await?;
        loop {
            let is_over = self.clock.moment() >= deadline;
            // Where fewer have said anything, no more can agree.
            if is_over || status.acknowledged.len() >= usize::from(needed) {
                let agreeing = of.agreeing(last, closing, &own).await?;
                if agreeing >= usize::from(needed) {
                    return of.agreed_upon(last, closing, own);
                }
                // Those who have not said yet may still agree.
                let to_come = of.study.roster.len().saturating_sub(status.acknowledged.len());
                if is_over || agreeing + to_come < usize::from(needed) {
                    return Err(SiteError::NotAgreed { round: last, needed, agreeing });
                }
            }
            self.attend().await?;
            // Acknowledgements are events of their round. One that came in between is asked for at
            // once: the wait is for what comes after those that were counted.
            let left = deadline.since(self.clock.moment());
            let mut changed = pin!(of.changed(last, status.version, left));
            status = tokio::select! {
                biased;
                changed = &mut changed => changed?,
                // Most often they come at once, and nobody need hear of it.
                () = self.clock.sleep(SOON) => {
                    let until = self.clock.now().after(left.as_secs());
                    self.tell_agreement(RoundWait::of_agreement(&of.study, &status, until));
                    changed.await?
                }
            };
        }
    }

    /// Q sites hold one model of a round: nothing of it is in dispute any more, and what this site
    /// could open of its keys is destroyed; for good with [`Site::destroyed`].
    pub(crate) fn settle(&self, round: RoundNumber) -> Result<(), SiteError> {
        self.journal.round(self.study_id, round)?.settle()?;
        Ok(self.journal.round_keys(self.study_id)?.destroy(round)?)
    }

    /// Makes durable what has been destroyed in this round, of it or of the one before.
    pub(crate) fn destroyed(&self) -> Result<(), SiteError> {
        Ok(self.journal.round_keys(self.study_id)?.sync_destroyed()?)
    }

    /// Settles a certified round if Q sites hold one model of it by now.
    pub(crate) async fn settle_if_agreed(
        &self,
        round: RoundNumber,
        closing: ClosingId,
    ) -> Result<(), SiteError> {
        let needed = usize::from(self.study.threshold.endorsements);
        if self.look_again(round).await?.acknowledged.len() < needed {
            return Ok(());
        }
        let acknowledgements = self.agreed_acknowledgements(round).await?;
        let mut models: Vec<Outcome> = Vec::new();
        for signed in &acknowledgements {
            let outcome = signed.statement.outcome;
            if outcome != Outcome::Failed && !models.contains(&outcome) {
                models.push(outcome);
            }
        }
        let agreed = |model: &&Outcome| self.count(&acknowledgements, closing, model) >= needed;
        let Some(model) = models.iter().find(agreed) else { return Ok(()) };
        self.agreed_upon(round, closing, *model)
    }

    /// Q sites hold this model of a round.
    fn agreed_upon(
        &self,
        round: RoundNumber,
        closing: ClosingId,
        model: Outcome,
    ) -> Result<(), SiteError> {
        let mut agreed_on = self.agreed_on.lock().unwrap_or_else(PoisonError::into_inner);
        *agreed_on = Some((round, closing, model));
        self.settle(round)
    }

    /// The last round before this one whose set was opened, with its closing.
    pub(crate) async fn last_opened(
        &self,
        round: RoundNumber,
    ) -> Result<Option<(RoundNumber, ClosingId)>, SiteError> {
        let mut last = round;
        while let Some(number) = last.before() {
            last = number;
            let of = self.for_round(number);
            of.manifest(number).await?;
            let certificate = of.certificate(number).await?;
            if !certificate.closing.statement.is_abort() {
                return Ok(Some((number, certificate.closing.id())));
            }
        }
        Ok(None)
    }

    /// How many sites have signed this outcome of a round.
    pub(crate) async fn agreeing(
        &self,
        round: RoundNumber,
        closing: ClosingId,
        outcome: &Outcome,
    ) -> Result<usize, SiteError> {
        let acknowledgements = self.agreed_acknowledgements(round).await?;
        Ok(self.count(&acknowledgements, closing, outcome))
    }

    /// The acknowledgements of enough sites that hold one model, or all where they do not: of 1,000
    /// sites a few suffice.
    async fn agreed_acknowledgements(
        &self,
        round: RoundNumber,
    ) -> Result<Vec<Signed<Acknowledgement>>, SiteError> {
        match present(self.at(round).agreed().await)? {
            Some(enough) => Ok(enough),
            None => Ok(self.at(round).acknowledgements().await?),
        }
    }

    fn count(
        &self,
        acknowledgements: &[Signed<Acknowledgement>],
        closing: ClosingId,
        outcome: &Outcome,
    ) -> usize {
        let sites = self.study.roster.iter().filter(|site| {
            acknowledgements.iter().any(|signed| {
                let statement = &signed.statement;
                statement.site == site.id
                    && statement.closing == closing
                    && statement.outcome == *outcome
                    && signed.verify(&site.signature_key, &site.id).is_ok()
            })
        });
        sites.count()
    }
}
