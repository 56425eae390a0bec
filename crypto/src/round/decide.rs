//! What a round accepts and what it refuses: every decision on a message, and when the set is fixed.

use std::collections::BTreeSet;

use super::collecting::ABSENT_GRACE;
use super::error::RoundError;
use super::event::{Event, Verdict};
use super::machine::Round;
use super::status::RoundState;
use crate::dealing::{Judge, Reviewed};
use crate::digest::Digest;
use crate::id::{FreezeId, ManifestId, RoundNumber, SiteId, StudyId, UnixSeconds};
use crate::log::Checkpoint;
use crate::signature::{PublicKey, Signed};
use crate::statement::{
    Acknowledgement, CHECK_BYTES, Closing, Endorsement, Excluded, Header, Included, Opening,
    Outcome, Receipt, Review, RosterEntry,
};
use crate::time::MAX_CLOCK_AHEAD;

/// The fixed set of a round: what may be added up. Only [`Round::closed_set`] makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct ClosedSet {
    freeze: FreezeId,
    reviews: Vec<Digest>,
    included: Vec<Included>,
    excluded: Vec<Excluded>,
}

impl ClosedSet {
    /// The contributions to add; empty for an abort, else at least `min_sites`.
    pub fn included(&self) -> &[Included] {
        &self.included
    }
}

/// A header whose signature holds under a key.
#[derive(Clone, Debug)]
pub struct VerifiedHeader {
    header: Signed<Header>,
    key: PublicKey,
}

impl VerifiedHeader {
    /// The header.
    pub fn header(&self) -> &Signed<Header> {
        &self.header
    }
}

impl Round {
    /// Decides on a site's header.
    ///
    /// # Errors
    /// [`RoundError`] when the site is unknown, the header is not for this round, comes late, has
    /// wrong lengths, is not signed by the site, breaks the privacy policy, or differs from the one
    /// that came before.
    pub fn announce(
        &self,
        header: &Signed<Header>,
        now: UnixSeconds,
    ) -> Result<Verdict, RoundError> {
        if !self.check_header(header)? {
            return Ok(Verdict::Repeat);
        }
        self.still_collecting(now)?;
        Ok(Verdict::Fresh(Event::Announced(header.clone())))
    }

    /// Checks the signature of a header, which takes longer than all else, ahead of the decision on it.
    ///
    /// # Errors
    /// [`RoundError`] when its site is unknown or has not signed it.
    pub fn verify_header(&self, header: Signed<Header>) -> Result<VerifiedHeader, RoundError> {
        let site = &header.statement.site;
        let key = self.member(site)?.signature_key;
        header.verify(&key, site)?;
        Ok(VerifiedHeader { header, key })
    }

    /// Decides on a header whose envelopes and body become durable with it: the receipt to sign, or
    /// nothing where the header came before.
    ///
    /// # Errors
    /// As for [`Round::announce`].
    pub fn take_whole(
        &self,
        VerifiedHeader { header, key }: &VerifiedHeader,
        now: UnixSeconds,
    ) -> Result<Option<Receipt>, RoundError> {
        // Under another roster it may be another site's.
        let is_verified = self.member(&header.statement.site)?.signature_key == *key;
        if !self.check_header_signed(header, is_verified)? {
            return Ok(None);
        }
        self.still_collecting(now)?;
        Ok(Some(self.receipt_of(header, now)))
    }

    /// Checks a header but for its time; whether it is new.
    pub(super) fn check_header(&self, header: &Signed<Header>) -> Result<bool, RoundError> {
        self.check_header_signed(header, false)
    }

