//! The round itself: what it has seen, how an event changes it, and what it shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disputes::Disputes;
use super::error::RoundError;
use super::event::Event;
use super::site_set::{Places, SiteSet};
use super::status::{RoundState, RoundStatus, Step, Wanted};
use crate::dealing::Trust;
use crate::digest::Digest;
use crate::id::{ClosingId, ManifestId, RoundNumber, SiteId, StudyId, UnixSeconds};
use crate::signature::Signed;
use crate::statement::{
    Acknowledgement, Certificate, Closing, Endorsement, Freeze, Header, Manifest, Opening, Outcome,
    Previous, Receipt, Review, Study, Subject,
};

/// A contribution as far as it has come.
#[derive(Clone, Debug)]
pub struct AnnouncedContribution {
    /// The site's signed promise.
    pub header: Signed<Header>,
    /// Given once body and envelopes are durable.
    pub receipt: Option<Signed<Receipt>>,
    /// Whether bytes of it were lost or damaged since then.
    pub damage: Option<Damage>,
}

/// That a contribution's bytes were lost or damaged after its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// When that was found for the first time. A second loss gets no more time than the first.
    pub found_at: UnixSeconds,
    /// Whether they came again.
    pub mended: bool,
}

impl AnnouncedContribution {
    /// Whether its site is to send its bytes again.
    pub fn is_wanted(&self) -> bool {
        self.damage.is_some_and(|damage| !damage.mended)
    }
}

/// One round of a study, as the aggregator knows it.
#[derive(Clone, Debug)]
pub struct Round {
    pub(super) study: Arc<Study>,
    pub(super) manifest: Signed<Manifest>,
    pub(super) id: ManifestId,
    /// Before the round.
    pub(super) trust: Trust,
    version: u64,
    places: Places,
    /// Shared with copies of the round: it is copied to see what several messages make of it.
    pub(super) contributions: BTreeMap<SiteId, Arc<AnnouncedContribution>>,
    /// The sites whose contribution has a receipt.
    received: SiteSet,
    pub(super) freeze: Option<Signed<Freeze>>,
    pub(super) reviews: BTreeMap<SiteId, Signed<Review>>,
    pub(super) closing: Option<Signed<Closing>>,
    /// Its name: every endorsement, opening and acknowledgement names it, and hashing a closing of
    /// 10,000 sites for each of them takes longer than all else.
    pub(super) closing_id: Option<ClosingId>,
    pub(super) endorsements: BTreeMap<SiteId, Signed<Endorsement>>,
    pub(super) disputes: Disputes,
    pub(super) openings: BTreeMap<(Subject, SiteId), Signed<Opening>>,
    pub(super) acknowledgements: BTreeMap<SiteId, Signed<Acknowledgement>>,
    /// The sites that have acknowledged.
    acknowledged: SiteSet,
}

impl Round {
    /// Opens a round by its manifest.
    ///
    /// # Errors
    /// [`RoundError::Manifest`] when the manifest is not the study's next.
    pub fn open(
        study: Arc<Study>,
        study_id: StudyId,
        manifest: Signed<Manifest>,
        previous: Option<&Previous>,
    ) -> Result<Self, RoundError> {
        Manifest::check(&manifest, &study, study_id, previous)?;
        let id = manifest.id();
        let places = Places::of(&study.roster);
        Ok(Self {
            received: places.set([]),
            acknowledged: places.set([]),
            places,
            study,
            manifest,
            id,
            trust: previous.map_or_else(Trust::default, |previous| previous.trust.clone()),
            version: 0,
            contributions: BTreeMap::new(),
            freeze: None,
            reviews: BTreeMap::new(),
            closing: None,
            closing_id: None,
            endorsements: BTreeMap::new(),
            disputes: Disputes::default(),
            openings: BTreeMap::new(),
            acknowledgements: BTreeMap::new(),
        })
    }

    /// Applies a decided and durable event.
    pub fn apply(&mut self, event: Event) {
        self.version += 1;
        match event {
            Event::Announced(header) => {
                let site = header.statement.site.clone();
                let known = AnnouncedContribution { header, receipt: None, damage: None };
                self.places.put(&mut self.received, &site, false);
                self.contributions.insert(site, Arc::new(known));
            }
            Event::Received(receipt) => {
                let site = &receipt.statement.site;
                if let Some(known) = self.contributions.get_mut(site).map(Arc::make_mut) {
                    self.places.put(&mut self.received, site, true);
                    known.receipt = Some(receipt);
                }
            }
            Event::Damaged { site, at } => {
                if let Some(known) = self.contributions.get_mut(&site).map(Arc::make_mut) {
                    let found_at = known.damage.map_or(at, |damage| damage.found_at);
                    known.damage = Some(Damage { found_at, mended: false });
                }
            }
            Event::Mended { site, at: _ } => {
                let known = self.contributions.get_mut(&site).map(Arc::make_mut);
                if let Some(damage) = known.and_then(|known| known.damage.as_mut()) {
                    damage.mended = true;
                }
            }
            Event::Frozen(freeze) => self.freeze = Some(freeze),
            Event::Reviewed(review) => {
                self.reviews.insert(review.statement.holder.clone(), review);
            }
            Event::Closed(closing) => {
                self.closing_id = Some(closing.id());
                self.closing = Some(closing);
            }
            Event::Endorsed(endorsement) => {
                self.endorsements.insert(endorsement.statement.holder.clone(), endorsement);
            }
            Event::Disputed(endorsement) => self.disputes.dispute(endorsement),
            Event::Judged(endorsement) => {
                // A verdict that was decided on has a certified dispute, or is of check words.
                if let Some(index) = self.verdict_index(&endorsement.statement.statement) {
                    self.disputes.judge(index, endorsement);
                }
            }
            Event::Opened(opening) => {
                let Opening { subject, holder, .. } = &opening.statement;
                self.openings.insert((*subject, holder.clone()), opening);
            }
            Event::Acknowledged(acknowledgement) => {
                let site = acknowledgement.statement.site.clone();
                self.places.put(&mut self.acknowledged, &site, true);
                self.acknowledgements.insert(site, acknowledgement);
            }
        }
    }

