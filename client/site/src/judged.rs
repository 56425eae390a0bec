//! What the reviews of a round come to: the freeze, the judgement, whose openings count, and the
//! trust that the round leaves.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ringfence_crypto::dealing::{Judge, Judgement, Reviewed, Trust};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Certificate, Closing, Freeze, Manifest, Proceedings, Review, Settled, Study,
};
use tokio::sync::Mutex;

use crate::error::SiteError;
use crate::site::Site;
use crate::transport::RoundTransport;

/// The reviews of a certified round, judged.
#[derive(Debug)]
pub(crate) struct Judged {
    window: Vec<SiteId>,
    dealers: Vec<SiteId>,
    /// Trust before the round.
    pub(crate) trust: Trust,
    listed: Vec<Reviewed>,
    /// Reviews beside those, as far as they were asked for.
    late: Mutex<Vec<Reviewed>>,
    freeze: Signed<Freeze>,
    /// What follows from the reviews that the closing lists.
    pub(crate) judgement: Judgement,
    /// The file that keeps the reviews, if they have changed trust.
    pub(crate) changed_by: Option<PathBuf>,
}

impl Site {
    /// The freeze of a round whose manifest is on disk, checked and kept.
    pub(crate) async fn freeze(&self, manifest: &Manifest) -> Result<Signed<Freeze>, SiteError> {
        let round = manifest.round;
        let journal = self.journal.round(self.study_id, round)?;
        if let Some(known) = journal.freeze()? {
            return Ok(known);
        }
        let trust = self.trust_before(round)?;
        let freeze = self.at(round).freeze().await?;
        Freeze::check(&freeze, &self.study, manifest, &trust)?;
        journal.save_freeze(&freeze)?;
        Ok(freeze)
    }

    /// Trust before a round whose manifest is on disk: that manifest names it.
    pub(crate) fn trust_before(&self, round: RoundNumber) -> Result<Trust, SiteError> {
        if round == RoundNumber::FIRST {
            return Ok(Trust::default());
        }
        let known = self.journal.round(self.study_id, round)?.trust_before()?;
        known.ok_or(SiteError::NoManifest(round))
    }

    /// Trust after a round: by its reviews, and by what was certified of it since.
    pub(crate) async fn trust_after(
        &self,
        round: RoundNumber,
        certificate: &Certificate,
    ) -> Result<Trust, SiteError> {
        let journal = self.journal.round(self.study_id, round)?;
        if let Some(known) = self.final_trust(round)? {
            return Ok(known);
        }
        let judged = match journal.judged_trust()? {
            Some(known) => known,
            None => {
                let manifest = journal.manifest()?.ok_or(SiteError::NoManifest(round))?.statement;
                self.judged(&manifest, certificate).await?.judgement.trust
            }
        };
        // Once Q sites hold one model of it nothing of a round is in dispute any more.
        let status = match journal.is_settled()? {
            true => self.look_again(round).await?,
            false => self.look(round).await?,
        };
        let proceedings = self.proceedings(certificate, &status).await?;
        Ok(proceedings.bar(judged))
    }

    /// Trust after a round, once the next manifest, which names it, is on disk.
    fn final_trust(&self, round: RoundNumber) -> Result<Option<Trust>, SiteError> {
        Ok(self.journal.round(self.study_id, round.next())?.trust_before()?)
    }

    /// Keeps the trust after a round, which the next manifest names: it is final. The round's reviews
    /// are needed no more then, unless they show others why trust has changed.
    pub(crate) fn trust_is_final(
        &self,
        round: RoundNumber,
        trust: &Trust,
    ) -> Result<(), SiteError> {
        if round < self.first {
            // Of the roster before, whose reviews stay: who comes later judges them again.
            return Ok(self.journal.round(self.study_id, self.first)?.save_trust_before(trust)?);
        }
        let journal = self.journal.round(self.study_id, round)?;
        if journal.judged_trust()? == Some(self.trust_before(round)?) {
            // First: once trust is kept, nobody comes back to delete them.
            journal.delete_reviews()?;
        }
        Ok(self.journal.round(self.study_id, round.next())?.save_trust_before(trust)?)
    }

