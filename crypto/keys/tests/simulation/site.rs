//! A site: what it has on disk survives, its machines do not. It opens rounds, contributes and reviews
//! here; the end of a round is in `ending.rs`, disputes are in `dispute.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::dealing::{Answer, Trust};
use ringfence_crypto::id::{ClosingId, ModelId, RoundNumber, SiteId};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Dispute, Endorsement, Freeze, Header, Manifest, Previous, Proceedings, Receipt, RestoreRequest,
    Review, RoundKeys, Standing, Subject, Verdict,
};
use ringfence_keys::duties::abstention::Abstention;
use ringfence_keys::duties::contributor::{Contributor, End, Record, RuleError};
use ringfence_keys::duties::holder::{Decision, FreezeView, Holder, Records, sign_review};
use ringfence_keys::duties::logged::Seen;

use crate::cipher::{Dealing, Opener, Posted, Secret, Wrongs};
use crate::judged::Judged;
use crate::round_keys::RoundKey;
use crate::toy;
use crate::world::{Broken, Crash, Message, Served, Shown, To, World};
use ringfence_testkit::{Parties, Proposal, TIMEOUT_SECONDS};

/// What survives a crash.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) proposed: BTreeMap<RoundNumber, Signed<Manifest>>,
    pub(crate) posted: BTreeMap<RoundNumber, Arc<Posted>>,
    pub(crate) records: BTreeMap<RoundNumber, Record>,
    pub(crate) receipts: BTreeMap<RoundNumber, Signed<Receipt>>,
    pub(crate) reviewed: BTreeMap<RoundNumber, Signed<Review>>,
    pub(crate) endorsed: BTreeMap<RoundNumber, Endorsement>,
    pub(crate) seen: Option<Seen>,
    /// Certified ends.
    pub(crate) ended: BTreeMap<RoundNumber, (ClosingId, End)>,
    pub(crate) disputes: BTreeMap<(RoundNumber, u16), Dispute>,
    pub(crate) verdicts: BTreeMap<(RoundNumber, u16), Verdict>,
    pub(crate) openings: BTreeMap<(RoundNumber, Subject), Arc<OpeningFrame>>,
    /// What was certified after the closing.
    pub(crate) proceedings: BTreeMap<RoundNumber, Proceedings>,
    /// Rounds that ended in an abort, or of which Q sites hold one model; with the trust that their
    /// reviews leave.
    pub(crate) settled: BTreeMap<RoundNumber, Previous>,
    /// Models that it may train on: the initial one, and one for each opened sum that it applied.
    pub(crate) models: Vec<ModelId>,
    pub(crate) applied: BTreeMap<RoundNumber, ModelId>,
    pub(crate) published: Vec<Signed<RoundKeys>>,
    pub(crate) secrets: BTreeMap<RoundNumber, Arc<Secret>>,
    /// Set when this disk was restored from a backup.
    pub(crate) abstention: Option<Abstention>,
    /// What it asks the other sites until it knows how far it abstains.
    pub(crate) request: Option<Signed<RestoreRequest>>,
}

pub(crate) struct Site {
    pub(crate) index: usize,
    pub(crate) id: SiteId,
    pub(crate) disk: Disk,
    pub(crate) holder: Holder,
    pub(crate) contributor: Contributor,
    pub(crate) memory: Memory,
    pub(crate) backup: Option<Disk>,
    pub(crate) restores: usize,
}

/// What only saves work, and is lost in a crash.
#[derive(Default)]
pub(crate) struct Memory {
    /// Manifests that passed.
    pub(crate) accepted: Vec<Signed<Manifest>>,
    /// How much was at hand when a certified round was looked at last.
    pub(crate) tried: Option<(RoundNumber, [usize; 6])>,
    /// What the reviews of a certified closing come to.
    pub(crate) judged: BTreeMap<ClosingId, Arc<Judged>>,
    /// What was sent, in which round.
    pub(crate) told: BTreeSet<(&'static str, RoundNumber, u16)>,
    /// Answers to the restore request.
    pub(crate) standings: Vec<Signed<Standing>>,
    /// Closings that were not endorsed.
    pub(crate) refused: BTreeSet<ClosingId>,
}

impl Site {
    pub(crate) fn new(index: usize, parties: &Parties) -> Self {
        let id = parties.identities[index].site().clone();
        let disk = Self::new_disk(parties);
        let study = Arc::clone(&parties.study);
        let holder = Holder::restore(study, id.clone(), Records::default(), None, None);
        Self {
            index,
            id,
            disk,
            holder,
            contributor: Contributor::default(),
            memory: Memory::default(),
            backup: None,
            restores: 0,
        }
    }

