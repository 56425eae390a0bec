//! The aggregator around its round machines: decide, write, apply, and only then send. It may show
//! two faces: two closings of one round, each with a machine of its own. How it closes and what it
//! shows is in `closing.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{ClosingId, HeaderId, ManifestId, RoundNumber, UnixSeconds};
use ringfence_crypto::log::{LogEntry, StudyLog};
use ringfence_crypto::round::{Event, Round, RoundError, RoundState, Verdict};
use ringfence_crypto::signature::{Signed, sign};
use ringfence_crypto::statement::{Manifest, Previous, RoundKeys};

use crate::checks::{REFUSALS, REPLAY};
use crate::cipher::Posted;
use crate::world::{Broken, Crash, Message, Served, To, World};
use ringfence_testkit::Parties;

/// One round as one machine sees it: everything from which the machine is made again.
#[derive(Clone)]
pub(crate) struct Face {
    pub(crate) manifest: Signed<Manifest>,
    pub(crate) previous: Option<Previous>,
    pub(crate) events: Vec<Event>,
}

/// What survives a crash.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) faces: Vec<Face>,
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) posted: BTreeMap<HeaderId, Arc<Posted>>,
    pub(crate) sums: BTreeMap<ClosingId, Arc<Vec<u8>>>,
    /// By digest of the signed statement.
    pub(crate) frames: BTreeMap<Digest, Arc<OpeningFrame>>,
    pub(crate) round_keys: Vec<Signed<RoundKeys>>,
}

#[derive(Default)]
pub(crate) struct Aggregator {
    pub(crate) store: Store,
    pub(crate) machines: Vec<Round>,
    pub(crate) log: StudyLog,
}

impl Aggregator {
    /// Starts again from what is durable, and compares with what was in memory: an event may have
    /// been written and not yet applied, everything else must be the same.
    pub(crate) fn restart(&mut self, world: &mut World) {
        let Parties { study, id, .. } = &*world.parties;
        let replay = |face: &Face| {
            let (manifest, previous) = (face.manifest.clone(), face.previous.as_ref());
            let mut round = Round::open(Arc::clone(study), *id, manifest, previous).unwrap();
            face.events.iter().cloned().for_each(|event| round.apply(event));
            round
        };
        let machines: Vec<Round> = self.store.faces.iter().map(replay).collect();
        for ((replayed, live), face) in
            machines.iter().zip(&mut self.machines).zip(&self.store.faces)
        {
            if live.status().version + 1 == replayed.status().version {
                live.apply(face.events.last().unwrap().clone());
            }
            let same = live.status() == replayed.status()
                && live.closing() == replayed.closing()
                && live.certificate() == replayed.certificate();
            let (live, replayed) = (live.status(), replayed.status());
            world.observer.check(REPLAY, same, || format!("{live:?}, replayed {replayed:?}"));
        }
        self.machines = machines;
        let log: StudyLog = self.store.entries.iter().copied().collect();
        // What was in memory is a prefix of what is durable: no checkpoint was given of anything
        // that could still be lost.
        let size = self.log.size();
        let proof = log.consistency(size.min(log.size()), log.size()).unwrap();
        let prefix = size == 0
            || size <= log.size()
                && proof.verify(&self.log.checkpoint(), &log.checkpoint()).is_ok();
        let detail = || format!("{} in memory, {} durable", size, log.size());
        world.observer.check(REPLAY, prefix, detail);
        self.log = log;
    }

