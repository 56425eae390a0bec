//! The aggregator's round machine: no IO, no clock, no randomness.
//!
//! `Collecting -> Reviewing -> Closed -> Certified -> Opened`, or `Aborted` when the certified
//! closing has an empty set. A message is first *decided* ([`Round::announce`] and its like: a
//! [`Verdict`], or an error that leaves everything as it was), the resulting [`Event`] is made
//! durable by the caller, and only then *applied* ([`Round::apply`]). After a crash the same
//! events, applied in order, give the same round.

mod error;
mod event;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use error::{Fault, RoundError};
pub use event::{Event, Verdict};
pub use status::{RoundState, RoundStatus};

use crate::digest::Digest;
use crate::log::Checkpoint;
use crate::statement::{
    Acknowledgement, Certificate, Closing, Endorsement, Excluded, Header, Included, Manifest,
    Opening, Previous, Receipt, Review, Signed, SiteId, Study,
};

/// A contribution as far as it has come.
#[derive(Clone, Debug)]
pub struct Contribution {
    /// The site's signed promise.
    pub header: Signed<Header>,
    /// Given once body and envelopes are durable.
    pub receipt: Option<Signed<Receipt>>,
}

/// One round of a study, as the aggregator knows it.
#[derive(Clone, Debug)]
pub struct Round {
    study: Arc<Study>,
    manifest: Signed<Manifest>,
    digest: Digest,
    version: u64,
    contributions: BTreeMap<SiteId, Contribution>,
    frozen_at: Option<u64>,
    reviews: BTreeMap<SiteId, Signed<Review>>,
    closing: Option<Signed<Closing>>,
    endorsements: BTreeMap<SiteId, Signed<Endorsement>>,
    openings: BTreeMap<SiteId, Signed<Opening>>,
    acknowledgements: BTreeMap<SiteId, Signed<Acknowledgement>>,
}

/// The fixed set of a round: what may be added up. Only [`Round::closed_set`] makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct ClosedSet {
    included: Vec<Included>,
    excluded: Vec<Excluded>,
}

impl ClosedSet {
    /// The contributions to add; empty for an abort, else at least `min_sites`.
    pub fn included(&self) -> &[Included] {
        &self.included
    }
}

impl Round {
    /// Opens a round by its manifest.
    ///
    /// # Errors
    /// [`RoundError::Manifest`] when the manifest is not the study's next.
    pub fn open(
        study: Arc<Study>,
        study_digest: Digest,
        manifest: Signed<Manifest>,
        previous: Option<&Previous>,
    ) -> Result<Self, RoundError> {
        Manifest::check(&manifest, &study, study_digest, previous)?;
        let digest = manifest.digest();
        Ok(Self {
            study,
            manifest,
            digest,
            version: 0,
            contributions: BTreeMap::new(),
            frozen_at: None,
            reviews: BTreeMap::new(),
            closing: None,
            endorsements: BTreeMap::new(),
            openings: BTreeMap::new(),
            acknowledgements: BTreeMap::new(),
        })
    }

    /// Decides on a site's header.
    ///
    /// # Errors
    /// [`RoundError`] when the site is unknown, the header is not for this round, comes late, has
    /// wrong lengths, is not signed by the site, or differs from the one that came before.
    pub fn announce(&self, header: &Signed<Header>, now: u64) -> Result<Verdict, RoundError> {
        let Header { study, round, manifest, site, body_bytes, body: _, envelopes } =
            &header.statement;
        let member = self.member(site)?;
        self.same_round(*manifest)?;
        if *study != self.manifest.statement.study || *round != self.number() {
            return Err(RoundError::OtherRound { expected: self.digest, got: *manifest });
        }
        let expected = self.study.body_bytes()?;
        if *body_bytes != expected {
            return Err(RoundError::BodyLength { expected, got: *body_bytes });
        }
        let holders = self.study.threshold.holders;
        if envelopes.len() != usize::from(holders) {
            return Err(RoundError::Envelopes { expected: holders, got: envelopes.len() });
        }
        header.verify(&member.signature_key, site)?;
        if let Some(known) = self.contributions.get(site) {
            return match known.header == *header {
                true => Ok(Verdict::Repeat),
                false => Err(RoundError::SecondContribution(site.clone())),
            };
        }
        self.still_collecting(now)?;
        Ok(Verdict::Fresh(Event::Announced(header.clone())))
    }