    /// The disk of a site that has joined the study and done nothing.
    pub(crate) fn new_disk(parties: &Parties) -> Disk {
        Disk { models: vec![parties.study.initial_model], ..Disk::default() }
    }

    /// Starts again from what is on disk.
    pub(crate) fn restart(&mut self, world: &mut World) {
        world.observer.tally.site_crashes += 1;
        let (study, disk) = (Arc::clone(&world.parties.study), &self.disk);
        let reviewed =
            disk.reviewed.iter().map(|(round, review)| (*round, review.statement.freeze));
        let records = Records {
            endorsed: disk.endorsed.values().cloned().collect(),
            reviewed: reviewed.collect(),
            disputes: disk.disputes.values().cloned().collect(),
            verdicts: disk.verdicts.values().cloned().collect(),
            settled: disk.settled.keys().copied().collect(),
        };
        let abstains = |broken| disk.abstention.filter(|_| !world.is(broken));
        let holder = abstains(Broken::EndorsesAfterRestore);
        self.holder = Holder::restore(study, self.id.clone(), records, holder, disk.seen);
        self.memory = Memory::default();
        self.contributor = Contributor::restore(disk.records.values().cloned());
        if let Some(abstention) = abstains(Broken::ContributesAfterRestore) {
            self.contributor.abstain(world.parties.id, abstention);
        }
    }

    /// The first round that is not settled, or whose sum this site has not applied.
    pub(crate) fn lacks(&self) -> RoundNumber {
        let unapplied = |(round, (_, end)): (&RoundNumber, &(ClosingId, End))| {
            (*end == End::Set && !self.disk.applied.contains_key(round)).then_some(*round)
        };
        self.disk.ended.iter().find_map(unapplied).unwrap_or(self.next_round())
    }

    /// Whether to send something that may have been sent already: not each time.
    pub(crate) fn tell(
        &mut self,
        world: &mut World,
        what: &'static str,
        round: RoundNumber,
    ) -> bool {
        self.tell_of(world, what, (round, 0))
    }

    /// The same of a dispute.
    pub(crate) fn tell_of(
        &mut self,
        world: &mut World,
        what: &'static str,
        (round, index): (RoundNumber, u16),
    ) -> bool {
        self.memory.told.insert((what, round, index)) || world.dice.percent(20)
    }

    pub(crate) fn next_round(&self) -> RoundNumber {
        self.disk.settled.last_key_value().map_or(RoundNumber::FIRST, |(round, _)| round.next())
    }

    /// How the round before ended: with the trust that its reviews and verdicts leave.
    fn previous(&self, world: &World, round: RoundNumber) -> Option<Previous> {
        let last = round.before()?;
        let Previous { round, closing, closed_at, trust } = self.disk.settled.get(&last)?.clone();
        let mut trust = match self.disk.proceedings.get(&last) {
            Some(proceedings) => proceedings.bar(trust),
            None => trust,
        };
        if world.is(Broken::ForgetsTrust) {
            trust = Trust::default();
        }
        Some(Previous { round, closing, closed_at, trust })
    }

    /// Trust before a round.
    pub(crate) fn trust(&self, world: &World, round: RoundNumber) -> Trust {
        self.previous(world, round).map_or_else(Trust::default, |previous| previous.trust)
    }

    /// Opens the next round if it is this site's turn.
    pub(crate) fn tick(&mut self, world: &mut World, served: Served<'_>) -> Result<(), Crash> {
        self.publish_keys(world, served)?;
        self.ask(world);
        let round = self.next_round();
        let stale = world.dice.percent(world.faults.stale);
        // A set that was opened is applied first.
        if self.lacks() < round && !stale {
            return Ok(());
        }
        let previous = self.previous(world, round);
        let (study, trust) = (&world.parties.study, self.trust(world, round));
        let since = previous.as_ref().map_or(study.created_at, |previous| previous.closed_at);
        let own = |turns: &usize| {
            study.initiator(round, *turns, &trust).is_some_and(|site| site.id == self.id)
        };
        let Some(turns) = (0..study.roster.len()).find(own) else { return Ok(()) };
        if world.now < since.after(turns as u64 * u64::from(TIMEOUT_SECONDS)) {
            return Ok(());
        }
        if !self.disk.proposed.contains_key(&round) {
            let models = self.disk.models.len();
            let at = if stale { world.dice.below(models) } else { models - 1 };
            let base_model = world.parties.check_key.model(&self.disk.models[at]);
            let signed = world.parties.manifest(Proposal {
                initiator: self.index,
                previous: previous.as_ref(),
                base_model,
                opened_at: world.now,
                round_keys: served.round_keys,
            });
            world.write(&mut self.disk, |disk| drop(disk.proposed.insert(round, signed)))?;
        }
        world.send(To::Aggregator, Message::Manifest(self.disk.proposed[&round].clone()));
        Ok(())
    }

