//! The rounds of a study, by number: those at work in memory, those that are over in the store.
//!
//! A study runs for months, and a round of 1,000 sites takes megabytes. A round that has ended for
//! the next one's manifest, and after which others were opened, is put to rest: what later rounds
//! need of it is kept, the rest is read again when somebody asks for it. However it is asked for,
//! there is one live round for each number.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use ringfence_crypto::Digest;
use ringfence_crypto::evidence::Named;
use ringfence_crypto::id::{ManifestId, RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::round::{RoundState, SiteSet};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Manifest, Previous, Spent};

use crate::core::round::LiveRound;

/// The last rounds stay in memory even when they have ended: their sites still ask for them.
const LAST: usize = 2;

/// Rounds at rest that somebody asked for and that stay in memory for a while, at most.
const ASKED: usize = 4;

/// What is kept of a round that is over. None of it changes any more.
#[derive(Debug)]
struct Outcome {
    ended: Previous,
    state: RoundState,
    agreed_model: Option<Digest>,
    contributed: SiteSet,
    certified: Option<SiteSet>,
    named: Vec<Named>,
}

/// A round in a line.
#[derive(Clone, Debug)]
pub(crate) struct Glance {
    /// Which.
    pub(crate) round: RoundNumber,
    /// Where it stands.
    pub(crate) state: RoundState,
    /// Who opened it.
    pub(crate) initiator: SiteId,
    /// When, by its manifest.
    pub(crate) opened_at: UnixSeconds,
    /// When its set was fixed.
    pub(crate) closed_at: Option<UnixSeconds>,
    /// Contributions with receipts.
    pub(crate) received: usize,
    /// Who was named by certified verdicts.
    pub(crate) named: Vec<Named>,
}

#[derive(Debug)]
struct Slot {
    manifest: Signed<Manifest>,
    /// While the round is at work, or was asked for a moment ago.
    live: Option<Arc<LiveRound>>,
    /// The same round while somebody works with it: it must not be loaded a second time then.
    used: Weak<LiveRound>,
    /// Once the round was put to rest.
    outcome: Option<Outcome>,
}

impl Slot {
    fn live(&self) -> Option<Arc<LiveRound>> {
        self.live.clone().or_else(|| self.used.upgrade())
    }

    /// From the outcome, where the round is over, and else from the round.
    fn of<T>(
        &self,
        outcome: impl FnOnce(&Outcome) -> T,
        round: impl FnOnce(&LiveRound) -> T,
    ) -> Option<T> {
        match &self.outcome {
            Some(known) => Some(outcome(known)),
            None => self.live.as_deref().map(round),
        }
    }
}

/// One number's round.
#[derive(Debug)]
pub(crate) enum Found {
    /// In memory.
    Live(Arc<LiveRound>),
    /// In the store, with this manifest.
    AtRest(Box<Signed<Manifest>>),
}

/// Round `r` at index `r`: numbers rise by one.
#[derive(Debug, Default)]
pub(crate) struct RoundList {
    slots: RwLock<Vec<Slot>>,
    /// Rounds at rest that are in memory because they were asked for, the oldest first.
    asked: Mutex<VecDeque<RoundNumber>>,
    /// What each site has stated last of its privacy budget, in the rounds at rest.
    spent: Mutex<BTreeMap<SiteId, (RoundNumber, Spent)>>,
}