    /// The receipt to sign for a contribution whose body and envelopes are durable.
    ///
    /// # Errors
    /// [`RoundError`] when nothing was announced or the deadline has passed meanwhile.
    pub fn receipt(&self, site: &SiteId, now: u64) -> Result<Receipt, RoundError> {
        let contribution = self.contribution(site)?;
        self.still_collecting(now)?;
        Ok(Receipt {
            manifest: self.digest,
            site: site.clone(),
            header: contribution.header.digest(),
            received_at: now,
        })
    }

    /// Whether collecting ends now: everybody has come, or the deadline has passed.
    pub fn freeze(&self, now: u64) -> Option<Event> {
        let complete = self.received().count() == self.study.roster.len();
        let due = complete || now > self.manifest.statement.deadline;
        (self.frozen_at.is_none() && due).then_some(Event::Frozen { at: now })
    }

    /// Decides on a holder's review of the envelopes.
    ///
    /// # Errors
    /// [`RoundError`] when the reviewer is no holder, it is too early or too late, a complaint
    /// names no contributor, or another review came before.
    pub fn review(&self, review: &Signed<Review>) -> Result<Verdict, RoundError> {
        let Review { manifest, holder, complaints } = &review.statement;
        self.same_round(*manifest)?;
        review.verify(&self.holder(holder)?.signature_key, holder)?;
        let ordered = complaints.is_sorted_by(|a, b| a < b);
        if let Some(stranger) = complaints.iter().find(|d| !ordered || !self.has_receipt(d)) {
            return Err(RoundError::Complaint(stranger.clone()));
        }
        if let Some(known) = self.reviews.get(holder) {
            return known_or(known == review, || RoundError::SecondReview(holder.clone()));
        }
        if self.frozen_at.is_none() || self.closing.is_some() {
            return Err(self.not_now("a review"));
        }
        Ok(Verdict::Fresh(Event::Reviewed(review.clone())))
    }

    /// The set, once it is to be fixed: all holders have reviewed, their time is over, or there
    /// are too few contributions to review. `None` before, and once the round is closed.
    pub fn closed_set(&self, now: u64) -> Option<ClosedSet> {
        let frozen_at = self.frozen_at.filter(|_| self.closing.is_none())?;
        let (mut included, mut excluded) = (Vec::new(), Vec::new());
        for (site, header) in self.received() {
            let reviews: Vec<Digest> = self
                .reviews
                .values()
                .filter(|review| review.statement.complaints.contains(site))
                .map(Signed::digest)
                .collect();
            let (site, header) = (site.clone(), header.digest());
            match reviews.len() > usize::from(self.study.threshold.collusion) {
                true => excluded.push(Excluded { site, header, reviews }),
                false => included.push(Included { site, header }),
            }
        }
        let enough = included.len() >= usize::from(self.study.min_sites);
        let reviewed = self.reviews.len() == usize::from(self.study.threshold.holders)
            || now >= frozen_at.saturating_add(u64::from(self.study.review_seconds));
        match (enough, reviewed) {
            (true, true) => Some(ClosedSet { included, excluded }),
            (true, false) => None,
            // Too few for a sum: an abort. It lists no contribution, and it opens nothing.
            (false, _) => Some(ClosedSet { included: Vec::new(), excluded: Vec::new() }),
        }
    }

    /// The closing to sign for a set and the digest of the sum over it (none for an abort), with the
    /// checkpoint of the study's log after everything so far.
    pub fn closing_of(
        &self,
        set: ClosedSet,
        sum: Option<Digest>,
        checkpoint: Checkpoint,
        now: u64,
    ) -> Closing {
        Closing {
            study: self.manifest.statement.study,
            round: self.number(),
            manifest: self.digest,
            closed_at: now,
            included: set.included,
            excluded: set.excluded,
            sum,
            checkpoint,
        }
    }

