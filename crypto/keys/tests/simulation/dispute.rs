//! How a site ends a spoiled round: it endorses the dispute that it finds, opens functionals, names
//! the culprits, opens their keys, and takes them out of the sum.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{
    Certificate, DisputeCertificate, Proceedings, Quorum, Settled, Subject, Verdict,
    VerdictCertificate,
};
use ringfence_keys::duties::disputes::{Case, CertifiedVerdict, endorse_dispute, endorse_verdict};
use ringfence_keys::duties::holder::Decision;
use ringfence_keys::open::Position;
use ringfence_keys::share::reconstruct::KeySum;

use crate::cipher::{About, Opener, Posted, Ticket};
use crate::decode::Opened;
use crate::round_keys::RoundKey;
use crate::site::Site;
use crate::world::{Broken, Crash, Message, Shown, To, World};

/// A certified set whose sum does not decode.
#[derive(Clone, Copy)]
pub(crate) struct Matter<'a> {
    pub(crate) shown: &'a Shown,
    pub(crate) certificate: &'a Certificate,
    /// Whose openings count, by window offset.
    pub(crate) openers: &'a BTreeSet<usize>,
    /// `c'`.
    pub(crate) free: usize,
    /// Whether this site acts as a key holder.
    pub(crate) holds: bool,
}

impl<'a> Matter<'a> {
    pub(crate) fn round(&self) -> RoundNumber {
        self.shown.manifest.statement.round
    }

    fn case<'b>(&self, proceedings: &'b Proceedings) -> Case<'b>
    where
        'a: 'b,
    {
        let manifest = &self.shown.manifest.statement;
        Case { manifest, certificate: self.certificate, proceedings }
    }

    /// The contributions that are left, ascending; none while one is not shown.
    pub(crate) fn left(&self, of: &Proceedings) -> Option<Vec<Arc<Posted>>> {
        let removed = of.removed();
        let included = self.certificate.closing.statement.included.iter();
        let left = included.filter(|entry| !removed.contains(&entry.site));
        left.map(|entry| {
            let find = |posted: &&Arc<Posted>| posted.header.id() == entry.header;
            self.shown.posted.iter().find(find).cloned()
        })
        .collect()
    }

    /// The words that holders whose openings count have opened.
    pub(crate) fn opened(
        &self,
        world: &World,
        (recipient, subject): (usize, Subject),
        sites: usize,
    ) -> Vec<Opened> {
        let about = About { closing: &self.certificate.closing, subject };
        let frames = self.shown.openings.iter();
        let frames = frames.filter(|frame| frame.statement.statement.subject == subject);
        let cipher = world.cipher();
        let opened = frames.filter_map(|frame| cipher.unseal(recipient, (about, sites), frame));
        opened.filter(|(offset, _)| self.openers.contains(offset)).collect()
    }
}

impl Site {
    /// The verdict that exactly these sites' check words are wrong, once it is certified.
    pub(crate) fn check_words(
        &mut self,
        world: &mut World,
        matter: Matter<'_>,
        wrong: &BTreeSet<SiteId>,
    ) -> Result<bool, Crash> {
        if let Some(known) = self.disk.proceedings.get(&matter.round())
            && let Some(verdict) = &known.check_words
        {
            return Ok(verdict.statement.sites.iter().eq(wrong));
        }
        self.judge(world, (matter, &Proceedings::default()), None, wrong)?;
        Ok(false)
    }

    /// Takes the culprits out of a sum that fails at a position, one dispute after the other.
    pub(crate) fn without_culprits(
        &mut self,
        world: &mut World,
        matter: Matter<'_>,
        (mut keys, mut at): (KeySum, Position),
    ) -> Result<Option<Vec<u64>>, Crash> {
        let (round, manifest) = (matter.round(), &matter.shown.manifest.statement);
        let known = self.disk.proceedings.get(&round).cloned().unwrap_or_default();
        let check_words = known.check_words.clone();
        let mut of = Proceedings { check_words, disputes: Vec::new() };
        for place in 0..usize::from(world.parties.study.threshold.collusion) {
            let settled = match known.disputes.get(place) {
                Some(settled) => settled.clone(),
                None => {
                    self.dispute(world, (matter, &of), at)?;
                    return Ok(None);
                }
            };
            self.open_keys(world, (matter, &of), &settled)?;
            let named = settled.verdict.statement.sites.len();
            let subject = Subject::Keys { verdict: settled.verdict.statement.id() };
            let opened = matter.opened(world, (self.index, subject), named);
            let Some(removed) = self.keys(world, &opened, named, matter.free) else {
                return Ok(None);
            };
            keys = keys.without(&removed);
            of.disputes.push(settled);
            let Some(left) = matter.left(&of) else { return Ok(None) };
            let counted = world.cipher().recount(&matter.certificate.closing, &left);
            match world.cipher().decode(manifest, &keys, (&counted.sum, &left)) {
                Ok(sums) => return Ok(Some(sums)),
                Err(next) => at = next,
            }
        }
        Ok(None)
    }

