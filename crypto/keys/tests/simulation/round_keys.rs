//! A site's KEM keys for single rounds: published ahead, destroyed when their round is over for it.

use std::sync::Arc;

use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{HolderKeys, Manifest, RoundKeys, Subject};
use ringfence_keys::round_secret::{RoundSecret, publish};

use crate::aggregator::Aggregator;
use crate::checks::FORWARD;
use crate::cipher::{Opener, Secret};
use crate::site::Site;
use crate::world::{Broken, Crash, Message, Served, To, World};

/// Rounds that one statement covers: fewer than a study has, so that there is a second one.
const BATCH: usize = 2;

/// What a holder needs to open its envelopes of a round.
pub(crate) enum RoundKey {
    /// The manifest names no round keys of it.
    LongTerm,
    Round(Arc<Secret>),
    /// Destroyed, or of a statement that its backup does not know.
    Lost,
}

impl RoundKey {
    pub(crate) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Round(secret) => Some(secret),
            Self::LongTerm | Self::Lost => None,
        }
    }
}

/// The round after the last one that a statement covers.
fn end(keys: &Signed<RoundKeys>) -> RoundNumber {
    RoundNumber(keys.statement.first_round.0 + keys.statement.keys.len() as u32)
}

impl Site {
    /// Publishes keys for the coming rounds, and destroys what is not needed any more.
    pub(crate) fn publish_keys(
        &mut self,
        world: &mut World,
        served: Served<'_>,
    ) -> Result<(), Crash> {
        self.destroy_secrets(world)?;
        if !world.faults.publish.contains(&self.index) {
            return Ok(());
        }
        let covered = self.disk.published.iter().map(end).max().unwrap_or_default();
        let next = self.next_round();
        if covered <= next {
            // What a site published before its disk was lost covers rounds in which it cannot hold.
            let known = served.round_keys.iter().filter(|keys| keys.statement.site == self.id);
            let first = known.map(end).max().unwrap_or_default().max(covered).max(next);
            let rng = &mut world.dice.0;
            let secrets: Vec<_> = (0..BATCH).map(|_| RoundSecret::generate(rng).unwrap()).collect();
            let identity = &world.parties.identities[self.index];
            let signed = publish(identity, world.parties.id, first, &secrets);
            let keys = signed.statement.keys.iter().cloned().zip(secrets);
            let keys = keys.map(|(key, secret)| Arc::new(Secret { secret, key }));
            let secrets: Vec<_> = (first.0..).map(RoundNumber).zip(keys).collect();
            world.write(&mut self.disk, |disk| {
                disk.secrets.extend(secrets);
                disk.published.push(signed);
            })?;
        }
        for keys in self.disk.published.iter().filter(|keys| !served.round_keys.contains(keys)) {
            world.send(To::Aggregator, Message::RoundKeys(keys.clone()));
        }
        Ok(())
    }

    /// The keys that a dealer seals to.
    pub(crate) fn holder_keys(
        world: &mut World,
        served: Served<'_>,
        manifest: &Manifest,
    ) -> HolderKeys {
        let mut manifest = manifest.clone();
        if world.is(Broken::SealsToLongTerm) {
            manifest.holder_keys.fill(None);
        }
        world.observer.tally.round_keys += manifest.holder_keys.iter().flatten().count();
        // Every dealer checks the same signatures, with the same result.
        let resolve =
            || HolderKeys::resolve(&world.parties.study, &manifest, served.round_keys).unwrap();
        world.resolved.entry(manifest.id()).or_insert_with(resolve).clone()
    }

    /// What this holder opens its envelopes of a round with.
    pub(crate) fn round_key(&self, world: &World, manifest: &Manifest) -> RoundKey {
        let offset = world.parties.study.holder_offset(manifest.round, &self.id).unwrap();
        let Some(named) = manifest.holder_keys[offset] else { return RoundKey::LongTerm };
        let known = self.disk.published.iter().find(|keys| keys.id() == named);
        let secret = self.disk.secrets.get(&manifest.round).filter(|_| known.is_some());
        secret.map_or(RoundKey::Lost, |secret| RoundKey::Round(Arc::clone(secret)))
    }

    /// Whether nothing that was sealed to this site in a round is needed again: the round was aborted,
    /// or Q sites hold one model.
    fn is_done(&self, world: &World, round: RoundNumber) -> bool {
        let opened = self.disk.openings.contains_key(&(round, Subject::Sum));
        self.disk.settled.contains_key(&round) || world.is(Broken::DestroysOpened) && opened
    }

    pub(crate) fn destroy_secrets(&mut self, world: &mut World) -> Result<(), Crash> {
        let rounds = self.disk.secrets.keys().copied();
        let done: Vec<RoundNumber> = rounds.filter(|round| self.is_done(world, *round)).collect();
        if done.is_empty() || world.is(Broken::KeepsSecrets) {
            return Ok(());
        }
        world.write(&mut self.disk, |disk| disk.secrets.retain(|round, _| !done.contains(round)))
    }

    /// Whoever takes this site's disk and identity now opens no envelope of a round that is over
    /// for it, where the round had round keys.
    pub(crate) fn stolen(&mut self, world: &mut World, aggregator: &Aggregator) {
        // A crash may have come between the opening and this.
        while self.destroy_secrets(world).is_err() {}
        for round in &aggregator.machines {
            let manifest = &round.manifest().statement;
            let holds = world.parties.study.holder_offset(manifest.round, &self.id);
            let named = holds.is_some_and(|offset| manifest.holder_keys[offset].is_some());
            if !named || !self.is_done(world, manifest.round) {
                continue;
            }
            let cipher = world.cipher();
            let secrets = self.disk.secrets.values().map(Arc::as_ref).map(Some);
            for secret in secrets.chain([None]) {
                for (_, header) in round.received() {
                    let posted = &aggregator.store.posted[&header.id()];
                    let opens = cipher.envelope_opens(Opener::honest(self.index, secret), posted);
                    world.observer.tally.closed += 1;
                    let how = || format!("{} in round {}", self.id, manifest.round);
                    world.observer.check(FORWARD, !opens, how);
                }
            }
        }
    }
}
