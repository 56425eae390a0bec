//! A site that loses its disk and goes on from an old backup. What it did since it has forgotten:
//! so it abstains through the highest round that the aggregator shows, plus one.

use ringfence_crypto::id::{ModelId, RoundNumber};
use ringfence_keys::duties::contributor::End;

use crate::site::Site;
use crate::world::{Served, World};

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
            // Rounds 0 to k - 1 are open: k is one more than the highest.
            self.disk.abstains_through = Some(RoundNumber(served.rounds));
            self.restart(world);
        }
    }

    /// Whether a restored site may start from this model: it may have forgotten which ones it has
    /// used, so it follows the certified rounds, as every site does outside this simulation.
    pub(crate) fn follows(&self, round: RoundNumber, model: ModelId) -> bool {
        let mut sets = self.disk.ended.range(..round).filter(|(_, (_, end))| *end == End::Set);
        let last = match sets.next_back() {
            Some((set, _)) => self.disk.applied.get(set),
            None => self.disk.models.first(),
        };
        self.disk.abstains_through.is_none() || last == Some(&model)
    }
}