    /// What sites may ask for.
    pub(crate) fn served(&self) -> Served<'_> {
        let rounds = self.machines.last().map_or(0, |round| round.number().0 + 1);
        Served { log: &self.log, round_keys: &self.store.round_keys, rounds }
    }

    /// How the last round ended, once it has.
    fn ended(&self) -> Option<Previous> {
        let last = self.machines.last()?.number();
        self.faces_of(last).find_map(|k| self.machines[k].ended())
    }

    /// Whether so many rounds have ended.
    pub(crate) fn has_ended(&self, rounds: u32) -> bool {
        let last = self.machines.last().map_or(0, |round| round.number().next().0);
        last >= rounds && self.ended().is_some()
    }

    /// Rounds opened and events of all of them so far.
    pub(crate) fn events(&self) -> usize {
        self.store.faces.iter().map(|face| 1 + face.events.len()).sum()
    }

    pub(crate) fn faces_of(&self, round: RoundNumber) -> impl Iterator<Item = usize> + use<> {
        let faces: Vec<usize> =
            (0..self.machines.len()).filter(|k| self.machines[*k].number() == round).collect();
        faces.into_iter()
    }

    fn faces_under(&self, manifest: ManifestId) -> impl Iterator<Item = usize> + use<> {
        let faces: Vec<usize> = (0..self.machines.len())
            .filter(|k| self.machines[*k].manifest_id() == manifest)
            .collect();
        faces.into_iter()
    }

    /// Makes an event durable, then applies it.
    pub(crate) fn commit(
        &mut self,
        world: &mut World,
        k: usize,
        event: Event,
    ) -> Result<(), Crash> {
        let before = self.machines[k].state();
        let first = world.is(Broken::AppliesFirst);
        if first {
            self.machines[k].apply(event.clone());
        }
        let entry = event.entry();
        let logs_first = world.is(Broken::LogsFirst);
        if logs_first {
            entry.map(|entry| self.log.append(entry));
        }
        world.write(&mut self.store, |store| {
            store.faces[k].events.push(event.clone());
            store.entries.extend(entry);
        })?;
        if !first {
            self.machines[k].apply(event);
        }
        if !logs_first {
            entry.map(|entry| self.log.append(entry));
        }
        let after = self.machines[k].state();
        if after != before {
            world.observer.reached(after);
            self.publish(world, k, None);
        }
        Ok(())
    }

    /// Asks a machine; what it accepts is committed, what it refuses must leave it as it was.
    /// Returns whether it was accepted, now or before.
    fn decide(
        &mut self,
        world: &mut World,
        k: usize,
        decide: impl FnOnce(&Round) -> Result<Verdict, RoundError>,
    ) -> Result<bool, Crash> {
        let before = self.machines[k].status();
        let refused = match decide(&self.machines[k]) {
            Ok(Verdict::Fresh(event)) => {
                self.commit(world, k, event)?;
                return Ok(true);
            }
            Ok(Verdict::Repeat) => false,
            Err(_) => true,
        };
        let ever = UnixSeconds(u64::MAX);
        let freeze = self.machines[k].freeze_due(ever).filter(|_| refused);
        if let Some(freeze) = freeze.filter(|_| world.is(Broken::AppliesRefused)) {
            let event = Event::Frozen(sign(freeze, &world.parties.aggregator));
            self.store.faces[k].events.push(event.clone());
            self.machines[k].apply(event);
        }
        world.observer.tally.refusals += usize::from(refused);
        let after = self.machines[k].status();
        let events = self.store.faces[k].events.len() as u64;
        let same = before == after && after.version == events;
        world.observer.check(REFUSALS, same, || format!("{before:?}, then {after:?}"));
        Ok(!refused)
    }

    pub(crate) fn handle(&mut self, world: &mut World, message: Message) -> Result<(), Crash> {
        match message {
            Message::Manifest(manifest) => self.open(world, manifest),
            Message::Contribution(posted) => self.receive(world, &posted),
            Message::Review(review) => {
                for k in self.faces_under(review.statement.manifest) {
                    self.decide(world, k, |round| round.review(&review))?;
                }
                Ok(())
            }
            Message::Endorsement(endorsement) => {
                for k in self.faces_of(endorsement.statement.round) {
                    self.decide(world, k, |round| round.endorse(&endorsement))?;
                }
                Ok(())
            }
            Message::Dispute(endorsement) => {
                for k in self.faces_of(endorsement.statement.statement.round) {
                    let before = self.certified(k);
                    self.decide(world, k, |round| round.dispute(&endorsement))?;
                    self.publish_more(world, k, before);
                }
                Ok(())
            }
            Message::Verdict(endorsement) => {
                for k in self.faces_of(endorsement.statement.statement.round) {
                    let before = self.certified(k);
                    self.decide(world, k, |round| round.judge(&endorsement))?;
                    self.publish_more(world, k, before);
                }
                Ok(())
            }
            Message::Opening(frame) => {
                for k in self.faces_under(frame.statement.statement.manifest) {
                    let (digest, copy) = (frame.statement.id(), Arc::clone(&frame));
                    let subject = frame.statement.statement.subject;
                    let opened = self.machines[k].openings(subject).count();
                    world
                        .write(&mut self.store, |store| drop(store.frames.insert(digest, copy)))?;
                    self.decide(world, k, |round| round.take_opening(&frame.statement))?;
                    // More than t openings help against lies.
                    let more = self.machines[k].openings(subject).count() > opened;
                    if more && self.machines[k].state() == RoundState::Opened {
                        self.publish(world, k, None);
                    }
                }
                Ok(())
            }
            Message::Acknowledgement(acknowledgement) => {
                for k in self.faces_under(acknowledgement.statement.manifest) {
                    let before = self.certified(k);
                    self.decide(world, k, |round| round.acknowledge(&acknowledgement))?;
                    self.publish_more(world, k, before);
                }
                Ok(())
            }
            Message::RoundKeys(keys) => self.publish_keys(world, keys),
            other => panic!("not for the aggregator: {other:?}"),
        }
    }

    /// How much of a round is certified after its closing: disputes, verdicts, and its model.
    fn certified(&self, k: usize) -> usize {
        let round = &self.machines[k];
        let disputes = (1..=2).filter(|index| round.certified_dispute(*index).is_some()).count();
        disputes + round.verdicts().count() + usize::from(round.agreed_model().is_some())
    }

    fn publish_more(&self, world: &mut World, k: usize, before: usize) {
        if self.certified(k) > before {
            self.publish(world, k, None);
        }
    }

    /// Takes a site's round keys, unless it has published others for one of their rounds.
    fn publish_keys(&mut self, world: &mut World, keys: Signed<RoundKeys>) -> Result<(), Crash> {
        if self.store.round_keys.contains(&keys) {
            return Ok(());
        }
        let Parties { study, id, .. } = &*world.parties;
        RoundKeys::check(&keys, study, *id).unwrap();
        let rounds =
            |keys: &RoundKeys| keys.first_round.0..keys.first_round.0 + keys.keys.len() as u32;
        let taken = self.store.round_keys.iter().any(|known| {
            let (old, new) = (rounds(&known.statement), rounds(&keys.statement));
            known.statement.site == keys.statement.site
                && old.start < new.end
                && new.start < old.end
        });
        if taken {
            return Ok(());
        }
        world.write(&mut self.store, |store| store.round_keys.push(keys))
    }

    fn open(&mut self, world: &mut World, manifest: Signed<Manifest>) -> Result<(), Crash> {
        let mut previous = self.ended();
        if let Some(previous) = previous.as_mut().filter(|_| world.is(Broken::ForgetsTrust)) {
            previous.trust = Trust::default();
        }
        let running = self.machines.last().is_some() && previous.is_none();
        let Parties { study, id, .. } = &*Arc::clone(&world.parties);
        let study = Arc::clone(study);
        match Round::open(study, *id, manifest.clone(), previous.as_ref()) {
            Ok(round) if !running => {
                let entry = LogEntry::of_signed(&manifest);
                let face = Face { manifest, previous, events: Vec::new() };
                world.write(&mut self.store, |store| {
                    store.faces.push(face);
                    store.entries.push(entry);
                })?;
                self.log.append(entry);
                self.machines.push(round);
                self.publish(world, self.machines.len() - 1, None);
            }
            _ => world.observer.tally.refusals += 1,
        }
        Ok(())
    }

    /// Header, then envelopes and body, then the receipt.
    fn receive(&mut self, world: &mut World, posted: &Arc<Posted>) -> Result<(), Crash> {
        let header = &posted.header;
        let site = &header.statement.site;
        for k in self.faces_under(header.statement.manifest) {
            let now = world.now;
            if !self.decide(world, k, |round| round.announce(header, now))? {
                continue;
            }
            let digests = posted.envelopes.iter().map(|envelope| Digest::of(envelope));
            assert!(digests.eq(header.statement.envelopes.iter().copied()));
            assert_eq!(header.statement.body, Digest::of(&posted.body));
            let (digest, copy) = (header.id(), Arc::clone(posted));
            world.write(&mut self.store, |store| drop(store.posted.insert(digest, copy)))?;
            if self.machines[k].contribution(site).unwrap().receipt.is_none() {
                let Ok(receipt) = self.machines[k].receipt(site, now) else {
                    world.observer.tally.refusals += 1;
                    continue;
                };
                let receipt = sign(receipt, &world.parties.aggregator);
                self.commit(world, k, Event::Received(receipt))?;
            }
            let receipt = self.machines[k].contribution(site).unwrap().receipt.clone().unwrap();
            let index = world.parties.study.position(site).unwrap();
            world.send(To::Site(index), Message::Receipt(receipt));
        }
        Ok(())
    }

    /// What is due by the clock.
    pub(crate) fn tick(&mut self, world: &mut World) -> Result<(), Crash> {
        for k in 0..self.machines.len() {
            if let Some(freeze) = self.machines[k].freeze_due(world.now) {
                self.freeze(world, k, freeze)?;
            }
            if let Some(set) = self.machines[k].closed_set(world.now) {
                self.close(world, k, set)?;
            }
        }
        Ok(())
    }
}