    /// Round number.
    pub fn number(&self) -> RoundNumber {
        self.manifest.statement.round
    }

    /// The name of the manifest.
    pub fn manifest_id(&self) -> ManifestId {
        self.id
    }

    /// The signed manifest.
    pub fn manifest(&self) -> &Signed<Manifest> {
        &self.manifest
    }

    /// The latest time that the round states as its own: when it was opened or, once collecting has
    /// ended, when that was. Its ends are counted from there.
    pub fn latest_time(&self) -> UnixSeconds {
        let opened_at = self.manifest.statement.opened_at;
        self.frozen_at().map_or(opened_at, |frozen_at| frozen_at.max(opened_at))
    }

    /// Trust before the round.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The list that is reviewed, once collecting has ended.
    pub fn freeze(&self) -> Option<&Signed<Freeze>> {
        self.freeze.as_ref()
    }

    /// When collecting ended.
    pub(super) fn frozen_at(&self) -> Option<UnixSeconds> {
        self.freeze.as_ref().map(|freeze| freeze.statement.frozen_at)
    }

    /// A site's contribution as far as it has come.
    ///
    /// # Errors
    /// [`RoundError::NoContribution`] when it has not announced one.
    pub fn contribution(&self, site: &SiteId) -> Result<&AnnouncedContribution, RoundError> {
        let none = || RoundError::NoContribution(site.clone());
        self.contributions.get(site).map(|known| &**known).ok_or_else(none)
    }

    /// Sites and headers of the contributions that got receipts, ascending by name.
    pub fn received(&self) -> impl Iterator<Item = (&SiteId, &Signed<Header>)> {
        let with_receipt =
            |contribution: &&Arc<AnnouncedContribution>| contribution.receipt.is_some();
        self.contributions
            .values()
            .filter(with_receipt)
            .map(|contribution| (&contribution.header.statement.site, &contribution.header))
    }

    /// Until when the site of a damaged contribution has time to send its bytes again: as long as
    /// a review may take, from when the damage was found.
    pub(super) fn mended_by(&self, damage: Damage) -> UnixSeconds {
        damage.found_at.after(self.study.review_seconds.into())
    }

    /// Whose bytes are to be sent again, ascending by name.
    pub fn wanted(&self) -> impl Iterator<Item = Wanted> {
        let kept = |site: &&Arc<AnnouncedContribution>| match &self.closing {
            None => true,
            // What is not in the set is not needed any more.
            Some(closing) => closing.statement.header_of(&site.header.statement.site).is_some(),
        };
        let damaged = self.contributions.values().filter(|known| known.is_wanted()).filter(kept);
        damaged.map(|known| Wanted {
            site: known.header.statement.site.clone(),
            until: known
                .damage
                .filter(|_| self.closing.is_none())
                .map(|damage| self.mended_by(damage)),
        })
    }

    /// The holders' reviews.
    pub fn reviews(&self) -> impl Iterator<Item = &Signed<Review>> {
        self.reviews.values()
    }

    /// The statements of the openings on a subject, ascending by holder.
    pub fn openings(&self, subject: Subject) -> impl Iterator<Item = &Signed<Opening>> {
        self.openings.iter().filter(move |((of, _), _)| *of == subject).map(|(_, opening)| opening)
    }

    /// Who opened on a subject.
    pub(super) fn opened(&self, subject: Subject) -> SiteSet {
        self.set(self.openings(subject).map(|opening| &opening.statement.holder))
    }

