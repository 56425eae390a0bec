//! What must hold of reviews, disputes and verdicts in every schedule: nobody honest is named.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_crypto::Digest;
use ringfence_crypto::dealing::{Answer, Trust};
use ringfence_crypto::id::{
    ClosingId, DisputeId, FreezeId, ManifestId, RoundNumber, SiteId, VerdictId,
};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Closing, Dispute, DisputeEndorsement, Opening, Review, Subject, Verdict, VerdictEndorsement,
};

use crate::checks::{FAIR, Observer};
use crate::cipher::{Level, SPOILED};
use crate::faults::Cheats;
use crate::toy;

pub(crate) const ONE_REVIEW: &str = "an honest holder makes one review a round";
pub(crate) const ONE_DISPUTE: &str = "an honest holder endorses one dispute an index";
pub(crate) const FAILS: &str = "honest holders dispute the first position that fails";
pub(crate) const NAMED: &str = "honest holders name nobody honest";
pub(crate) const BARRED: &str = "nobody honest is barred, and every pair has a corrupt site";
pub(crate) const CARRIED: &str = "who is barred stays barred, at every honest site";
pub(crate) const LIARS: &str = "nobody honest is found to lie in its opening";
pub(crate) const CERTIFIED_DISPUTE: &str =
    "honest holders open functionals under a certified dispute only";
pub(crate) const CERTIFIED_KEYS: &str =
    "honest holders open keys under the certified verdict of a certified dispute only";

/// What was said in disputes.
#[derive(Default)]
pub(crate) struct Named {
    reviews: BTreeMap<(SiteId, ManifestId), FreezeId>,
    /// The dealers of the freezes that were reviewed.
    pub(crate) frozen: BTreeMap<FreezeId, Vec<SiteId>>,
    /// Who made a review, by its digest.
    reviewers: BTreeMap<Digest, SiteId>,
    /// Whether a set was certified without the review of an honest holder that is not set aside. A
    /// dealer may have cheated that one, and then a lie in an opening leaves a spoiled sum
    /// undetermined: nobody is named, and the round does not end.
    pub(crate) late: bool,
    own: BTreeMap<(SiteId, RoundNumber, u16), DisputeId>,
    /// Where honest holders say that sums fail, by closing and index.
    positions: BTreeMap<(ClosingId, u16), usize>,
    disputes: BTreeMap<DisputeId, (Dispute, BTreeSet<SiteId>)>,
    verdicts: BTreeMap<VerdictId, (Verdict, BTreeSet<SiteId>)>,
    /// Trust before a round, at the first honest site that accepted its manifest.
    trust: BTreeMap<RoundNumber, Trust>,
    /// How contributions are made.
    pub(crate) level: Option<Level>,
}

impl Observer {
    pub(crate) fn review(&mut self, review: &Review) {
        let Review { manifest, freeze, holder, answers } = review;
        if self.corrupt.contains(holder) {
            return;
        }
        self.named.reviewers.insert(review.id(), holder.clone());
        let key = (holder.clone(), *manifest);
        let first = *self.named.reviews.entry(key).or_insert(*freeze);
        self.check(ONE_REVIEW, first == *freeze, || format!("{holder}: {first} and {freeze}"));
        let dealers = self.named.frozen.get(freeze).into_iter().flatten();
        let fair = answers
            .iter()
            .zip(dealers)
            .all(|(answer, dealer)| *answer != Answer::NoShare || self.corrupt.contains(dealer));
        self.check(FAIR, fair, || format!("{review:?}"));
    }

    /// Takes note of honest holders whose reviews a certified set was judged without.
    pub(crate) fn reviewed_late(&mut self, closing: &Closing) {
        let listed: BTreeSet<&SiteId> =
            closing.reviews.iter().filter_map(|id| self.named.reviewers.get(id)).collect();
        let trust = self.named.trust.get(&closing.round);
        let aside = |site: &SiteId| trust.is_some_and(|trust| trust.sets_aside(site));
        let window = self.parties.study.window(closing.round);
        let mut honest = window.iter().filter(|site| !self.corrupt.contains(*site));
        let late = honest.any(|site| !listed.contains(site) && !aside(site));
        self.named.late |= late && !closing.is_abort();
    }

    fn certifies(&self, endorsed: &BTreeSet<SiteId>) -> bool {
        endorsed.len() >= usize::from(self.parties.study.threshold.endorsements)
    }

    pub(crate) fn dispute(&mut self, endorsement: &Signed<DisputeEndorsement>) {
        let DisputeEndorsement { statement, holder } = &endorsement.statement;
        let id = statement.id();
        let known = self.named.disputes.entry(id);
        let known = known.or_insert_with(|| (statement.clone(), BTreeSet::new()));
        known.1.insert(holder.clone());
        if self.corrupt.contains(holder) {
            return;
        }
        let key = (holder.clone(), statement.round, statement.index);
        let first = *self.named.own.entry(key).or_insert(id);
        self.check(ONE_DISPUTE, first == id, || format!("{holder}: {statement:?}"));
        let at = usize::from(statement.coefficient);
        let key = (statement.closing, statement.index);
        let first = *self.named.positions.entry(key).or_insert(at);
        let found = self.failing(statement);
        let fails = first == at && found.is_none_or(|found| found == Some(at));
        self.check(FAILS, fails, || {
            format!("{holder}: {statement:?}, expected {found:?}, another one {first}")
        });
    }

