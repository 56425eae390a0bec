//! What a site does at the end of a round: endorse, keep the certificate, open, apply the mean. What
//! it does when the sum does not decode is in `dispute.rs`.

use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{ModelId, SiteId};
use ringfence_crypto::log::StudyLog;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Closing, Dispute, Endorsement, Manifest, Outcome, Proceedings,
    Subject,
};
use ringfence_keys::duties::contributor::{End, Record};
use ringfence_keys::duties::holder::{ClosingView, Decision};
use ringfence_keys::duties::logged::Seen;
use ringfence_keys::open::Position;
use ringfence_keys::share::reconstruct::KeySum;

use crate::cipher::{About, Ticket};
use crate::dispute::Matter;
use crate::site::Site;
use crate::world::{Broken, Crash, Message, Shown, To, World};
use ringfence_testkit::proofs;

impl Site {
    pub(crate) fn endorse(
        &mut self,
        world: &mut World,
        log: &StudyLog,
        shown: &Shown,
        closing: &Signed<Closing>,
    ) -> Result<(), Crash> {
        let manifest = &shown.manifest.statement;
        let round = manifest.round;
        if self.memory.refused.contains(&closing.id()) && !world.dice.percent(20) {
            return Ok(());
        }
        let known = self.disk.endorsed.get(&round).filter(|known| known.closing == closing.id());
        if known.is_some() && !self.tell(world, "endorsement", round) {
            return Ok(());
        }
        let endorsement = if world.corrupt(self.index).is_some_and(|c| c.endorses) {
            let (study, closing, holder) = (manifest.study, closing.id(), self.id.clone());
            Endorsement { study, round, closing, holder }
        } else {
            let receipt = self.disk.receipts.get(&round).cloned();
            let own = receipt.as_ref();
            let receipt = own.filter(|_| !world.is(Broken::IgnoresReceipt));
            let statement = &closing.statement;
            let signed = receipt.map(|signed| &signed.statement);
            let log = proofs(log, manifest, statement, signed, self.holder.seen());
            let headers: Vec<_> = shown.posted.iter().map(|posted| posted.header.clone()).collect();
            let (headers, reviews, log) = (&headers[..], &shown.reviews[..], &log);
            let Some(freeze) = &shown.freeze else { return Ok(()) };
            let trust = &self.trust(world, round);
            let view =
                ClosingView { manifest, trust, freeze, closing, headers, reviews, receipt, log };
            match self.holder.endorse(view) {
                Ok(Decision::Repeat(_)) if world.is(Broken::NeverRepeats) => return Ok(()),
                Ok(Decision::Repeat(endorsement)) => endorsement,
                Ok(Decision::Fresh(endorsement)) => {
                    if !statement.is_abort() {
                        world.observer.freezes(&freeze.statement, own);
                    }
                    if !world.is(Broken::ForgetsEndorsements) {
                        let (copy, seen) = (endorsement.clone(), Seen::from(statement));
                        world.write(&mut self.disk, |disk| {
                            disk.endorsed.insert(round, copy);
                            if disk.seen.is_none_or(|s| s.checkpoint.size < seen.checkpoint.size) {
                                disk.seen = Some(seen);
                            }
                        })?;
                    }
                    if world.is(Broken::DestroysEarly) {
                        self.disk.secrets.remove(&round);
                    }
                    self.holder.record(endorsement.clone(), statement);
                    self.memory.told.insert(("endorsement", round, 0));
                    endorsement
                }
                Err(_) => {
                    self.memory.refused.insert(closing.id());
                    world.observer.tally.refusals += 1;
                    return Ok(());
                }
            }
        };
        if world.is(Broken::OpensEarly) {
            let about = About { closing, subject: Subject::Sum };
            let frame = world.cipher().stub_opening(self.index, about, &[0, 0]);
            world.send(To::Aggregator, Message::Opening(Arc::new(frame)));
        }
        let signed = world.parties.identities[self.index].sign(endorsement);
        world.send(To::Aggregator, Message::Endorsement(signed));
        Ok(())
    }