    pub(super) fn set<'a>(&self, sites: impl Iterator<Item = &'a SiteId>) -> SiteSet {
        self.places.set(sites)
    }

    /// How many holders have endorsed the closing.
    pub fn endorsed(&self) -> usize {
        self.endorsements.len()
    }

    /// The sites' acknowledgements.
    pub fn acknowledgements(&self) -> impl Iterator<Item = &Signed<Acknowledgement>> {
        self.acknowledgements.values()
    }

    /// The closing, once the set is fixed.
    pub fn closing(&self) -> Option<&Signed<Closing>> {
        self.closing.as_ref()
    }

    /// The certificate, once Q holders have endorsed.
    pub fn certificate(&self) -> Option<Certificate> {
        let closing = self.closing.clone()?;
        let endorsements: Vec<_> = self.endorsements.values().cloned().collect();
        let enough = endorsements.len() >= usize::from(self.study.threshold.endorsements);
        enough.then_some(Certificate { closing, endorsements })
    }

    /// How this round ended for the next one's manifest: in a certified abort, or once Q sites have
    /// acknowledged one model. No dispute and no verdict is taken after that, so the trust is final.
    pub fn ended(&self) -> Option<Previous> {
        let closing = self.certificate()?.closing;
        if !closing.statement.is_abort() && self.agreed_model().is_none() {
            return None;
        }
        let (round, closed_at) = (self.number(), closing.statement.closed_at);
        let trust = self.trust_after(&closing.statement)?;
        Some(Previous { round, closing: closing.id(), closed_at, trust })
    }

    /// The model that Q sites have acknowledged; there is one at most. As in the manifest, a digest
    /// keyed with the check key.
    pub fn agreed_model(&self) -> Option<Digest> {
        let needed = usize::from(self.study.threshold.endorsements);
        let mut sites: BTreeMap<Digest, usize> = BTreeMap::new();
        for said in self.acknowledgements.values() {
            if let Outcome::Applied { model } = said.statement.outcome {
                *sites.entry(model).or_default() += 1;
            }
        }
        sites.into_iter().find_map(|(model, sites)| (sites >= needed).then_some(model))
    }

    /// Acknowledgements of that model by as many sites as are needed; none before there are so many.
    pub fn agreed(&self) -> Option<Vec<&Signed<Acknowledgement>>> {
        let agreed = Outcome::Applied { model: self.agreed_model()? };
        let acknowledgements = self.acknowledgements.values();
        let agreeing = acknowledgements.filter(|said| said.statement.outcome == agreed);
        Some(agreeing.take(self.study.threshold.endorsements.into()).collect())
    }

    /// Trust after the round, as everybody computes it: by the reviews that the closing lists and the
    /// certified verdicts.
    fn trust_after(&self, closing: &Closing) -> Option<Trust> {
        let reviews: Vec<Signed<Review>> = self.reviews.values().cloned().collect();
        let freeze = &self.freeze.as_ref()?.statement;
        let judgement = closing.judge(&self.study, &self.trust, freeze, &reviews).ok()?;
        let mut trust = judgement.trust;
        let verdicts = self.verdicts();
        verdicts.for_each(|(_, verdict)| trust.bar(&verdict.sites.iter().cloned().collect()));
        Some(trust)
    }

    /// The number of events so far.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Where the round stands, derived from what it has seen.
    pub fn state(&self) -> RoundState {
        let threshold = &self.study.threshold;
        let Some(closing) = &self.closing else {
            return match self.freeze {
                None => RoundState::Collecting,
                Some(_) => RoundState::Reviewing,
            };
        };
        if self.endorsements.len() < usize::from(threshold.endorsements) {
            RoundState::Closed
        } else if closing.statement.is_abort() {
            RoundState::Aborted
        } else if self.openings(Subject::Sum).count() < usize::from(threshold.opening) {
            RoundState::Certified
        } else {
            RoundState::Opened
        }
    }

    /// What those who wait for the round act on.
    pub fn step(&self) -> Step {
        Step {
            state: self.state(),
            wanted: self.wanted().map(|wanted| wanted.site).collect(),
            disputes: self.settled(),
            agreed: self.agreed_model().is_some(),
        }
    }

    /// The sites whose contribution has a receipt.
    pub fn contributed(&self) -> SiteSet {
        self.received.clone()
    }

    /// The sites of the certified set, if there is one and its sum may be opened: an abort opens nothing.
    pub fn certified_set(&self) -> Option<SiteSet> {
        let certified = matches!(self.state(), RoundState::Certified | RoundState::Opened);
        let closing = self.closing().filter(|_| certified)?;
        let included = closing.statement.included.iter().map(|entry| &entry.site);
        (!closing.statement.is_abort()).then(|| self.places.set(included))
    }

    /// The round at a glance.
    pub fn status(&self) -> RoundStatus {
        let manifest = &self.manifest.statement;
        RoundStatus {
            study: manifest.study,
            round: manifest.round,
            version: self.version,
            state: self.state(),
            deadline: manifest.deadline,
            initiator: manifest.initiator.clone(),
            holders: manifest.holders.clone(),
            received: self.contributed(),
            wanted: self.wanted().collect(),
            reviewed: self.set(self.reviews.keys()),
            endorsed: self.set(self.endorsements.keys()),
            endorsements_needed: self.study.threshold.endorsements,
            opened: self.opened(Subject::Sum),
            openings_needed: self.study.threshold.opening,
            disputes: self.dispute_statuses(),
            acknowledged: self.acknowledged.clone(),
        }
    }
}
