//! A site: what it has on disk survives, its machines do not. It contributes and reviews here; the
//! end of a round is in `ending.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::id::{ClosingId, ModelId, RoundNumber, SiteId};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Endorsement, Manifest, Previous, Receipt, RestoreRequest, RoundKeys, Standing,
};
use ringfence_keys::duties::abstention::Abstention;
use ringfence_keys::duties::contributor::{Contributor, End, Record, RuleError};
use ringfence_keys::duties::holder::{self, Holder};
use ringfence_keys::duties::logged::Seen;

use crate::cipher::{Dealing, Opener, Posted, Secret};
use crate::round_keys::RoundKey;
use crate::world::{Broken, Crash, Message, Served, Shown, To, World};
use ringfence_testkit::{Parties, Proposal, TIMEOUT_SECONDS};

/// What survives a crash.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) proposed: BTreeMap<RoundNumber, Signed<Manifest>>,
    pub(crate) posted: BTreeMap<RoundNumber, Arc<Posted>>,
    pub(crate) records: BTreeMap<RoundNumber, Record>,
    pub(crate) receipts: BTreeMap<RoundNumber, Signed<Receipt>>,
    pub(crate) endorsed: BTreeMap<RoundNumber, Endorsement>,
    pub(crate) seen: Option<Seen>,
    pub(crate) ended: BTreeMap<RoundNumber, (Previous, End)>,
    pub(crate) openings: BTreeMap<RoundNumber, Arc<OpeningFrame>>,
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
    /// Round and number of openings at hand when a sum did not open.
    pub(crate) tried: Option<(RoundNumber, usize)>,
    /// What was sent, in which round.
    pub(crate) told: BTreeSet<(&'static str, RoundNumber)>,
    /// Answers to the restore request.
    pub(crate) standings: Vec<Signed<Standing>>,
    /// Closings that were not endorsed.
    pub(crate) refused: BTreeSet<ClosingId>,
}

impl Site {
    pub(crate) fn new(index: usize, parties: &Parties) -> Self {
        let id = parties.identities[index].site().clone();
        let disk = Self::new_disk(parties);
        let holder = Holder::restore(Arc::clone(&parties.study), id.clone(), [], None, None);
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
        let endorsed = disk.endorsed.values().cloned();
        let abstains = |broken| disk.abstention.filter(|_| !world.is(broken));
        let holder = abstains(Broken::EndorsesAfterRestore);
        self.holder = Holder::restore(study, self.id.clone(), endorsed, holder, disk.seen);
        self.memory = Memory::default();
        self.contributor = Contributor::restore(disk.records.values().cloned());
        if let Some(abstention) = abstains(Broken::ContributesAfterRestore) {
            self.contributor.abstain(world.parties.id, abstention);
        }
    }

    /// The first round whose end, or whose opened sum, this site lacks.
    pub(crate) fn lacks(&self) -> RoundNumber {
        let unapplied = |(round, (_, end)): (&RoundNumber, &(Previous, End))| {
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
        self.memory.told.insert((what, round)) || world.dice.percent(20)
    }

    pub(crate) fn next_round(&self) -> RoundNumber {
        self.disk.ended.last_key_value().map_or(RoundNumber::FIRST, |(round, _)| round.next())
    }

    fn previous(&self, round: RoundNumber) -> Option<&Previous> {
        self.disk.ended.get(&round.before()?).map(|(previous, _)| previous)
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
        let n = world.parties.identities.len();
        let turns = (self.index + n - round.0 as usize % n) % n;
        let study = &world.parties.study;
        let since = self.previous(round).map_or(study.created_at, |previous| previous.closed_at);
        if world.now < since.after(turns as u64 * u64::from(TIMEOUT_SECONDS)) {
            return Ok(());
        }
        if !self.disk.proposed.contains_key(&round) {
            let models = self.disk.models.len();
            let at = if stale { world.dice.below(models) } else { models - 1 };
            let base_model = world.parties.check_key.model(&self.disk.models[at]);
            let signed = world.parties.manifest(Proposal {
                initiator: self.index,
                previous: self.previous(round),
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
        if round > RoundNumber::FIRST && self.previous(round).is_none() {
            return Ok(());
        }
        let Parties { study, id, .. } = &*Arc::clone(&world.parties);
        if !self.memory.accepted.contains(&shown.manifest) {
            if Manifest::check(&shown.manifest, study, *id, self.previous(round)).is_err() {
                world.observer.tally.refusals += 1;
                return Ok(());
            }
            self.memory.accepted.push(shown.manifest.clone());
        }
        let silent = world.faults.silent_holder == Some(self.index);
        let holds = study.holder_offset(round, &self.id).is_some() && !silent;
        match (shown.state, &shown.closing, &shown.certificate) {
            (RoundState::Collecting, ..) => self.contribute(world, served, manifest),
            (RoundState::Reviewing, ..) if holds => {
                self.review(world, shown);
                Ok(())
            }
            (_, Some(closing), None) if holds => self.endorse(world, served.log, shown, closing),
            (_, _, Some(certificate)) => {
                self.learn(world, manifest, certificate)?;
                if holds {
                    self.open(world, shown, certificate)?;
                }
                self.apply(world, shown, certificate)
            }
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
        if world.faults.silent_sites.contains(&self.index) {
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
        let broken = world.faults.corrupt(self.index).map_or(0, |corrupt| corrupt.broken);
        let holder_keys = Self::holder_keys(world, served, manifest);
        let of = Dealing { manifest, holder_keys: &holder_keys, site: self.index, values, broken };
        let posted = Arc::new(world.cipher().contribute(of, &mut world.dice.0));
        world.observer.made(&posted.header, manifest, values);
        let record = Record { study: manifest.study, round, base_model: model, end: None };
        if !world.is(Broken::ForgetsContributions) {
            let (posted, record) = (Arc::clone(&posted), record.clone());
            world.write(&mut self.disk, |disk| {
                disk.posted.insert(round, posted);
                disk.records.insert(round, record);
            })?;
        }
        self.contributor.record(record);
        self.memory.told.insert(("contribution", round));
        world.send(To::Aggregator, Message::Contribution(posted));
        Ok(())
    }

    fn review(&mut self, world: &mut World, shown: &Shown) {
        if self.holder.takes_part(&shown.manifest.statement).is_err() {
            world.observer.tally.refusals += 1;
            return;
        }
        if !self.tell(world, "review", shown.manifest.statement.round) {
            return;
        }
        let key = self.round_key(world, &shown.manifest.statement);
        if matches!(key, RoundKey::Lost) && !world.is(Broken::ComplainsWithoutSecret) {
            return;
        }
        let (cipher, with) = (world.cipher(), Opener::honest(self.index, key.secret()));
        let complains = world.faults.corrupt(self.index).is_some_and(|corrupt| corrupt.complains);
        let complaint = |(at, posted): (usize, &Arc<Posted>)| {
            let complaint = cipher.complaint(with, posted);
            complaint.or_else(|| (complains && at == 0).then(|| cipher.made_up(posted)))
        };
        let complaints: Vec<_> = shown.posted.iter().enumerate().filter_map(complaint).collect();
        let identity = &world.parties.identities[self.index];
        let review = holder::review(identity, &shown.manifest.statement, &complaints);
        world.send(To::Aggregator, Message::Review(review));
    }
}