    /// Keeps how a round ended, if the certificate holds.
    pub(crate) fn learn(
        &mut self,
        world: &mut World,
        manifest: &Manifest,
        certificate: &Certificate,
    ) -> Result<(), Crash> {
        let round = manifest.round;
        if let Some((known, _)) = self.disk.ended.get(&round) {
            assert_eq!(*known, certificate.closing.id(), "see the rule on certificates");
            return Ok(());
        }
        certificate.check(&world.parties.study, manifest).unwrap();
        let closing = &certificate.closing;
        let end = End::from(&closing.statement);
        let record = self
            .disk
            .records
            .get(&round)
            .cloned()
            .map(|record| Record { end: Some(end), ..record });
        let copy = record.clone();
        world.write(&mut self.disk, |disk| {
            disk.ended.insert(round, (closing.id(), end));
            disk.records.extend(copy.map(|record| (round, record)));
        })?;
        if let Some(record) = record {
            self.contributor.record(record);
        }
        self.destroy_secrets(world)
    }

    /// What is to be done under a round's certificate.
    pub(crate) fn conclude(
        &mut self,
        world: &mut World,
        shown: &Shown,
        certificate: &Certificate,
        holds: bool,
    ) -> Result<(), Crash> {
        let manifest = &shown.manifest.statement;
        let round = manifest.round;
        if self.disk.settled.contains_key(&round) && self.disk.applied.contains_key(&round) {
            return Ok(());
        }
        // Nothing new: signatures are checked again now and then only.
        let at_hand = self.at_hand(shown);
        if self.memory.tried == Some((round, at_hand)) && !world.dice.percent(15) {
            return Ok(());
        }
        self.memory.tried = Some((round, at_hand));
        self.learn(world, manifest, certificate)?;
        self.adopt(world, shown, certificate)?;
        if certificate.closing.statement.is_abort() {
            return self.settle(world, shown, certificate);
        }
        let Some(judged) = self.judged(world, shown, certificate) else { return Ok(()) };
        let openers = &self.openers(world, shown, (&judged, certificate));
        let holds = holds && !self.disk.settled.contains_key(&round);
        let free = judged.judgement.free;
        let matter = Matter { shown, certificate, openers, free, holds };
        if self.disk.openings.contains_key(&(round, Subject::Sum)) {
            self.send_opening(world, matter, Subject::Sum);
        } else {
            match self.holder.may_open(manifest, certificate).as_ref() {
                Ok(set) => self.open_once(world, matter, (Ticket::Sum(set), Subject::Sum))?,
                Err(_) => world.observer.tally.refusals += usize::from(holds),
            }
        }
        self.apply(world, matter)?;
        self.settle(world, shown, certificate)
    }

    /// How much there is of a round, shown and on disk.
    fn at_hand(&self, shown: &Shown) -> [usize; 6] {
        let own = &self.disk;
        [
            shown.openings.len(),
            shown.disputed.len() + shown.judged.len(),
            shown.reviews.len(),
            shown.acknowledgements.len(),
            own.verdicts.len() + own.disputes.len() + own.openings.len() + own.applied.len(),
            own.proceedings.values().map(|of| 1 + of.disputes.len()).sum(),
        ]
    }