impl RoundList {
    fn read<T>(&self, look: impl FnOnce(&[Slot]) -> T) -> T {
        look(&self.slots.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Vec<Slot>) -> T) -> T {
        change(&mut self.slots.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.read(<[Slot]>::len)
    }

    /// The last one.
    pub(crate) fn last(&self) -> Option<Arc<LiveRound>> {
        self.read(|slots| slots.last().and_then(Slot::live))
    }

    /// All that are at work.
    pub(crate) fn at_work(&self) -> Vec<Arc<LiveRound>> {
        self.read(|slots| slots.iter().filter_map(|slot| slot.live.clone()).collect())
    }

    /// The round with a number, if it is open.
    pub(crate) fn find(&self, number: RoundNumber) -> Option<Found> {
        self.read(|slots| {
            let slot = slots.get(number.0 as usize)?;
            let at_rest = || Found::AtRest(Box::new(slot.manifest.clone()));
            Some(slot.live().map_or_else(at_rest, Found::Live))
        })
    }

    /// The number of the round with a manifest.
    pub(crate) fn number_of(&self, manifest: ManifestId) -> Option<RoundNumber> {
        self.read(|slots| {
            let slot = slots.iter().rev().find(|slot| slot.manifest.id() == manifest)?;
            Some(slot.manifest.statement.round)
        })
    }

    /// The last rounds before `until`, the newest first: `most` of them at most.
    pub(crate) fn glances(&self, until: usize, most: usize) -> Vec<Glance> {
        let glance = |slot: &Slot| {
            let Manifest { round, initiator, opened_at, .. } = &slot.manifest.statement;
            let of = |state, closed_at, received, named| Glance {
                round: *round,
                state,
                initiator: initiator.clone(),
                opened_at: *opened_at,
                closed_at,
                received,
                named,
            };
            let at_rest = |o: &Outcome| {
                of(o.state, Some(o.ended.closed_at), o.contributed.len(), o.named.clone())
            };
            slot.of(at_rest, |live| {
                let round = live.read();
                let closed_at = round.closing().map(|closing| closing.statement.closed_at);
                of(round.state(), closed_at, round.contributed().len(), Named::all(&round))
            })
        };
        self.read(|slots| {
            let from = until.min(slots.len());
            slots.iter().take(from).rev().take(most).filter_map(glance).collect()
        })
    }

    /// What each site has stated last of its privacy budget, and in which round.
    pub(crate) fn spent(&self) -> BTreeMap<SiteId, (RoundNumber, Spent)> {
        let mut all = self.spent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for round in self.at_work() {
            note_spent(&mut all, &round);
        }
        all
    }

    /// Says of each round how it stands.
    pub(crate) fn count_states(&self, mut count: impl FnMut(RoundState)) {
        self.read(|slots| {
            let state = |slot: &Slot| slot.of(|o| o.state, |round| round.read().state());
            slots.iter().filter_map(state).for_each(&mut count);
        });
    }

    /// The sites whose contribution to a round has a receipt.
    pub(crate) fn contributed(&self, number: RoundNumber) -> Option<SiteSet> {
        let received = |round: &LiveRound| round.read().contributed();
        self.read(|slots| slots.get(number.0 as usize)?.of(|o| o.contributed.clone(), received))
    }

    /// The sites of each certified set whose sum may be opened, and every site that is barred or was
    /// named since.
    pub(crate) fn certified_sets(&self) -> (BTreeMap<RoundNumber, SiteSet>, BTreeSet<SiteId>) {
        let (mut sets, mut barred) = (BTreeMap::new(), BTreeSet::new());
        let mut add = |slot: &Slot| {
            let number = slot.manifest.statement.round;
            let set = slot.of(|o| o.certified.clone(), |round| round.read().certified_set());
            sets.extend(set.flatten().map(|set| (number, set)));
            let named = slot.of(|o| o.named.clone(), |round| Named::all(&round.read()));
            barred.extend(named.into_iter().flatten().flat_map(|named| named.sites));
        };
        self.read(|slots| slots.iter().for_each(&mut add));
        (sets, barred)
    }

    /// How the last of the first `until` rounds that has ended did so.
    pub(crate) fn ended(&self, until: usize) -> Option<Previous> {
        let ended = |slot: &Slot| slot.of(|o| Some(o.ended.clone()), |round| round.read().ended());
        self.read(|slots| slots.iter().take(until).rev().find_map(|slot| ended(slot).flatten()))
    }

    /// The model that enough sites have acknowledged last, and in which round. An abort leaves the
    /// sites with the model that they had.
    pub(crate) fn agreed_model(&self) -> Option<(RoundNumber, Digest)> {
        self.read(|slots| {
            slots.iter().rev().find_map(|slot| {
                let model = slot.of(|o| o.agreed_model, |round| round.read().agreed_model());
                Some((slot.manifest.statement.round, model.flatten()?))
            })
        })
    }

    /// The first round from `first` on, all of them at rest, if it was closed before this time: rounds
    /// are closed in the order of their numbers.
    pub(crate) fn next_closed_before(
        &self,
        before: UnixSeconds,
        first: RoundNumber,
    ) -> Option<RoundNumber> {
        let closed_at = self.read(|slots| {
            let outcome = slots.get(first.0 as usize)?.outcome.as_ref()?;
            Some(outcome.ended.closed_at)
        });
        closed_at.filter(|closed_at| *closed_at < before).map(|_| first)
    }

    /// Adds the next round, and puts to rest what is over and not among the last.
    pub(crate) fn push(&self, round: &Arc<LiveRound>) -> usize {
        self.write(|slots| {
            slots.push(Slot {
                manifest: round.manifest().clone(),
                live: Some(round.clone()),
                used: Arc::downgrade(round),
                outcome: None,
            });
            let settled = slots.len().saturating_sub(LAST);
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            slots.iter_mut().take(settled).for_each(|slot| rest(slot, &mut spent));
            slots.len()
        })
    }

    /// Takes in a round at rest that was loaded because somebody asked for it. Another one goes for
    /// it, where there are many.
    pub(crate) fn wake(&self, round: &Arc<LiveRound>) {
        let number = round.id.round;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(|slots| {
            if let Some(slot) = slots.get_mut(number.0 as usize) {
                (slot.live, slot.used) = (Some(round.clone()), Arc::downgrade(round));
                asked.push_back(number);
            }
            while asked.len() > ASKED {
                let oldest = asked.pop_front();
                let slot = oldest.and_then(|oldest| slots.get_mut(oldest.0 as usize));
                slot.into_iter().for_each(|slot| slot.live = None);
            }
        });
    }
}

/// Puts a round to rest if it is over.
fn rest(slot: &mut Slot, spent: &mut BTreeMap<SiteId, (RoundNumber, Spent)>) {
    let Some(live) = slot.live.as_ref().filter(|_| slot.outcome.is_none()) else { return };
    let round = live.read();
    let Some(ended) = round.ended() else { return };
    let (state, agreed_model) = (round.state(), round.agreed_model());
    let (contributed, named) = (round.contributed(), Named::all(&round));
    let certified = round.certified_set();
    let outcome = Outcome { ended, state, agreed_model, contributed, certified, named };
    drop(round);
    note_spent(spent, live);
    (slot.outcome, slot.live) = (Some(outcome), None);
}

/// Adds what the sites of a round state of their budgets, where that is their latest word.
fn note_spent(all: &mut BTreeMap<SiteId, (RoundNumber, Spent)>, live: &LiveRound) {
    let number = live.id.round;
    for (site, header) in live.read().received() {
        let Some(spent) = header.statement.spent else { continue };
        if all.get(site).is_none_or(|(last, _)| *last <= number) {
            all.insert(site.clone(), (number, spent));
        }
    }
}
