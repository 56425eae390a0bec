//! Disputes and verdicts of a round: what its holders endorsed, and what is certified of it.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::known_or;
use super::error::RoundError;
use super::event::{Event, Verdict as Decision};
use super::machine::Round;
use super::site_set::SiteSet;
use super::status::{DisputeStatus, RoundState};
use crate::api::opening_words;
use crate::id::SiteId;
use crate::signature::{Signed, Statement};
use crate::statement::{
    Certifiable, Closing, Dispute, DisputeCertificate, DisputeEndorsement, Endorses, Quorum,
    Subject, Verdict, VerdictCertificate, VerdictEndorsement,
};

/// Endorsements at one index, one a holder.
type Endorsed<S> = BTreeMap<SiteId, Signed<Endorses<S>>>;

/// What holders endorsed, by index; a verdict without a dispute has index 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Disputes {
    disputes: BTreeMap<u16, Endorsed<Dispute>>,
    verdicts: BTreeMap<u16, Endorsed<Verdict>>,
}

impl Disputes {
    pub(super) fn dispute(&mut self, endorsement: Signed<DisputeEndorsement>) {
        let DisputeEndorsement { statement, holder } = &endorsement.statement;
        let endorsed = self.disputes.entry(statement.index).or_default();
        endorsed.insert(holder.clone(), endorsement);
    }

    pub(super) fn judge(&mut self, index: u16, endorsement: Signed<VerdictEndorsement>) {
        let holder = endorsement.statement.holder.clone();
        self.verdicts.entry(index).or_default().insert(holder, endorsement);
    }
}

impl Round {
    /// Decides on a holder's endorsement of a dispute.
    ///
    /// # Errors
    /// [`RoundError`] when the endorser is no holder, nothing is certified, the verdict before is not
    /// certified, it endorsed another dispute with this index, or the round has ended.
    pub fn dispute(
        &self,
        endorsement: &Signed<DisputeEndorsement>,
    ) -> Result<Decision, RoundError> {
        let DisputeEndorsement { statement, holder } = &endorsement.statement;
        endorsement.verify(&self.holder(holder)?.signature_key, holder)?;
        statement.check(&self.study, self.opened_closing()?)?;
        let before = statement.index.checked_sub(1).filter(|before| *before > 0);
        let after = before.and_then(|before| self.verdict(before)).map(|v| v.statement.id());
        if before.is_some() && (after.is_none() || after != statement.after) {
            return Err(self.no_ground("dispute", "verdict of the dispute before"));
        }
        let known =
            self.disputes.disputes.get(&statement.index).and_then(|known| known.get(holder));
        match known {
            Some(known) => known_or(known == endorsement, || second::<Dispute>(holder)),
            None => self
                .not_ended(Dispute::LABEL)
                .map(|()| Decision::Fresh(Event::Disputed(endorsement.clone()))),
        }
    }

    /// Decides on a holder's endorsement of a verdict.
    ///
    /// # Errors
    /// [`RoundError`] when the endorser is no holder, nothing is certified, the dispute is not
    /// certified, it endorsed another verdict of it, or the round has ended.
    pub fn judge(&self, endorsement: &Signed<VerdictEndorsement>) -> Result<Decision, RoundError> {
        let VerdictEndorsement { statement, holder } = &endorsement.statement;
        endorsement.verify(&self.holder(holder)?.signature_key, holder)?;
        statement.check(&self.study, self.opened_closing()?)?;
        let index = self.verdict_index(statement);
        let index = index.ok_or_else(|| self.no_ground("verdict", "dispute"))?;
        match self.disputes.verdicts.get(&index).and_then(|known| known.get(holder)) {
            Some(known) => known_or(known == endorsement, || second::<Verdict>(holder)),
            None => self
                .not_ended(Verdict::LABEL)
                .map(|()| Decision::Fresh(Event::Judged(endorsement.clone()))),
        }
    }

    /// The certified dispute with an index.
    pub fn certified_dispute(&self, index: u16) -> Option<DisputeCertificate> {
        self.quorum(self.disputes.disputes.get(&index)?)
    }

    /// The certified verdict of the dispute with an index; of check words with index 0.
    pub fn verdict(&self, index: u16) -> Option<VerdictCertificate> {
        self.quorum(self.disputes.verdicts.get(&index)?)
    }

    /// The certified verdicts, by index.
    pub fn verdicts(&self) -> impl Iterator<Item = (u16, Verdict)> {
        let indices = self.disputes.verdicts.keys();
        indices.filter_map(|index| Some((*index, self.verdict(*index)?.statement)))
    }

    /// Words that an opening on a subject holds.
    ///
    /// # Errors
    /// [`RoundError::NoGround`] when nothing of the kind is certified.
    pub fn opening_words(&self, subject: Subject) -> Result<usize, RoundError> {
        Ok(opening_words(&self.study.threshold, subject, self.opening_sites(subject)?))
    }