    /// The same; its signature, too, unless it `is_verified`.
    fn check_header_signed(
        &self,
        header: &Signed<Header>,
        is_verified: bool,
    ) -> Result<bool, RoundError> {
        let Header { study, round, manifest, site, body_bytes, body: _, check, envelopes, spent } =
            &header.statement;
        let member = self.member(site)?;
        if self.trust.bars(site) {
            return Err(RoundError::Barred(site.clone()));
        }
        self.same_round(*manifest)?;
        self.same_study("header", *study, *round)?;
        let expected = self.study.body_bytes()?;
        if *body_bytes != expected {
            return Err(RoundError::BodyLength { expected, got: *body_bytes });
        }
        if check.0.len() != CHECK_BYTES {
            return Err(RoundError::CheckLength { expected: CHECK_BYTES, got: check.0.len() });
        }
        let holders = self.study.threshold.holders;
        if envelopes.len() != usize::from(holders) {
            return Err(RoundError::Envelopes { expected: holders, got: envelopes.len() });
        }
        if !is_verified {
            header.verify(&member.signature_key, site)?;
        }
        let source = self.study.privacy.check_spent(*spent);
        source.map_err(|source| RoundError::Spent { site: site.clone(), source })?;
        match self.contributions.get(site) {
            None => Ok(true),
            Some(known) if known.header == *header => Ok(false),
            Some(_) => Err(RoundError::SecondContribution(site.clone())),
        }
    }

    /// The receipt to sign for a contribution whose body and envelopes are durable.
    ///
    /// # Errors
    /// [`RoundError`] when nothing was announced or the deadline has passed meanwhile.
    pub fn receipt(&self, site: &SiteId, now: UnixSeconds) -> Result<Receipt, RoundError> {
        self.contribution(site)?;
        self.still_collecting(now)?;
        self.receipt_at(site, now)
    }

    /// The receipt of a contribution with this time, whatever the time is.
    pub(super) fn receipt_at(&self, site: &SiteId, at: UnixSeconds) -> Result<Receipt, RoundError> {
        Ok(self.receipt_of(&self.contribution(site)?.header, at))
    }

    fn receipt_of(&self, header: &Signed<Header>, at: UnixSeconds) -> Receipt {
        let site = header.statement.site.clone();
        Receipt { manifest: self.id, site, header: header.id(), received_at: at }
    }

    /// Decides that bytes of a contribution were lost or damaged.
    ///
    /// # Errors
    /// [`RoundError`] when the site has no receipt, so that nothing was promised, or is left out of
    /// the closing, so that nothing is needed.
    pub fn damaged(&self, site: &SiteId, now: UnixSeconds) -> Result<Verdict, RoundError> {
        let known = self.contribution(site)?;
        if known.receipt.is_none() {
            return Err(RoundError::NoReceipt(site.clone()));
        }
        self.not_left_out(site)?;
        match known.is_wanted() {
            true => Ok(Verdict::Repeat),
            false => Ok(Verdict::Fresh(Event::Damaged { site: site.clone(), at: now })),
        }
    }

    /// Decides that the bytes of a damaged contribution came again.
    ///
    /// # Errors
    /// As [`Round::damaged`].
    pub fn mended(&self, site: &SiteId, now: UnixSeconds) -> Result<Verdict, RoundError> {
        let known = self.contribution(site)?;
        if known.receipt.is_none() {
            return Err(RoundError::NoReceipt(site.clone()));
        }
        self.not_left_out(site)?;
        match known.is_wanted() {
            true => Ok(Verdict::Fresh(Event::Mended { site: site.clone(), at: now })),
            false => Ok(Verdict::Repeat),
        }
    }

    /// Refuses bytes of a contribution that is not in the set of a closed round.
    ///
    /// # Errors
    /// [`RoundError::LeftOut`].
    pub fn not_left_out(&self, site: &SiteId) -> Result<(), RoundError> {
        match &self.closing {
            Some(closing) if closing.statement.header_of(site).is_none() => {
                Err(RoundError::LeftOut { site: site.clone(), round: self.number() })
            }
            _ => Ok(()),
        }
    }

