//! How the aggregator closes a round, honestly or twice, and what it shows.

use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{HeaderId, RoundNumber};
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::{ClosedSet, Event};
use ringfence_crypto::signature::{Signed, Statement, sign};
use ringfence_crypto::statement::Closing;

use crate::aggregator::Aggregator;
use crate::world::{Broken, Crash, Message, Shown, To, World};

impl Aggregator {
    /// Adds up and closes; an equivocating aggregator makes a second closing over another set.
    pub(crate) fn close(
        &mut self,
        world: &mut World,
        k: usize,
        set: ClosedSet,
    ) -> Result<(), Crash> {
        let checkpoint = self.log.checkpoint();
        let mut closing = self.machines[k].closing_of(set, None, checkpoint, world.now);
        let min_sites = usize::from(world.parties.study.min_sites);
        if world.is(Broken::OmitsReceipt) && closing.included.len() > min_sites {
            closing.included.remove(0);
        }
        let mut second = closing.clone();
        if closing.included.len() > min_sites && world.dice.percent(70) {
            second.included.remove(world.dice.below(closing.included.len()));
        } else if !closing.is_abort() && world.dice.percent(70) {
            (second.included, second.excluded) = (Vec::new(), Vec::new());
        } else {
            second.closed_at = second.closed_at.after(1);
        }
        let (mut fork, mut machine) = (self.store.faces[k].clone(), self.machines[k].clone());
        let closing = self.add_up(world, closing)?;
        world.observer.closed(&closing, &self.store.faces[k].manifest.statement);
        self.commit(world, k, Event::Closed(closing))?;
        if !world.faults.equivocates {
            return Ok(());
        }
        let second = self.add_up(world, second)?;
        world.observer.closed(&second, &fork.manifest.statement);
        world.observer.tally.equivocations += 1;
        fork.events.push(Event::Closed(second.clone()));
        machine.apply(Event::Closed(second.clone()));
        let entry = LogEntry::of_signed(&second);
        world.write(&mut self.store, |store| {
            store.faces.push(fork);
            store.entries.push(entry);
        })?;
        self.log.append(entry);
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
        let shown = Arc::new(Shown {
            manifest: round.manifest().clone(),
            state: round.state(),
            posted: round
                .received()
                .filter_map(|(_, header)| self.store.posted.get(&header.id()).cloned())
                .collect(),
            reviews: round.reviews().cloned().collect(),
            sum: sum.cloned(),
            closing,
            certificate: round.certificate(),
            openings: round.openings().filter_map(frame).collect(),
        });
        let two = self.faces_of(round.number()).count() > 1;
        for index in 0..world.parties.identities.len() {
            let chosen = site.is_none_or(|site| site == index);
            if chosen && !(two && shown.certificate.is_none() && world.dice.percent(50)) {
                world.send(To::Site(index), Message::Show(Arc::clone(&shown)));
            }
        }
    }
}