    /// The reviews that a closing lists: those on disk, or fetched ones, which are kept until the
    /// round's trust is final. What is fetched may be wrong: whoever judges it says so.
    pub(crate) async fn reviews(
        &self,
        closing: &Closing,
        freeze: &Freeze,
    ) -> Result<Vec<Signed<Review>>, SiteError> {
        let journal = self.journal.round(self.study_id, closing.round)?;
        let are_listed = |reviews: &Vec<_>| closing.judged(&self.study, freeze, reviews).is_ok();
        if let Some(kept) = journal.reviews().filter(are_listed) {
            return Ok(kept);
        }
        let mut reviews = self.at(closing.round).reviews().await?;
        if are_listed(&reviews) {
            reviews.retain(|review| closing.reviews.contains(&review.id()));
            if self.final_trust(closing.round)?.is_none() {
                journal.save_reviews(&reviews)?;
            }
        }
        Ok(reviews)
    }

    /// Judges the reviews that a certified closing lists.
    pub(crate) async fn judged(
        &self,
        manifest: &Manifest,
        certificate: &Certificate,
    ) -> Result<Judged, SiteError> {
        let round = manifest.round;
        let freeze = self.freeze(manifest).await?;
        let trust = self.trust_before(round)?;
        let closing = &certificate.closing.statement;
        let reviews = self.reviews(closing, &freeze.statement).await?;
        let listed = closing.judged(&self.study, &freeze.statement, &reviews)?;
        let (window, dealers) = (self.study.window(round), freeze.statement.dealers());
        let judge = Judge::of(&self.study, &window, &dealers, &trust);
        let judgement = judge.judge(&listed).map_err(|broken| SiteError::Closing(broken.into()))?;
        let journal = self.journal.round(self.study_id, round)?;
        if journal.judged_trust()?.is_none() {
            journal.save_judged_trust(&judgement.trust)?;
        }
        let mut changed_by = None;
        if judgement.trust != trust {
            // With the freeze and the certificate, which are kept too, they show others why.
            journal.keep_reviews(&reviews)?;
            changed_by = Some(journal.reviews_file());
        }
        let late = Mutex::default();
        Ok(Judged { window, dealers, trust, listed, late, freeze, judgement, changed_by })
    }

    /// Window offsets of the holders whose openings count: by the reviews judged, and, if others of
    /// those that `opened` have reviewed meanwhile, by their reviews.
    pub(crate) async fn openers(
        &self,
        judged: &Judged,
        set: &[SiteId],
        opened: &[SiteId],
        status: &RoundStatus,
    ) -> Result<BTreeSet<usize>, SiteError> {
        let Judged { window, dealers, trust, listed, freeze, judgement, .. } = judged;
        let mut late = judged.late.lock().await;
        let lacks = |holder: &SiteId| {
            let mut at_hand = listed.iter().chain(&*late);
            status.reviewed.contains(&self.study.roster, holder)
                && !judgement.aside.contains(holder)
                && !at_hand.any(|review| review.holder == *holder)
        };
        if opened.iter().any(lacks) {
            let mut reviews = self.at(freeze.statement.round).reviews_by_now().await?;
            reviews.retain(|review| Review::check(review, &self.study, &freeze.statement).is_ok());
            *late = reviews.iter().map(|review| review.statement.reviewed()).collect();
        }
        let judge = Judge::of(&self.study, window, dealers, trust);
        let openers = judge.openers(judgement, set, listed, &late);
        let offsets = window.iter().enumerate().filter(|(_, holder)| openers.contains(*holder));
        Ok(offsets.map(|(offset, _)| offset).collect())
    }

    /// What was certified of a round after its closing, as far as its status says that anything was.
    /// A verdict that the aggregator hides is missed: then the next manifest names another trust.
    pub(crate) async fn proceedings(
        &self,
        certificate: &Certificate,
        status: &RoundStatus,
    ) -> Result<Proceedings, SiteError> {
        let round = certificate.closing.statement.round;
        proceedings(self.at(round), &self.study, certificate, status).await
    }
}

/// What was certified of a round after its closing: fetched, and checked against the closing's
/// certificate, which has been checked.
pub(crate) async fn proceedings(
    at: RoundTransport<'_>,
    study: &Study,
    certificate: &Certificate,
    status: &RoundStatus,
) -> Result<Proceedings, SiteError> {
    let judged = |index| status.disputes.iter().any(|of| of.index == index && of.judged);
    let mut proceedings = Proceedings::default();
    if judged(0) {
        proceedings.check_words = Some(at.verdict(0).await?);
    }
    for index in 1..=study.threshold.collusion {
        if !judged(index) {
            break;
        }
        let (dispute, verdict) = (at.dispute(index).await?, at.verdict(index).await?);
        proceedings.disputes.push(Settled { dispute, verdict });
    }
    proceedings.check(study, &certificate.closing.statement)?;
    Ok(proceedings)
}
