//! A site that loses its disk and goes on from an old backup. What it did since it has forgotten:
//! so it abstains until the other sites' signed answers show how far that may have been. The
//! aggregator may hide rounds from it; it only carries what the sites ask and answer.

use rand::Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{ModelId, RoundNumber, UnixSeconds};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{RestoreRequest, Standing};
use ringfence_keys::duties::abstention::Abstention;
use ringfence_keys::duties::contributor::End;
use ringfence_keys::duties::restored::recall;

use crate::site::Site;
use crate::world::{Broken, Crash, Message, Served, To, World};

/// Most restores in a schedule: a site that is restored over and over abstains for good.
const RESTORES: usize = 2;

impl Site {
    /// Now and then the site that may be restored makes a backup, or loses all since the last one.
    pub(crate) fn back_up_or_lose(&mut self, world: &mut World, served: Served<'_>) {
        if world.faults.restored != Some(self.index) || !world.dice.percent(6) {
            return;
        }
        if world.dice.percent(50) {
            self.backup = Some(self.disk.clone());
        } else if self.restores < RESTORES && served.rounds > 0 {
            self.restores += 1;
            world.observer.tally.restores += 1;
            let old = self.backup.clone().unwrap_or_else(|| Site::new_disk(&world.parties));
            self.disk = old;
            let restored_at = world.now;
            self.disk.abstention = Some(Abstention { restored_at, through: None });
            let mut nonce = [0; 32];
            world.dice.0.fill_bytes(&mut nonce);
            let (study, site) = (world.parties.id, self.id.clone());
            let request = RestoreRequest { study, site, nonce: Digest(nonce), restored_at };
            self.disk.request = Some(world.parties.identities[self.index].sign(request));
            if world.is(Broken::BelievesAggregator) {
                // Rounds 0 to k - 1 are open, or so it is told: k is one more than the highest.
                let hidden = world.dice.below(2) as u32;
                let through = Some(RoundNumber(served.rounds.saturating_sub(1 + hidden)));
                self.disk.abstention = Some(Abstention { restored_at: UnixSeconds(0), through });
                self.disk.request = None;
            }
            self.restart(world);
        }
    }

    /// Asks the others how far the study has come, again and again.
    pub(crate) fn ask(&mut self, world: &mut World) {
        let Some(request) = &self.disk.request else { return };
        for other in (0..world.parties.identities.len()).filter(|other| *other != self.index) {
            world.send(To::Site(other), Message::Restore(request.clone()));
        }
    }

    /// The highest round in which this site takes part or has: whose manifest it has accepted.
    fn known(&self) -> Option<RoundNumber> {
        let disk = &self.disk;
        let highest = [
            disk.posted.keys().next_back(),
            disk.reviewed.keys().next_back(),
            disk.endorsed.keys().next_back(),
            disk.ended.keys().next_back(),
            disk.proposed.keys().next_back(),
        ];
        highest.into_iter().flatten().max().copied()
    }

    /// Answers a site that was restored. One that was restored itself may have forgotten rounds, and
    /// does not answer before it knows one after those in which it abstains.
    pub(crate) fn answer(&self, world: &mut World, request: &Signed<RestoreRequest>) {
        let mut round = self.known();
        let forgetful = self.disk.abstention.is_some_and(|abstention| {
            abstention.through.is_none_or(|through| round.is_none_or(|round| round <= through))
        });
        if forgetful {
            return;
        }
        if world.corrupt(self.index).is_some() {
            // Helps to hide rounds, or makes one up.
            round = [None, round.map(RoundNumber::next)][world.dice.below(2)];
        }
        let standing = world.parties.identities[self.index].sign(Standing {
            study: world.parties.id,
            request: request.id(),
            site: self.id.clone(),
            round,
            has_signed: None,
        });
        let asking = world.parties.study.position(&request.statement.site).unwrap();
        world.send(To::Site(asking), Message::Standing(standing));
    }

    /// Takes an answer, and ends the uncertainty once the answers suffice.
    pub(crate) fn standing(
        &mut self,
        world: &mut World,
        standing: Signed<Standing>,
    ) -> Result<(), Crash> {
        let Some(request) = self.disk.request.clone() else { return Ok(()) };
        self.memory.standings.push(standing);
        let proven = |round: RoundNumber| self.disk.ended.contains_key(&round);
        let recalled = recall(&world.parties.study, &request, &self.memory.standings, proven);
        if let Some(through) = recalled.through {
            world.write(&mut self.disk, |disk| {
                let restored_at = request.statement.restored_at;
                disk.abstention = Some(Abstention { restored_at, through: Some(through) });
                disk.request = None;
            })?;
            world.observer.tally.recalled += 1;
            self.restart(world);
        }
        Ok(())
    }

    /// Whether a restored site may start from this model: it may have forgotten which ones it has
    /// used, so it follows the certified rounds, as every site does outside this simulation.
    pub(crate) fn follows(&self, round: RoundNumber, model: ModelId) -> bool {
        let mut sets = self.disk.ended.range(..round).filter(|(_, (_, end))| *end == End::Set);
        let last = match sets.next_back() {
            Some((set, _)) => self.disk.applied.get(set),
            None => self.disk.models.first(),
        };
        self.disk.abstention.is_none() || last == Some(&model)
    }
}