    /// Decides on a holder's review of the shares that were dealt to it. One that comes after the
    /// closing is not judged: it says that its holder may open.
    ///
    /// # Errors
    /// [`RoundError`] when the reviewer is no holder, it is too early, it is of another freeze or
    /// lacks an answer, or another review came before.
    pub fn review(&self, review: &Signed<Review>) -> Result<Verdict, RoundError> {
        let Review { manifest, holder, .. } = &review.statement;
        self.same_round(*manifest)?;
        self.holder(holder)?;
        let freeze = self.freeze.as_ref().ok_or_else(|| self.not_now("a review"))?;
        Review::check(review, &self.study, &freeze.statement)?;
        if let Some(known) = self.reviews.get(holder) {
            return known_or(known == review, || RoundError::SecondReview(holder.clone()));
        }
        Ok(Verdict::Fresh(Event::Reviewed(review.clone())))
    }

    /// The set, once it is to be fixed: all holders whose word counts have reviewed, their time is
    /// over, or there are too few contributions to review; and nobody has time left to send again
    /// what was damaged. `None` before, and once the round is closed.
    pub fn closed_set(&self, now: UnixSeconds) -> Option<ClosedSet> {
        self.closed_set_without(&BTreeSet::new(), now)
    }

    /// The same, where some sites are known to be `absent`: once all other holders have reviewed, their
    /// reviews are waited for until [`ABSENT_GRACE`] seconds after the freeze, and no longer where there
    /// is a set without them. Nothing is aborted for lack of them before the time for reviews is over.
    pub fn closed_set_without(
        &self,
        absent: &BTreeSet<SiteId>,
        now: UnixSeconds,
    ) -> Option<ClosedSet> {
        let freeze = self.freeze.as_ref().filter(|_| self.closing.is_none())?;
        let list = &freeze.statement.contributions;
        let (mut lost, mut awaited) = (BTreeSet::new(), 0);
        for entry in list {
            let damage = self.contributions.get(&entry.site).and_then(|known| known.damage);
            match damage.filter(|damage| !damage.mended) {
                None => {}
                // Its site has time to send it again.
                Some(damage) if now < self.mended_by(damage) => awaited += 1,
                Some(_) => {
                    lost.insert(&entry.site);
                }
            }
        }
        let min_sites = usize::from(self.study.min_sites);
        let left = list.iter().map(|entry| &entry.site).filter(|site| !lost.contains(site));
        let left: BTreeSet<&SiteId> = left.collect();
        let enough = self.study.in_whole_groups(&self.trust, &left) >= min_sites;
        let frozen_at = freeze.statement.frozen_at;
        let in_time = now < frozen_at.after(self.study.review_seconds.into());
        let is_awaited = enough && in_time && !self.all_reviewed(&BTreeSet::new());
        if is_awaited && (now < frozen_at.after(ABSENT_GRACE) || !self.all_reviewed(absent)) {
            return None;
        }
        let (reviews, reviewed) = self.reviews_in_order();
        let (included, excluded) = match enough {
            true => self.judged_set(list, &lost, &reviewed),
            false => (Vec::new(), Vec::new()),
        };
        let set = included.len();
        // Too few for a sum: an abort. It lists no contribution, and it opens nothing.
        let (included, excluded) = match set >= min_sites {
            // Nothing is aborted for lack of what is on its way, and nothing closed without it.
            true if awaited > 0 => return None,
            true => (included, excluded),
            // Another review may come yet.
            false if is_awaited => return None,
            false => (Vec::new(), Vec::new()),
        };
        Some(ClosedSet { freeze: freeze.id(), reviews, included, excluded })
    }

    /// No set: what an abort is of, once collecting has ended.
    pub(super) fn abort(&self) -> Option<ClosedSet> {
        let freeze = self.freeze.as_ref().filter(|_| self.closing.is_none())?.id();
        let (reviews, _) = self.reviews_in_order();
        Some(ClosedSet { freeze, reviews, included: Vec::new(), excluded: Vec::new() })
    }