    pub(crate) fn handle(
        &mut self,
        world: &mut World,
        served: Served<'_>,
        message: Message,
    ) -> Result<(), Crash> {
        match message {
            Message::Receipt(receipt) => self.receipt(world, receipt),
            Message::Show(shown) => self.shown(world, served, &shown),
            Message::Restore(request) => {
                self.answer(world, &request);
                Ok(())
            }
            Message::Standing(standing) => self.standing(world, standing),
            other => panic!("not for a site: {other:?}"),
        }
    }

    fn receipt(&mut self, world: &mut World, receipt: Signed<Receipt>) -> Result<(), Crash> {
        if self.disk.receipts.values().any(|known| *known == receipt) {
            return Ok(());
        }
        receipt.verify(&world.parties.study.aggregator_key, &"the aggregator").unwrap();
        let of = |posted: &&Arc<Posted>| posted.header.id() == receipt.statement.header;
        let Some(round) = self.disk.posted.values().find(of).map(|p| p.header.statement.round)
        else {
            return Ok(());
        };
        world.write(&mut self.disk, |disk| drop(disk.receipts.insert(round, receipt)))
    }

    fn shown(&mut self, world: &mut World, served: Served<'_>, shown: &Shown) -> Result<(), Crash> {
        let manifest = &shown.manifest.statement;
        let round = manifest.round;
        let previous = self.previous(world, round);
        if round > RoundNumber::FIRST && previous.is_none() {
            return Ok(());
        }
        let Parties { study, id, .. } = &*Arc::clone(&world.parties);
        if !self.memory.accepted.contains(&shown.manifest) {
            if Manifest::check(&shown.manifest, study, *id, previous.as_ref()).is_err() {
                world.observer.tally.refusals += 1;
                return Ok(());
            }
            self.memory.accepted.push(shown.manifest.clone());
            let trust = self.trust(world, round);
            world.observer.trusts(self.index, round, &trust);
        }
        if let Some(corrupt) = world.corrupt(self.index).cloned() {
            if world.dice.percent(corrupt.silent) {
                return Ok(());
            }
            self.slander(world, shown, &corrupt);
        }
        if shown.state == RoundState::Collecting {
            return self.contribute(world, served, manifest);
        }
        let silent = world.faults.silent_holder == Some(self.index);
        let holds = study.holder_offset(round, &self.id).is_some() && !silent;
        if holds && !self.disk.settled.contains_key(&round) {
            self.review(world, shown)?;
        }
        match (&shown.closing, &shown.certificate) {
            (Some(closing), None) if holds => self.endorse(world, served.log, shown, closing),
            (_, Some(certificate)) => self.conclude(world, shown, certificate, holds),
            _ => Ok(()),
        }
    }

    /// Contributes the update from the manifest's base model, once for each round number.
    fn contribute(
        &mut self,
        world: &mut World,
        served: Served<'_>,
        manifest: &Manifest,
    ) -> Result<(), Crash> {
        let round = manifest.round;
        let keyed = |model: &&ModelId| world.parties.check_key.model(model) == manifest.base_model;
        let Some(model) = self.disk.models.iter().find(keyed).copied() else { return Ok(()) };
        if let Some(posted) = self.disk.posted.get(&round) {
            let (posted, same) =
                (Arc::clone(posted), posted.header.statement.manifest == manifest.id());
            if same && self.tell(world, "contribution", round) {
                world.send(To::Aggregator, Message::Contribution(posted));
            }
            return Ok(());
        }
        let barred = self.trust(world, round).bars(&self.id);
        if world.faults.silent_sites.contains(&self.index) || barred {
            return Ok(());
        }
        let rules = self.contributor.may_contribute(manifest, model);
        let asks = !world.is(Broken::NoContributionRules);
        let refuses = |error: RuleError| asks || matches!(error, RuleError::Abstains(_));
        if !self.follows(round, model) || rules.is_err_and(refuses) {
            world.observer.tally.refusals += 1;
            return Ok(());
        }
        let values = world.observer.update(self.index, model);
        let corrupt = world.corrupt(self.index).cloned();
        let holders = manifest.holders.len();
        let wrongs = corrupt.map(|corrupt| corrupt.wrongs(&mut world.dice, holders));
        let wrongs = wrongs.unwrap_or_else(Wrongs::default);
        world.observer.tally.spoiled += usize::from(wrongs.spoils.is_some());
        let holder_keys = Self::holder_keys(world, served, manifest);
        let of = Dealing { manifest, holder_keys: &holder_keys, site: self.index, values, wrongs };
        let posted = Arc::new(world.cipher().contribute(of, &mut world.dice.0));
        world.observer.made(&posted, manifest);
        let record = Record { study: manifest.study, round, base_model: model, end: None };
        if !world.is(Broken::ForgetsContributions) {
            let (posted, record) = (Arc::clone(&posted), record.clone());
            world.write(&mut self.disk, |disk| {
                disk.posted.insert(round, posted);
                disk.records.insert(round, record);
            })?;
        }
        self.contributor.record(record);
        self.memory.told.insert(("contribution", round, 0));
        world.send(To::Aggregator, Message::Contribution(posted));
        Ok(())
    }

