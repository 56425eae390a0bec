//! What a corrupt site signs beside what it owes: disputes and verdicts that nobody has found.

use ringfence_crypto::id::SiteId;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{Dispute, Verdict};
use ringfence_keys::duties::disputes::{endorse_dispute, endorse_verdict};

use crate::faults::Corrupt;
use crate::site::Site;
use crate::toy;
use crate::world::{Message, Shown, To, World};

impl Site {
    /// Now and then endorses a dispute at any position, or a verdict on any site.
    pub(crate) fn slander(&self, world: &mut World, shown: &Shown, corrupt: &Corrupt) {
        let Some(closing) = shown.closing.as_ref().map(Signed::id) else { return };
        if !world.dice.percent(corrupt.disputes) {
            return;
        }
        let (study, round) = (world.parties.id, shown.manifest.statement.round);
        let identity = &world.parties.identities[self.index];
        if world.dice.percent(50) {
            let index = 1 + world.dice.below(world.parties.study.threshold.collusion.into()) as u16;
            let before = shown.judged.get(&(index - 1)).filter(|_| index > 1);
            let after = before.map(|verdict| verdict.statement.id());
            let coefficient = world.dice.below(toy::WORDS) as u16;
            let dispute = Dispute { study, round, closing, index, after, block: 0, coefficient };
            world.send(To::Aggregator, Message::Dispute(endorse_dispute(identity, dispute)));
            return;
        }
        let disputes = shown.disputed.values().map(|certified| Some(certified.statement.id()));
        let disputes: Vec<_> = disputes.chain([None]).collect();
        let dispute = disputes[world.dice.below(disputes.len())];
        let roster = &world.parties.study.roster;
        let named: SiteId = roster[world.dice.below(roster.len())].id.clone();
        let verdict = Verdict { study, round, closing, dispute, sites: vec![named] };
        world.send(To::Aggregator, Message::Verdict(endorse_verdict(identity, verdict)));
    }
}