    /// Decides on a holder's endorsement of the closing.
    ///
    /// # Errors
    /// [`RoundError`] when the endorser is no holder, there is no closing, it endorses another one,
    /// or it has endorsed before.
    pub fn endorse(&self, endorsement: &Signed<Endorsement>) -> Result<Verdict, RoundError> {
        let Endorsement { study, round, closing, holder } = &endorsement.statement;
        endorsement.verify(&self.holder(holder)?.signature_key, holder)?;
        if let Some(known) = self.endorsements.get(holder) {
            let second = || RoundError::SecondEndorsement(holder.clone());
            return known_or(known == endorsement, second);
        }
        let expected = self.closing_digest().ok_or_else(|| self.not_now("an endorsement"))?;
        let of_study = self.manifest.statement.study;
        if *closing != expected || *study != of_study || *round != self.number() {
            return Err(RoundError::OtherClosing { expected, got: *closing });
        }
        Ok(Verdict::Fresh(Event::Endorsed(endorsement.clone())))
    }

    /// Decides on a holder's opening.
    ///
    /// # Errors
    /// [`RoundError`] when the sender is no holder, the round has no certificate or is an abort, or
    /// the opening is for another closing or differs from the one that came before.
    pub fn open_sum(&self, opening: &Signed<Opening>) -> Result<Verdict, RoundError> {
        let Opening { manifest, closing, holder, sealed: _, plaintext: _ } = &opening.statement;
        self.same_round(*manifest)?;
        opening.verify(&self.holder(holder)?.signature_key, holder)?;
        let expected = self.closing_digest().ok_or_else(|| self.uncertified())?;
        if *closing != expected {
            return Err(RoundError::OtherClosing { expected, got: *closing });
        }
        if !matches!(self.state(), RoundState::Certified | RoundState::Opened) {
            return Err(self.uncertified());
        }
        if let Some(known) = self.openings.get(holder) {
            return known_or(known == opening, || RoundError::SecondOpening(holder.clone()));
        }
        Ok(Verdict::Fresh(Event::Opened(opening.clone())))
    }

    /// Decides on a site's acknowledgement.
    ///
    /// # Errors
    /// [`RoundError`] when the site is unknown, nothing was opened, or another one came before.
    pub fn acknowledge(
        &self,
        acknowledgement: &Signed<Acknowledgement>,
    ) -> Result<Verdict, RoundError> {
        let Acknowledgement { manifest, closing, site, outcome: _ } = &acknowledgement.statement;
        self.same_round(*manifest)?;
        acknowledgement.verify(&self.member(site)?.signature_key, site)?;
        let expected = self.closing_digest().ok_or_else(|| self.uncertified())?;
        if *closing != expected {
            return Err(RoundError::OtherClosing { expected, got: *closing });
        }
        if !matches!(self.state(), RoundState::Certified | RoundState::Opened) {
            return Err(self.uncertified());
        }
        if let Some(known) = self.acknowledgements.get(site) {
            let second = || RoundError::SecondAcknowledgement(site.clone());
            return known_or(known == acknowledgement, second);
        }
        Ok(Verdict::Fresh(Event::Acknowledged(acknowledgement.clone())))
    }

    /// Applies a decided and durable event.
    pub fn apply(&mut self, event: Event) {
        self.version += 1;
        match event {
            Event::Announced(header) => {
                let site = header.statement.site.clone();
                self.contributions.insert(site, Contribution { header, receipt: None });
            }
            Event::Received(receipt) => {
                if let Some(known) = self.contributions.get_mut(&receipt.statement.site) {
                    known.receipt = Some(receipt);
                }
            }
            Event::Frozen { at } => self.frozen_at = Some(at),
            Event::Reviewed(review) => {
                self.reviews.insert(review.statement.holder.clone(), review);
            }
            Event::Closed(closing) => self.closing = Some(closing),
            Event::Endorsed(endorsement) => {
                self.endorsements.insert(endorsement.statement.holder.clone(), endorsement);
            }
            Event::Opened(opening) => {
                self.openings.insert(opening.statement.holder.clone(), opening);
            }
            Event::Acknowledged(acknowledgement) => {
                let site = acknowledgement.statement.site.clone();
                self.acknowledgements.insert(site, acknowledgement);
            }
        }
    }