    /// Opens the sum and applies the mean.
    fn apply(&mut self, world: &mut World, matter: Matter<'_>) -> Result<(), Crash> {
        let Matter { shown, certificate, .. } = matter;
        let manifest = &shown.manifest.statement;
        let round = manifest.round;
        let again = self.disk.applied.contains_key(&round);
        if again && !self.tell(world, "acknowledgement", round) {
            return Ok(());
        }
        if !again {
            let Some(sums) = self.resolve(world, matter)? else { return Ok(()) };
            let removed = self.disk.proceedings.get(&round).map(Proceedings::removed);
            let closing = &certificate.closing.statement;
            world.observer.recovered(manifest, closing, &removed.unwrap_or_default(), &sums);
            let text = format!("{} {sums:?}", manifest.base_model);
            let model = ModelId(Digest::of(text.as_bytes()));
            world.write(&mut self.disk, |disk| {
                disk.applied.insert(round, model);
                disk.models.push(model);
            })?;
        }
        let model = world.parties.check_key.model(&self.disk.applied[&round]);
        let acknowledgement = world.parties.identities[self.index].sign(Acknowledgement {
            manifest: manifest.id(),
            closing: certificate.closing.id(),
            site: self.id.clone(),
            outcome: Outcome::Applied { model },
        });
        world.send(To::Aggregator, Message::Acknowledgement(acknowledgement));
        Ok(())
    }

    /// The sums in the clear, without the culprits', once they are there.
    fn resolve(
        &mut self,
        world: &mut World,
        matter: Matter<'_>,
    ) -> Result<Option<Vec<u64>>, Crash> {
        let Matter { shown, certificate, free, .. } = matter;
        let (manifest, closing) = (&shown.manifest.statement, &certificate.closing);
        let none = Proceedings::default();
        if let Some(at) = self.copied(world, matter) {
            self.endorse_dispute(world, (matter, &none), at)?;
        }
        let (Some(sum), Some(members)) = (&shown.sum, matter.left(&none)) else { return Ok(None) };
        let (cipher, threshold) = (world.cipher(), world.parties.study.threshold);
        let mut sum = Vec::clone(sum);
        if !cipher.checks(&closing.statement, &members, &sum) {
            let counted = cipher.recount(closing, &members);
            world.observer.counted(&counted);
            sum = counted.sum;
            let names = threshold.names() && !counted.wrong.is_empty();
            if names && !self.check_words(world, matter, &counted.wrong)? {
                return Ok(None);
            }
        }
        let opened = matter.opened(world, (self.index, Subject::Sum), 1);
        let Some(shares) = cipher.shares(&opened, 0) else { return Ok(None) };
        let mut spoiled = None;
        if let Ok(candidates) = KeySum::candidates(&shares, &threshold, free) {
            for keys in candidates {
                let determined = keys.is_determined(&threshold, free);
                let liars = named(world, manifest, &keys.disagreeing);
                world.observer.liars(&liars);
                match cipher.decode(manifest, &keys, (&sum, &members)) {
                    Ok(sums) => return Ok(Some(sums)),
                    Err(at) if determined || world.is(Broken::BelievesFew) => {
                        spoiled.get_or_insert((keys, at));
                    }
                    Err(_) => {}
                }
            }
        }
        let counting: Vec<usize> = shares.iter().map(|(offset, _)| *offset).collect();
        world.observer.undecoded(manifest, &counting, free, spoiled.is_some());
        match spoiled {
            Some(spoiled) if threshold.names() => self.without_culprits(world, matter, spoiled),
            _ => Ok(None),
        }
    }

    /// A planted fault: the position of a dispute that somebody else endorses.
    fn copied(&self, world: &World, matter: Matter<'_>) -> Option<Position> {
        let shown = matter.shown.disputing.first().filter(|_| world.is(Broken::DisputesUnseen))?;
        let Dispute { block, coefficient, .. } = shown.statement.statement;
        Some(Position { block, coefficient })
    }
}

/// The holders at these window offsets; by a planted fault, the sites at these places of the roster.
fn named(world: &World, manifest: &Manifest, offsets: &[usize]) -> Vec<SiteId> {
    let roster = &world.parties.study.roster;
    let name = |offset: &usize| match world.is(Broken::NamesByRoster) {
        true => roster[*offset].id.clone(),
        false => manifest.holders[*offset].clone(),
    };
    offsets.iter().map(name).collect()
}
