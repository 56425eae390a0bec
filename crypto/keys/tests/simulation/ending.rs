//! What a site does at the end of a round: endorse, keep the certificate, open, apply the mean.

use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::id::ModelId;
use ringfence_crypto::log::StudyLog;
use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Closing, Endorsement, Manifest, Outcome,
};
use ringfence_keys::duties::contributor::{End, Record};
use ringfence_keys::duties::holder::{ClosingView, Decision};
use ringfence_keys::duties::logged::Seen;

use crate::cipher::Opener;
use crate::round_keys::RoundKey;
use crate::site::Site;
use crate::world::{Broken, Crash, Message, Shown, To, World};
use ringfence_testkit::{previous_of, proofs};

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
        let endorsement = if world.faults.corrupt(self.index).is_some_and(|c| c.endorses) {
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
            let view = ClosingView { manifest, closing, headers, reviews, receipt, log };
            let endorsement = match self.holder.endorse(view) {
                Ok(Decision::Repeat(endorsement)) => {
                    if world.is(Broken::NeverRepeats) || !self.tell(world, "endorsement", round) {
                        return Ok(());
                    }
                    endorsement
                }
                Ok(Decision::Fresh(endorsement)) => {
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
                    self.memory.told.insert(("endorsement", round));
                    endorsement
                }
                Err(_) => {
                    self.memory.refused.insert(closing.id());
                    world.observer.tally.refusals += 1;
                    return Ok(());
                }
            };
            world.observer.endorses(closing, own);
            endorsement
        };
        if world.is(Broken::OpensEarly) {
            let certificate = Certificate { closing: closing.clone(), endorsements: Vec::new() };
            let by = Opener::honest(self.index, None);
            let frame = world.cipher().stub(by, &certificate);
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
            assert_eq!(known.closing, certificate.closing.id(), "see the rule on certificates");
            return Ok(());
        }
        certificate.check(&world.parties.study, manifest).unwrap();
        let closing = &certificate.closing;
        let (previous, end) = (previous_of(closing), End::from(&closing.statement));
        let record = self
            .disk
            .records
            .get(&round)
            .cloned()
            .map(|record| Record { end: Some(end), ..record });
        let copy = record.clone();
        world.write(&mut self.disk, |disk| {
            disk.ended.insert(round, (previous, end));
            disk.records.extend(copy.map(|record| (round, record)));
        })?;
        if let Some(record) = record {
            self.contributor.record(record);
        }
        self.destroy_secrets(world)
    }

    pub(crate) fn open(
        &mut self,
        world: &mut World,
        shown: &Shown,
        certificate: &Certificate,
    ) -> Result<(), Crash> {
        let round = shown.manifest.statement.round;
        if !self.disk.openings.contains_key(&round) {
            let Ok(set) = self.holder.may_open(&shown.manifest.statement, certificate) else {
                world.observer.tally.refusals += 1;
                return Ok(());
            };
            let lies = world.faults.corrupt(self.index).is_some_and(|corrupt| corrupt.lies);
            let key = self.round_key(world, &shown.manifest.statement);
            if matches!(key, RoundKey::Lost) {
                return Ok(());
            }
            let by = Opener { holder: self.index, secret: key.secret(), lies };
            let (cipher, rng) = (world.cipher(), &mut world.dice.0);
            let frame = cipher.open(by, (certificate, &set), &shown.posted, rng);
            let Some(frame) = frame.map(Arc::new) else { return Ok(()) };
            world.write(&mut self.disk, |disk| drop(disk.openings.insert(round, frame)))?;
            self.destroy_secrets(world)?;
        }
        let frame = Arc::clone(&self.disk.openings[&round]);
        if shown.openings.iter().any(|known| known.statement.statement.holder == self.id) {
            return Ok(());
        }
        world.send(To::Aggregator, Message::Opening(frame));
        Ok(())
    }

    /// Opens the sum and applies the mean.
    pub(crate) fn apply(
        &mut self,
        world: &mut World,
        shown: &Shown,
        certificate: &Certificate,
    ) -> Result<(), Crash> {
        let manifest = &shown.manifest.statement;
        let round = manifest.round;
        let Some(sum) = shown.sum.as_ref().filter(|_| shown.state == RoundState::Opened) else {
            return Ok(());
        };
        let again = self.disk.applied.contains_key(&round);
        if again && !self.tell(world, "acknowledgement", round)
            || self.memory.tried == Some((round, shown.openings.len()))
        {
            return Ok(());
        }
        if !again {
            let frames = &shown.openings;
            let opened = world.cipher().recover(
                self.index,
                (manifest, certificate),
                (frames, &shown.posted),
                sum,
            );
            world.observer.recovered(manifest, certificate, frames, &opened);
            let Ok(sums) = opened else {
                self.memory.tried = Some((round, frames.len()));
                return Ok(());
            };
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
}