    /// Where the sum over a set fails first that is left at a dispute, if it does. None where a dealer
    /// of it dealt wrong shares: the key that the holders' shares stand for is not known then.
    fn failing(&self, dispute: &Dispute) -> Option<Option<usize>> {
        let mut removed = BTreeSet::new();
        let mut after = dispute.after;
        while let Some(id) = after {
            let (verdict, _) = self.named.verdicts.get(&id)?;
            removed.extend(verdict.sites.iter().cloned());
            after = self.named.disputes.get(&verdict.dispute?)?.0.after;
        }
        let (closing, _) = self.closings.get(&dispute.closing)?;
        let included = closing.statement.included.iter();
        let left = included.filter(|entry| !removed.contains(&entry.site));
        let left: Vec<_> = left.map(|entry| &self.made[&entry.header]).collect();
        if left.iter().any(|known| known.odd) {
            return None;
        }
        let sum = left.iter().fold([0; toy::WORDS], |sum, known| toy::add(sum, known.plain));
        let at = sum.iter().position(|word| !toy::in_bounds(*word, left.len()));
        let full = self.named.level == Some(Level::Full);
        Some(at.map(|at| if full { SPOILED[at] } else { at }))
    }

    pub(crate) fn verdict(&mut self, endorsement: &Signed<VerdictEndorsement>) {
        let VerdictEndorsement { statement, holder } = &endorsement.statement;
        let known = self.named.verdicts.entry(statement.id());
        let known = known.or_insert_with(|| (statement.clone(), BTreeSet::new()));
        known.1.insert(holder.clone());
        let honest = !self.corrupt.contains(holder);
        let fair = statement.sites.iter().all(|site| self.corrupt.contains(site));
        self.check(NAMED, !honest || fair, || format!("{holder}: {statement:?}"));
    }

    /// An honest holder opened functionals or keys.
    pub(crate) fn opened_in_dispute(&mut self, opening: &Opening) {
        let Opening { holder, subject, .. } = opening;
        let certified = |id: &DisputeId| {
            let known = self.named.disputes.get(id);
            known.is_some_and(|(_, endorsed)| self.certifies(endorsed))
        };
        match subject {
            Subject::Sum => {}
            Subject::Functionals { dispute } => {
                let holds = certified(dispute);
                self.tally.functionals += 1;
                self.check(CERTIFIED_DISPUTE, holds, || format!("{holder}: {dispute}"));
            }
            Subject::Keys { verdict } => {
                let known = self.named.verdicts.get(verdict);
                let holds = known.is_some_and(|(verdict, endorsed)| {
                    self.certifies(endorsed)
                        && verdict.dispute.is_some_and(|dispute| certified(&dispute))
                        && verdict.sites.iter().all(|site| self.corrupt.contains(site))
                });
                self.tally.keys += 1;
                self.check(CERTIFIED_KEYS, holds, || format!("{holder}: {verdict}"));
            }
        }
    }

    /// A site accepts a manifest, which names this trust before its round.
    pub(crate) fn trusts(&mut self, site: usize, round: RoundNumber, trust: &Trust) {
        if self.faults.corrupt(site).is_some() {
            return;
        }
        let fair = trust.barred.iter().all(|site| self.corrupt.contains(site))
            && trust.pairs.iter().all(|pair| {
                self.corrupt.contains(&pair.holder) || self.corrupt.contains(&pair.dealer)
            });
        self.tally.barred += trust.barred.len();
        self.tally.pairs += trust.pairs.len();
        self.check(BARRED, fair, || format!("round {round}: {trust:?}"));
        if self.faults.cheats != Cheats::Never {
            return;
        }
        let first = self.named.trust.entry(round).or_insert_with(|| trust.clone()).clone();
        let before = round.before().and_then(|last| self.named.trust.get(&last));
        let mut barred: BTreeSet<SiteId> =
            before.into_iter().flat_map(|trust| trust.barred.iter().cloned()).collect();
        let verdicts = self.named.verdicts.values();
        for (verdict, endorsed) in verdicts.filter(|(verdict, _)| verdict.round.next() == round) {
            if self.certifies(endorsed) {
                barred.extend(verdict.sites.iter().cloned());
            }
        }
        let carried = first == *trust && barred.iter().all(|site| trust.bars(site));
        self.check(CARRIED, carried, || {
            format!("round {round}: {trust:?}, another site has {first:?}, barred {barred:?}")
        });
    }

    /// A site found that these holders opened what disagrees with the others.
    pub(crate) fn liars(&mut self, named: &[SiteId]) {
        self.tally.liars += named.len();
        let fair = named.iter().all(|site| self.corrupt.contains(site));
        self.check(LIARS, fair, || format!("{named:?}"));
    }
}
