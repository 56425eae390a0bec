//! What a site makes of a certified closing: the judgement of its reviews, whose openings count, what
//! was certified since, and when the round is settled.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringfence_crypto::dealing::{Judge, Judgement, Reviewed, Trust};
use ringfence_crypto::id::{ClosingId, SiteId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Outcome, Previous, Proceedings, Review, Settled, Study,
};

use crate::site::Site;
use crate::world::{Broken, Crash, Shown, World};

/// The reviews that a closing lists, judged.
pub(crate) struct Judged {
    window: Vec<SiteId>,
    dealers: Vec<SiteId>,
    trust: Trust,
    listed: Vec<Reviewed>,
    pub(crate) judgement: Judgement,
}

impl Site {
    /// The judgement of a certified closing, if the freeze and the reviews that it lists are shown.
    pub(crate) fn judged(
        &mut self,
        world: &World,
        shown: &Shown,
        certificate: &Certificate,
    ) -> Option<Arc<Judged>> {
        let id = certificate.closing.id();
        if let Some(known) = self.memory.judged.get(&id) {
            return Some(Arc::clone(known));
        }
        let (study, closing) = (&world.parties.study, &certificate.closing.statement);
        let (freeze, trust) = (&shown.freeze.as_ref()?.statement, self.trust(world, closing.round));
        let listed = closing.judged(study, freeze, &shown.reviews).ok()?;
        let (window, dealers) = (study.window(closing.round), freeze.dealers());
        let judgement = Judge::of(study, &window, &dealers, &trust).judge(&listed).ok()?;
        let judged = Arc::new(Judged { window, dealers, trust, listed, judgement });
        self.memory.judged.insert(id, Arc::clone(&judged));
        Some(judged)
    }

    /// Window offsets of the holders whose openings count.
    pub(crate) fn openers(
        &self,
        world: &World,
        shown: &Shown,
        (judged, certificate): (&Judged, &Certificate),
    ) -> BTreeSet<usize> {
        let Judged { window, dealers, trust, listed, judgement } = judged;
        if world.is(Broken::CountsDisagreeing) {
            return (0..window.len()).collect();
        }
        let (study, closing) = (&world.parties.study, &certificate.closing.statement);
        let listed_already = |review: &Signed<Review>| closing.reviews.contains(&review.id());
        let late = shown.reviews.iter().filter(|review| !listed_already(review)).filter(|review| {
            let freeze = shown.freeze.as_ref().map(|freeze| &freeze.statement);
            freeze.is_some_and(|freeze| Review::check(review, study, freeze).is_ok())
        });
        let late: Vec<Reviewed> = late.map(|review| review.statement.reviewed()).collect();
        let set: Vec<SiteId> = closing.included.iter().map(|entry| entry.site.clone()).collect();
        let judge = Judge::of(study, window, dealers, trust);
        let openers = judge.openers(judgement, &set, listed, &late);
        let offsets = window.iter().enumerate().filter(|(_, holder)| openers.contains(*holder));
        offsets.map(|(offset, _)| offset).collect()
    }

    /// Keeps what is certified of a round after its closing, in its order.
    pub(crate) fn adopt(
        &mut self,
        world: &mut World,
        shown: &Shown,
        certificate: &Certificate,
    ) -> Result<(), Crash> {
        let round = shown.manifest.statement.round;
        let known = self.disk.proceedings.get(&round).cloned().unwrap_or_default();
        let mut of: Proceedings = known.clone();
        if of.check_words.is_none() {
            of.check_words = shown.judged.get(&0).cloned();
        }
        while let index = of.next_index()
            && let (Some(dispute), Some(verdict)) =
                (shown.disputed.get(&index), shown.judged.get(&index))
        {
            let (dispute, verdict) = (dispute.clone(), verdict.clone());
            of.disputes.push(Settled { dispute, verdict });
        }
        if of == known {
            return Ok(());
        }
        let study = &world.parties.study;
        of.check(study, &certificate.closing.statement).unwrap();
        world.observer.tally.verdicts += of.disputes.len() - known.disputes.len();
        world.write(&mut self.disk, |disk| drop(disk.proceedings.insert(round, of)))
    }

    /// Takes a round for settled once it was aborted or Q sites hold one model.
    pub(crate) fn settle(
        &mut self,
        world: &mut World,
        shown: &Shown,
        certificate: &Certificate,
    ) -> Result<(), Crash> {
        let closing = &certificate.closing.statement;
        let (round, id) = (closing.round, certificate.closing.id());
        if self.disk.settled.contains_key(&round) {
            return Ok(());
        }
        if !closing.is_abort() && !agreed(&world.parties.study, id, &shown.acknowledgements) {
            return Ok(());
        }
        let Some(judged) = self.judged(world, shown, certificate) else { return Ok(()) };
        let (closed_at, trust) = (closing.closed_at, judged.judgement.trust.clone());
        let ended = Previous { round, closing: id, closed_at, trust };
        world.write(&mut self.disk, |disk| drop(disk.settled.insert(round, ended)))?;
        self.holder.record_settled(round);
        self.destroy_secrets(world)
    }
}

/// Whether Q sites hold one model after a closing.
fn agreed(study: &Study, id: ClosingId, said: &[Signed<Acknowledgement>]) -> bool {
    let needed = usize::from(study.threshold.endorsements);
    let of = |outcome: Outcome| {
        let same = said.iter().filter(move |signed| signed.statement.outcome == outcome);
        same.filter(|signed| signed.statement.closing == id)
    };
    let verified = |signed: &&Signed<Acknowledgement>| {
        let site = &signed.statement.site;
        let member = study.site(site);
        member.is_some_and(|member| signed.verify(&member.signature_key, site).is_ok())
    };
    let mut outcomes = said.iter().map(|signed| signed.statement.outcome);
    outcomes.any(|outcome| {
        outcome != Outcome::Failed
            && of(outcome).count() >= needed
            && of(outcome).filter(verified).count() >= needed
    })
}