    /// Round number.
    pub fn number(&self) -> u32 {
        self.manifest.statement.round
    }

    /// Digest of the manifest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The signed manifest.
    pub fn manifest(&self) -> &Signed<Manifest> {
        &self.manifest
    }

    /// A site's contribution as far as it has come.
    ///
    /// # Errors
    /// [`RoundError::NoContribution`] when it has not announced one.
    pub fn contribution(&self, site: &SiteId) -> Result<&Contribution, RoundError> {
        let none = || RoundError::NoContribution(site.clone());
        self.contributions.get(site).ok_or_else(none)
    }

    /// Sites and headers of the contributions that got receipts, ascending by name.
    pub fn received(&self) -> impl Iterator<Item = (&SiteId, &Signed<Header>)> {
        let with_receipt = |contribution: &&Contribution| contribution.receipt.is_some();
        self.contributions
            .values()
            .filter(with_receipt)
            .map(|contribution| (&contribution.header.statement.site, &contribution.header))
    }

    /// The holders' reviews.
    pub fn reviews(&self) -> impl Iterator<Item = &Signed<Review>> {
        self.reviews.values()
    }

    /// The openings' statements.
    pub fn openings(&self) -> impl Iterator<Item = &Signed<Opening>> {
        self.openings.values()
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

    /// How this round ended for the next one's manifest: once its closing is certified.
    pub fn ended(&self) -> Option<Previous> {
        let closing = self.certificate()?.closing;
        let (round, closed_at) = (self.number(), closing.statement.closed_at);
        Some(Previous { round, closing: closing.digest(), closed_at })
    }

    fn member(&self, site: &SiteId) -> Result<&crate::statement::Site, RoundError> {
        self.study.site(site).ok_or_else(|| RoundError::UnknownSite(site.clone()))
    }

    fn holder(&self, site: &SiteId) -> Result<&crate::statement::Site, RoundError> {
        let member = self.member(site)?;
        match self.study.holder_offset(self.number(), site) {
            Some(_) => Ok(member),
            None => Err(RoundError::NoHolder { site: site.clone(), round: self.number() }),
        }
    }

    fn has_receipt(&self, site: &SiteId) -> bool {
        self.contributions.get(site).is_some_and(|known| known.receipt.is_some())
    }

    fn same_round(&self, got: Digest) -> Result<(), RoundError> {
        match got == self.digest {
            true => Ok(()),
            false => Err(RoundError::OtherRound { expected: self.digest, got }),
        }
    }

    fn still_collecting(&self, now: u64) -> Result<(), RoundError> {
        let deadline = self.manifest.statement.deadline;
        if self.frozen_at.is_some() || now > deadline {
            return Err(RoundError::Late { round: self.number(), deadline, now });
        }
        Ok(())
    }

    fn closing_digest(&self) -> Option<Digest> {
        self.closing.as_ref().map(Signed::digest)
    }

    fn not_now(&self, what: &'static str) -> RoundError {
        RoundError::NotNow { what, state: self.state(), round: self.number() }
    }

    fn uncertified(&self) -> RoundError {
        RoundError::Uncertified {
            round: self.number(),
            state: self.state(),
            needed: self.study.threshold.endorsements,
            got: self.endorsements.len(),
        }
    }
}

fn known_or(same: bool, other: impl FnOnce() -> RoundError) -> Result<Verdict, RoundError> {
    if same { Ok(Verdict::Repeat) } else { Err(other()) }
}