    /// Whether every holder whose review is used has made it, but for some.
    fn all_reviewed(&self, but: &BTreeSet<SiteId>) -> bool {
        let mut window = self.study.holders(self.number()).map(|holder| &holder.id);
        window.all(|holder| {
            self.trust.sets_aside(holder)
                || self.reviews.contains_key(holder)
                || but.contains(holder)
        })
    }

    /// The reviews in window order.
    fn reviews_in_order(&self) -> (Vec<Digest>, Vec<Reviewed>) {
        let window = self.study.holders(self.number());
        let reviews = window.filter_map(|holder| self.reviews.get(&holder.id));
        reviews.map(|review| (review.id(), review.statement.reviewed())).unzip()
    }

    /// What the reviews leave of the list, and why the rest is left out. Empty where they allow no
    /// set, or show more corrupt sites than the study allows for.
    fn judged_set(
        &self,
        list: &[Included],
        lost: &BTreeSet<&SiteId>,
        reviewed: &[Reviewed],
    ) -> (Vec<Included>, Vec<Excluded>) {
        let window = self.study.window(self.number());
        let dealers: Vec<SiteId> = list.iter().map(|entry| entry.site.clone()).collect();
        let judge = Judge::of(&self.study, &window, &dealers, &self.trust);
        let (mut included, mut excluded) = (Vec::new(), Vec::new());
        let Ok(judgement) = judge.judge(reviewed) else { return (included, excluded) };
        if judgement.set.is_empty() {
            return (included, excluded);
        }
        let left_out = self.study.left_out(list, &judgement, lost);
        for Included { site, header } in list.iter().cloned() {
            match left_out.get(&site).copied() {
                Some(reason) => excluded.push(Excluded { site, header, reason }),
                None => included.push(Included { site, header }),
            }
        }
        (included, excluded)
    }

    /// The latest time that a closing states: reviewing's end after the latest end of collecting, and
    /// what clocks may differ by. A clock that runs ahead of the sites' would keep them from endorsing
    /// until its time has come, and a closing is signed once; a time in the past does no harm.
    fn latest_end(&self) -> UnixSeconds {
        let reviewed = self.manifest.statement.deadline.after(self.study.review_seconds.into());
        reviewed.after(MAX_CLOCK_AHEAD)
    }