    /// Sites that an opening on a subject is about: those of the set that are left, or those that the
    /// verdict names.
    pub(super) fn opening_sites(&self, subject: Subject) -> Result<usize, RoundError> {
        let closing = self.opened_closing()?;
        match subject {
            Subject::Sum => Ok(closing.included.len()),
            Subject::Functionals { dispute } => {
                let dispute = self.disputes.disputes.keys().find_map(|index| {
                    self.certified_dispute(*index).filter(|known| known.statement.id() == dispute)
                });
                let ground = || self.no_ground("opening", "dispute");
                let index = dispute.ok_or_else(ground)?.statement.index;
                // Those of check words stay in the set.
                let before = self.verdicts().filter(|(of, _)| (1..index).contains(of));
                let removed: BTreeSet<SiteId> = before.flat_map(|(_, v)| v.sites).collect();
                Ok(closing.included.len() - removed.len().min(closing.included.len()))
            }
            Subject::Keys { verdict } => {
                let mut verdicts = self.verdicts().filter(|(_, known)| known.dispute.is_some());
                let known = verdicts.find(|(_, known)| known.id() == verdict);
                known
                    .map(|(_, known)| known.sites.len())
                    .ok_or_else(|| self.no_ground("opening", "verdict of a dispute"))
            }
        }
    }

    /// The index of a verdict's dispute, if that is certified; 0 without a dispute.
    pub fn verdict_index(&self, verdict: &Verdict) -> Option<u16> {
        let Some(dispute) = verdict.dispute else { return Some(0) };
        self.disputes.disputes.keys().copied().find(|index| {
            self.certified_dispute(*index).is_some_and(|known| known.statement.id() == dispute)
        })
    }

    /// How far disputes and verdicts have come, by index.
    pub(super) fn dispute_statuses(&self) -> Vec<DisputeStatus> {
        let Disputes { disputes, verdicts } = &self.disputes;
        let names = |index: u16| DisputeStatus {
            index,
            disputing: self.endorsers(disputes.get(&index)),
            disputed: self.certified_dispute(index).is_some(),
            answered: self.certified_dispute(index).map_or_else(
                || self.endorsers::<()>(None),
                |certified| self.opened(Subject::Functionals { dispute: certified.statement.id() }),
            ),
            judging: self.endorsers(verdicts.get(&index)),
            judged: self.verdict(index).is_some(),
            removing: self.verdict(index).map_or_else(
                || self.endorsers::<()>(None),
                |certified| self.opened(Subject::Keys { verdict: certified.statement.id() }),
            ),
        };
        self.disputed().into_iter().map(names).collect()
    }

    fn endorsers<S>(&self, endorsed: Option<&Endorsed<S>>) -> SiteSet {
        self.set(endorsed.into_iter().flat_map(BTreeMap::keys))
    }

    /// Each index, whether its dispute is certified, and whether its verdict is.
    pub(super) fn settled(&self) -> Vec<(u16, bool, bool)> {
        let settled = |index: u16| {
            (index, self.certified_dispute(index).is_some(), self.verdict(index).is_some())
        };
        self.disputed().into_iter().map(settled).collect()
    }

    fn disputed(&self) -> BTreeSet<u16> {
        let Disputes { disputes, verdicts } = &self.disputes;
        disputes.keys().chain(verdicts.keys()).copied().collect()
    }

    /// The closing of a certified set; nothing can be in dispute before.
    fn opened_closing(&self) -> Result<&Closing, RoundError> {
        let certified = matches!(self.state(), RoundState::Certified | RoundState::Opened);
        let closing = self.closing.as_ref().filter(|_| certified);
        closing.map(|closing| &closing.statement).ok_or_else(|| self.uncertified())
    }

    /// Refuses to change who is barred once Q sites have acknowledged one model: the manifest of the
    /// next round names the trust of then.
    fn not_ended(&self, what: &'static str) -> Result<(), RoundError> {
        match self.agreed_model() {
            None => Ok(()),
            Some(_) => Err(RoundError::Ended { what, round: self.number() }),
        }
    }

    fn quorum<S: Certifiable>(&self, endorsed: &Endorsed<S>) -> Option<Quorum<S>> {
        Quorum::of(endorsed.values(), self.study.threshold.endorsements)
    }

    fn no_ground(&self, what: &'static str, ground: &'static str) -> RoundError {
        let needed = self.study.threshold.endorsements;
        RoundError::NoGround { what, ground, round: self.number(), needed }
    }
}

fn second<S: Certifiable>(holder: &SiteId) -> RoundError {
    RoundError::SecondDispute { holder: holder.clone(), what: S::LABEL }
}