    /// The keys of named sites, once each is determined.
    fn keys(
        &self,
        world: &World,
        opened: &[Opened],
        named: usize,
        free: usize,
    ) -> Option<Vec<KeySum>> {
        let (cipher, threshold) = (world.cipher(), &world.parties.study.threshold);
        let key = |place| {
            let shares = cipher.shares(opened, place)?;
            let key = KeySum::reconstruct(&shares, threshold, free).ok()?;
            key.is_determined(threshold, free).then_some(key)
        };
        (0..named).map(key).collect()
    }

    /// A dispute as far as it has come: nothing is settled yet at this site.
    fn dispute(
        &mut self,
        world: &mut World,
        (matter, of): (Matter<'_>, &Proceedings),
        at: Position,
    ) -> Result<(), Crash> {
        let (index, last) = (of.next_index(), of.last_verdict());
        self.endorse_dispute(world, (matter, of), at)?;
        let Some(certified) = matter.shown.disputed.get(&index) else { return Ok(()) };
        let found = &certified.statement;
        if (found.block, found.coefficient, found.after) != (at.block, at.coefficient, last) {
            return Ok(());
        }
        self.open_functionals(world, (matter, of), certified)?;
        let Some(left) = matter.left(of) else { return Ok(()) };
        let subject = Subject::Functionals { dispute: found.id() };
        let mut opened = matter.opened(world, (self.index, subject), left.len());
        let mut free = matter.free;
        if world.is(Broken::NamesUndetermined) {
            opened.truncate(world.parties.study.threshold.opening.into());
            free = 0;
        }
        let culprits = world.cipher().culprits((&left, &opened), at, free);
        let Some(culprits) = culprits.filter(|culprits| !culprits.is_empty()) else {
            return Ok(());
        };
        if world.is(Broken::OpensKeysEarly) {
            self.open_keys_early(world, matter, certified, &culprits);
        }
        self.judge(world, (matter, of), Some(certified), &culprits)
    }

    pub(crate) fn endorse_dispute(
        &mut self,
        world: &mut World,
        (matter, of): (Matter<'_>, &Proceedings),
        at: Position,
    ) -> Result<(), Crash> {
        if !matter.holds {
            return Ok(());
        }
        let decided = self.holder.dispute(matter.case(of), at);
        let round = matter.round();
        let mut dispute = match decided {
            Ok(Decision::Fresh(dispute)) => {
                let (copy, at) = (dispute.clone(), (round, dispute.index));
                world.write(&mut self.disk, |disk| {
                    disk.disputes.insert(at, copy);
                })?;
                self.holder.record_dispute(dispute.clone());
                self.memory.told.insert(("dispute", round, dispute.index));
                dispute
            }
            Ok(Decision::Repeat(dispute)) => {
                if !self.tell_of(world, "dispute", (round, dispute.index)) {
                    return Ok(());
                }
                dispute
            }
            Err(_) => {
                world.observer.tally.refusals += 1;
                return Ok(());
            }
        };
        let identity = &world.parties.identities[self.index];
        let signed = endorse_dispute(identity, dispute.clone());
        dispute.coefficient ^= 1;
        let second = endorse_dispute(identity, dispute);
        world.send(To::Aggregator, Message::Dispute(signed));
        if world.is(Broken::DisputesTwice) {
            world.send(To::Aggregator, Message::Dispute(second));
        }
        Ok(())
    }

    /// Endorses a verdict: on culprits of a dispute, or on wrong check words.
    fn judge(
        &mut self,
        world: &mut World,
        (matter, of): (Matter<'_>, &Proceedings),
        dispute: Option<&DisputeCertificate>,
        culprits: &BTreeSet<SiteId>,
    ) -> Result<(), Crash> {
        if !matter.holds {
            return Ok(());
        }
        let (round, index) = (matter.round(), dispute.map_or(0, |d| d.statement.index));
        let verdict = match self.holder.judge(matter.case(of), dispute, culprits) {
            Ok(Decision::Fresh(verdict)) => {
                let copy = verdict.clone();
                world.write(&mut self.disk, |disk| {
                    disk.verdicts.insert((round, index), copy);
                })?;
                self.holder.record_verdict(verdict.clone());
                self.memory.told.insert(("verdict", round, index));
                verdict
            }
            Ok(Decision::Repeat(verdict)) => {
                if !self.tell_of(world, "verdict", (round, index)) {
                    return Ok(());
                }
                verdict
            }
            Err(_) => {
                world.observer.tally.refusals += 1;
                return Ok(());
            }
        };
        let signed = endorse_verdict(&world.parties.identities[self.index], verdict);
        world.send(To::Aggregator, Message::Verdict(signed));
        Ok(())
    }

    fn open_functionals(
        &mut self,
        world: &mut World,
        (matter, of): (Matter<'_>, &Proceedings),
        dispute: &DisputeCertificate,
    ) -> Result<(), Crash> {
        let holder = &self.holder;
        let Ok(ticket) = holder.may_answer(matter.case(of), dispute) else { return Ok(()) };
        let ticket = Ticket::Functionals(&ticket, &dispute.statement);
        let subject = Subject::Functionals { dispute: dispute.statement.id() };
        self.open_once(world, matter, (ticket, subject))
    }

    fn open_keys(
        &mut self,
        world: &mut World,
        (matter, of): (Matter<'_>, &Proceedings),
        settled: &Settled,
    ) -> Result<(), Crash> {
        let Settled { dispute, verdict } = settled;
        let allowed = self.holder.may_remove(matter.case(of), dispute, verdict);
        let Ok(ticket) = allowed else { return Ok(()) };
        let ticket: CertifiedVerdict<'_> = ticket;
        let subject = Subject::Keys { verdict: verdict.statement.id() };
        self.open_once(world, matter, (Ticket::Keys(&ticket), subject))
    }

    /// Makes an opening once, durably, and sends it as long as it is not there.
    pub(crate) fn open_once(
        &mut self,
        world: &mut World,
        matter: Matter<'_>,
        (ticket, subject): (Ticket<'_>, Subject),
    ) -> Result<(), Crash> {
        if !matter.holds {
            return Ok(());
        }
        let (round, shown) = (matter.round(), matter.shown);
        if !self.disk.openings.contains_key(&(round, subject)) {
            let lies = world.corrupt(self.index).is_some_and(|corrupt| corrupt.lies);
            let key = self.round_key(world, &shown.manifest.statement);
            if matches!(key, RoundKey::Lost) {
                return Ok(());
            }
            let by = Opener { holder: self.index, secret: key.secret(), lies };
            let about = About { closing: &matter.certificate.closing, subject };
            let (cipher, rng) = (world.cipher(), &mut world.dice.0);
            let frame = cipher.open(by, (ticket, about), &shown.posted, rng);
            let Some(frame) = frame.map(Arc::new) else { return Ok(()) };
            world.write(&mut self.disk, |disk| {
                disk.openings.insert((round, subject), frame);
            })?;
            self.destroy_secrets(world)?;
        }
        self.send_opening(world, matter, subject);
        Ok(())
    }

    /// Sends an opening that is on disk, unless it is there.
    pub(crate) fn send_opening(&self, world: &mut World, matter: Matter<'_>, subject: Subject) {
        let Some(frame) = self.disk.openings.get(&(matter.round(), subject)) else { return };
        let there = |known: &Arc<_>| Arc::ptr_eq(known, frame);
        if matter.holds && !matter.shown.openings.iter().any(there) {
            world.send(To::Aggregator, Message::Opening(Arc::clone(frame)));
        }
    }

    /// A planted fault: the keys of culprits whom only this site has found.
    fn open_keys_early(
        &self,
        world: &mut World,
        matter: Matter<'_>,
        dispute: &DisputeCertificate,
        culprits: &BTreeSet<SiteId>,
    ) {
        let closing = &matter.certificate.closing;
        let (study, round) = (world.parties.id, matter.round());
        let (dispute, sites) = (Some(dispute.statement.id()), culprits.iter().cloned().collect());
        let verdict = Verdict { study, round, closing: closing.id(), dispute, sites };
        let quorum: VerdictCertificate = Quorum { statement: verdict, endorsements: Vec::new() };
        let subject = Subject::Keys { verdict: quorum.statement.id() };
        let frame = world.cipher().stub_opening(self.index, About { closing, subject }, &[0, 0]);
        world.send(To::Aggregator, Message::Opening(Arc::new(frame)));
    }
}