    /// The closing to sign for a set and the digest of the sum over it (none for an abort), with
    /// the checkpoint of the study's log after everything so far.
    pub fn closing_of(
        &self,
        set: ClosedSet,
        sum: Option<Digest>,
        checkpoint: Checkpoint,
        now: UnixSeconds,
    ) -> Closing {
        Closing {
            study: self.manifest.statement.study,
            round: self.number(),
            manifest: self.id,
            freeze: set.freeze,
            closed_at: now.min(self.latest_end()),
            included: set.included,
            excluded: set.excluded,
            reviews: set.reviews,
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
        let expected = self.closing_id.ok_or_else(|| self.not_now("an endorsement"))?;
        if *closing != expected {
            return Err(RoundError::OtherClosing { expected, got: *closing });
        }
        self.same_study("endorsement", *study, *round)?;
        Ok(Verdict::Fresh(Event::Endorsed(endorsement.clone())))
    }

    /// Decides on a holder's opening: of the sum under the round's certificate, of functionals under
    /// that of a dispute, of keys under that of the verdict of a dispute.
    ///
    /// # Errors
    /// [`RoundError`] when the sender is no holder, there is no certificate or the round is an abort,
    /// or the opening is for another closing or differs from the one that came before.
    pub fn take_opening(&self, opening: &Signed<Opening>) -> Result<Verdict, RoundError> {
        let Opening { manifest, closing, holder, subject, .. } = &opening.statement;
        self.same_round(*manifest)?;
        opening.verify(&self.holder(holder)?.signature_key, holder)?;
        let expected = self.closing_id.ok_or_else(|| self.uncertified())?;
        if *closing != expected {
            return Err(RoundError::OtherClosing { expected, got: *closing });
        }
        if !matches!(self.state(), RoundState::Certified | RoundState::Opened) {
            return Err(self.uncertified());
        }
        self.opening_sites(*subject)?;
        if let Some(known) = self.openings.get(&(*subject, holder.clone())) {
            return known_or(known == opening, || RoundError::SecondOpening(holder.clone()));
        }
        Ok(Verdict::Fresh(Event::Opened(opening.clone())))
    }

    /// Decides on a site's acknowledgement. A site that could not open the sum may have applied it
    /// later: `Applied` may follow its `Failed`, and nothing else may follow anything.
    ///
    /// # Errors
    /// [`RoundError`] when the site is unknown, nothing was opened, or another one came before.
    pub fn acknowledge(
        &self,
        acknowledgement: &Signed<Acknowledgement>,
    ) -> Result<Verdict, RoundError> {
        let Acknowledgement { manifest, closing, site, outcome } = &acknowledgement.statement;
        self.same_round(*manifest)?;
        acknowledgement.verify(&self.member(site)?.signature_key, site)?;
        let expected = self.closing_id.ok_or_else(|| self.uncertified())?;
        if *closing != expected {
            return Err(RoundError::OtherClosing { expected, got: *closing });
        }
        if !matches!(self.state(), RoundState::Certified | RoundState::Opened) {
            return Err(self.uncertified());
        }
        let known = self.acknowledgements.get(site);
        let mended = known.is_some_and(|known| {
            known.statement.outcome == Outcome::Failed && *outcome != Outcome::Failed
        });
        if let Some(known) = known.filter(|_| !mended) {
            let second = || RoundError::SecondAcknowledgement(site.clone());
            return known_or(known == acknowledgement, second);
        }
        Ok(Verdict::Fresh(Event::Acknowledged(acknowledgement.clone())))
    }

    pub(super) fn member(&self, site: &SiteId) -> Result<&RosterEntry, RoundError> {
        self.study.site(site).ok_or_else(|| RoundError::UnknownSite(site.clone()))
    }

    pub(super) fn holder(&self, site: &SiteId) -> Result<&RosterEntry, RoundError> {
        let member = self.member(site)?;
        match self.study.holder_offset(self.number(), site) {
            Some(_) => Ok(member),
            None => Err(RoundError::NoHolder { site: site.clone(), round: self.number() }),
        }
    }

    fn same_round(&self, got: ManifestId) -> Result<(), RoundError> {
        match got == self.id {
            true => Ok(()),
            false => Err(RoundError::OtherRound { expected: self.id, got }),
        }
    }

    /// Refuses a message of this manifest or closing that names another study or round beside it.
    fn same_study(
        &self,
        what: &'static str,
        study: StudyId,
        round: RoundNumber,
    ) -> Result<(), RoundError> {
        let (expected, expected_study) = (self.number(), self.manifest.statement.study);
        if study == expected_study && round == expected {
            return Ok(());
        }
        let (got, got_study) = (round, study);
        Err(RoundError::StudyOrRound { what, expected, expected_study, got, got_study })
    }

    fn still_collecting(&self, now: UnixSeconds) -> Result<(), RoundError> {
        let deadline = self.manifest.statement.deadline;
        if self.freeze.is_some() || now > deadline {
            return Err(RoundError::Late { round: self.number(), deadline, now });
        }
        Ok(())
    }

    pub(super) fn not_now(&self, what: &'static str) -> RoundError {
        RoundError::NotNow { what, state: self.state(), round: self.number() }
    }

    pub(super) fn uncertified(&self) -> RoundError {
        RoundError::Uncertified {
            round: self.number(),
            state: self.state(),
            needed: self.study.threshold.endorsements,
            got: self.endorsements.len(),
        }
    }
}

pub(super) fn known_or(
    same: bool,
    other: impl FnOnce() -> RoundError,
) -> Result<Verdict, RoundError> {
    if same { Ok(Verdict::Repeat) } else { Err(other()) }
}