    /// Answers for the shares of one freeze a round, durably first.
    fn review(&mut self, world: &mut World, shown: &Shown) -> Result<(), Crash> {
        let Some(freeze) = &shown.freeze else { return Ok(()) };
        let manifest = &shown.manifest.statement;
        let round = manifest.round;
        let reviewed = self.disk.reviewed.get(&round).filter(|_| !world.is(Broken::ReviewsTwice));
        if let Some(known) = reviewed.filter(|known| known.statement.freeze == freeze.id()).cloned()
        {
            let there = shown.reviews.contains(&known);
            if !there && self.tell(world, "review", round) {
                world.send(To::Aggregator, Message::Review(known));
            }
            return Ok(());
        }
        let by_any = world.corrupt(self.index).is_some_and(|corrupt| corrupt.endorses);
        let headers: Vec<Signed<Header>> =
            shown.posted.iter().map(|posted| posted.header.clone()).collect();
        let (trust, receipt) = (self.trust(world, round), self.disk.receipts.get(&round));
        let own = receipt.filter(|_| !world.is(Broken::IgnoresReceipt));
        let view = FreezeView { manifest, trust: &trust, freeze, headers: &headers, receipt: own };
        let allowed = match self.holder.review(view) {
            Ok(Decision::Fresh(_) | Decision::Repeat(_)) => true,
            Err(_) => by_any,
        };
        if !allowed {
            world.observer.tally.refusals += 1;
            return Ok(());
        }
        world.observer.freezes(&freeze.statement, receipt);
        let key = self.round_key(world, manifest);
        if matches!(key, RoundKey::Lost) && !world.is(Broken::ComplainsWithoutSecret) {
            return Ok(());
        }
        let with = Opener::honest(self.index, key.secret());
        let Some(answers) = self.answers(world, shown, &freeze.statement, with) else {
            return Ok(());
        };
        let identity = &world.parties.identities[self.index];
        let review = sign_review(identity, manifest.id(), freeze.id(), answers);
        let copy = review.clone();
        if !world.is(Broken::ReviewsTwice) {
            world.write(&mut self.disk, |disk| drop(disk.reviewed.insert(round, copy)))?;
            self.holder.record_review(round, freeze.id());
        }
        self.memory.told.insert(("review", round, 0));
        world.send(To::Aggregator, Message::Review(review));
        Ok(())
    }

    /// An answer for every contribution of a freeze; none where one is not shown.
    fn answers(
        &self,
        world: &mut World,
        shown: &Shown,
        freeze: &Freeze,
        with: Opener<'_>,
    ) -> Option<Vec<Answer>> {
        let (cipher, id) = (world.cipher(), freeze.id());
        let accuses = world.corrupt(self.index).map_or(0, |corrupt| corrupt.accuses);
        let mut answers = Vec::new();
        for entry in &freeze.contributions {
            let posted = shown.posted.iter().find(|posted| posted.header.id() == entry.header)?;
            let mut answer = cipher.answer(with, posted, id);
            if world.dice.percent(accuses) {
                let lie = [toy::residue(&mut world.dice.0), 0];
                answer = if world.dice.percent(50) { Answer::NoShare } else { Answer::Masked(lie) };
            }
            answers.push(answer);
        }
        Some(answers)
    }
}
