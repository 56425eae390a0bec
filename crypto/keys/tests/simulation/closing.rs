//! How the aggregator freezes and closes a round, honestly or twice, and what it shows.

use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{HeaderId, RoundNumber};
use ringfence_crypto::round::{ClosedSet, Event, Round};
use ringfence_crypto::signature::{Signed, Statement, sign};
use ringfence_crypto::statement::{Closing, Excluded, ExclusionReason, Freeze, Included};

use crate::aggregator::{Aggregator, Face};
use crate::faults::Cheats;
use crate::world::{Broken, Crash, Message, Shown, To, World};

impl Aggregator {
    /// Ends collecting; an aggregator that cheats does so twice.
    pub(crate) fn freeze(
        &mut self,
        world: &mut World,
        k: usize,
        mut freeze: Freeze,
    ) -> Result<(), Crash> {
        let spare = freeze.contributions.len() > usize::from(world.parties.study.min_sites);
        if world.is(Broken::OmitsReceipt) && spare {
            freeze.contributions.remove(0);
        }
        let mut second = freeze.clone();
        if spare && world.dice.percent(50) {
            second.contributions.remove(world.dice.below(freeze.contributions.len()));
        } else {
            second.frozen_at = second.frozen_at.after(1);
        }
        let (fork, machine) = (self.store.faces[k].clone(), self.machines[k].clone());
        let alone = self.faces_of(machine.number()).count() == 1;
        let freeze = sign(freeze, &world.parties.aggregator);
        self.commit(world, k, Event::Frozen(freeze))?;
        if world.faults.cheats != Cheats::Freezes || !alone {
            return Ok(());
        }
        let second = sign(second, &world.parties.aggregator);
        self.fork(world, (fork, machine), Event::Frozen(second))
    }

    /// Adds up and closes; an aggregator that cheats makes a second closing over another set.
    pub(crate) fn close(
        &mut self,
        world: &mut World,
        k: usize,
        set: ClosedSet,
    ) -> Result<(), Crash> {
        let checkpoint = self.log.checkpoint();
        let closing = self.machines[k].closing_of(set, None, checkpoint, world.now);
        let min_sites = usize::from(world.parties.study.min_sites);
        let mut second = closing.clone();
        if closing.included.len() > min_sites && world.dice.percent(70) {
            // It says that it lost a contribution: nobody can tell.
            let lost = second.included.remove(world.dice.below(closing.included.len()));
            let Included { site, header } = lost;
            second.excluded.push(Excluded { site, header, reason: ExclusionReason::Damaged });
            second.excluded.sort_by(|a, b| a.site.cmp(&b.site));
        } else if !closing.is_abort() && world.dice.percent(70) {
            (second.included, second.excluded) = (Vec::new(), Vec::new());
        } else {
            second.closed_at = second.closed_at.after(1);
        }
        let (fork, machine) = (self.store.faces[k].clone(), self.machines[k].clone());
        let closing = self.add_up(world, closing)?;
        world.observer.closed(&closing, &self.store.faces[k].manifest.statement);
        self.commit(world, k, Event::Closed(closing))?;
        if world.faults.cheats != Cheats::Closings {
            return Ok(());
        }
        let second = self.add_up(world, second)?;
        world.observer.closed(&second, &fork.manifest.statement);
        self.fork(world, (fork, machine), Event::Closed(second))
    }

    /// Goes on with a second face of a round, from before an event of which it signed two.
    fn fork(
        &mut self,
        world: &mut World,
        (mut face, mut machine): (Face, Round),
        event: Event,
    ) -> Result<(), Crash> {
        world.observer.tally.equivocations += 1;
        let entry = event.entry();
        face.events.push(event.clone());
        machine.apply(event);
        world.write(&mut self.store, |store| {
            store.faces.push(face);
            store.entries.extend(entry);
        })?;
        entry.map(|entry| self.log.append(entry));
        self.machines.push(machine);
        self.publish(world, self.machines.len() - 1, None);
        Ok(())
    }

    /// Adds the bodies of the set, makes the sum durable and signs.
    fn add_up(
        &mut self,
        world: &mut World,
        mut closing: Closing,
    ) -> Result<Signed<Closing>, Crash> {
        let cipher = world.cipher();
        let mut sum = Vec::new();
        let mut members: Vec<HeaderId> =
            closing.included.iter().map(|entry| entry.header).collect();
        match world.broken {
            Some(Broken::AddsTwice) => members.extend(members.first().copied()),
            Some(Broken::AddsOneLess) => drop(members.pop()),
            _ => {}
        }
        for header in members {
            cipher.add(&mut sum, &self.store.posted[&header].body);
        }
        closing.sum = (!closing.is_abort()).then(|| Digest::of(&sum));
        let digest = closing.id();
        world.write(&mut self.store, |store| drop(store.sums.insert(digest, Arc::new(sum))))?;
        Ok(sign(closing, &world.parties.aggregator))
    }

    /// Shows one site what there is, from the first round on that it asks for.
    pub(crate) fn show(&self, world: &mut World, site: usize, from: RoundNumber) {
        for k in 0..self.machines.len() {
            if self.machines[k].number() >= from {
                self.publish(world, k, Some(site));
            }
        }
    }

    /// Shows a round to one site or to all. Two faces are shown to different sites.
    pub(crate) fn publish(&self, world: &mut World, k: usize, site: Option<usize>) {
        let round = &self.machines[k];
        let frame = |opening: &Signed<_>| self.store.frames.get(&Signed::id(opening)).cloned();
        let closing = round.closing().cloned();
        let sum = closing.as_ref().and_then(|closing| self.store.sums.get(&closing.id()));
        let indices = || 0..=world.parties.study.threshold.collusion;
        let disputed = indices().filter_map(|index| Some((index, round.certified_dispute(index)?)));
        let judged = indices().filter_map(|index| Some((index, round.verdict(index)?)));
        let events = self.store.faces[k].events.iter();
        let mut shown = Shown {
            manifest: round.manifest().clone(),
            state: round.state(),
            posted: round
                .received()
                .filter_map(|(_, header)| self.store.posted.get(&header.id()).cloned())
                .collect(),
            freeze: round.freeze().cloned(),
            reviews: round.reviews().cloned().collect(),
            sum: sum.cloned(),
            closing,
            certificate: round.certificate(),
            openings: self.store.faces[k]
                .events
                .iter()
                .filter_map(|event| match event {
                    Event::Opened(opening) => frame(opening),
                    _ => None,
                })
                .collect(),
            disputing: events
                .filter_map(|event| match event {
                    Event::Disputed(endorsement) => Some(endorsement.clone()),
                    _ => None,
                })
                .collect(),
            disputed: disputed.collect(),
            judged: judged.collect(),
            acknowledgements: round.acknowledgements().cloned().collect(),
        };
        if world.faults.cheats == Cheats::Hides {
            let dice = &mut world.dice;
            shown.reviews.retain(|_| !dice.percent(10));
            shown.openings.retain(|_| !dice.percent(20));
            shown.disputed.retain(|_, _| !dice.percent(20));
            shown.judged.retain(|_, _| !dice.percent(30));
            shown.acknowledgements.retain(|_| !dice.percent(10));
        }
        let shown = Arc::new(shown);
        let two = self.faces_of(round.number()).count() > 1;
        for index in 0..world.parties.identities.len() {
            let chosen = site.is_none_or(|site| site == index);
            if chosen && !(two && shown.certificate.is_none() && world.dice.percent(50)) {
                world.send(To::Site(index), Message::Show(Arc::clone(&shown)));
            }
        }
    }
}
