//! What units have been exposed to: composition for each unit, computed once for units alike.
//!
//! Two units that stand in the same entries have spent the same. So units are grouped by how often
//! each mechanism was applied to them, and the accountant is asked once for each such composition. Of
//! ten studies on parts of the same patients there may be a thousand: what the accountant works out of
//! a mechanism for one of them serves all. Composition is adaptive: later studies may depend on what earlier ones opened.

use std::collections::{HashMap, HashSet};

use ringfence_crypto::Digest;
use ringfence_keys::study::spending::ACCOUNTANT;
use ringfence_keys::update::site_noise::inexact::{DeltaLeft, Inexactness};
use ringfence_privacy::{Account, Mechanism};

use super::entry::{Budget, Entry};
use super::error::LedgerError;
use super::units::Snapshot;

/// How often each mechanism of a list was applied.
type Counts = Vec<u64>;

/// Units in groups that were exposed alike.
#[derive(Debug)]
pub(super) struct Exposure {
    /// Of the mechanisms, by the accountant of all sites, as a header states it.
    account: Account,
    /// Compositions, and how many units have each.
    groups: Vec<(Counts, usize)>,
    /// How far all noise is from the one that is accounted for: of each unit at most.
    inexact: Inexactness,
}

/// A group of units, and what they have spent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spending {
    pub(super) units: usize,
    pub(super) epsilon: f64,
}

impl Exposure {
    /// What `universe`'s units were exposed to by entries. Every snapshot is loaded once, one at a
    /// time.
    pub(super) fn of<'e>(
        universe: &Snapshot,
        entries: impl Iterator<Item = &'e Entry> + Clone,
        load: impl Fn(Digest) -> Result<Snapshot, LedgerError>,
    ) -> Result<Self, LedgerError> {
        let mut mechanisms: Vec<Mechanism> = Vec::new();
        // In the order of their first entries.
        let (mut snapshots, mut places) = (Vec::<(Digest, [Counts; 2])>::new(), HashMap::new());
        let inexact = inexact(entries.clone());
        for entry in entries {
            let place = *places.entry(entry.units).or_insert_with(|| {
                snapshots.push((entry.units, Default::default()));
                snapshots.len() - 1
            });
            let Some((_, [inside, outside])) = snapshots.get_mut(place) else { continue };
            // A unit that was forgotten may be any: what was forgotten is charged to all there are.
            let (rounds, unseen) = (u64::from(entry.rounds()), u64::from(entry.rounds_unseen()));
            let each = entry.mechanisms.iter().map(|used| (used, rounds, unseen));
            let once = entry.once.iter().map(|used| (used, 1, unseen.min(1)));
            for ((mechanism, times), rounds, unseen) in each.chain(once) {
                let kind = mechanisms.iter().position(|known| known == mechanism);
                let kind = kind.unwrap_or_else(|| {
                    mechanisms.push(*mechanism);
                    mechanisms.len() - 1
                });
                add(inside, kind, times.saturating_mul(rounds));
                add(outside, kind, times.saturating_mul(unseen));
            }
        }
        let is_empty = universe.units().is_empty();
        let mut groups: Vec<Counts> = vec![Counts::new()];
        let mut group_of = vec![0; universe.units().len()];
        for (name, counts) in &snapshots {
            split(universe, &load(*name)?, counts, &mut groups, &mut group_of);
            // With nobody known, what somebody would have spent is answered.
            if let (true, Some(nobody), [_, outside]) = (is_empty, groups.first_mut(), counts) {
                outside.iter().enumerate().for_each(|(kind, times)| add(nobody, kind, *times));
            }
        }
        let mut units = vec![0; groups.len()];
        for group in group_of {
            if let Some(units) = units.get_mut(group) {
                *units += 1;
            }
        }
        let mut alike: HashMap<Counts, usize> = HashMap::new();
        for (mut counts, units) in groups.into_iter().zip(units) {
            counts.resize(mechanisms.len(), 0);
            *alike.entry(counts).or_default() += units;
        }
        let groups = alike.into_iter().filter(|(_, units)| *units > 0 || is_empty).collect();
        Ok(Self { account: Account::new(mechanisms, ACCOUNTANT)?, groups, inexact })
    }

    /// Epsilon of the unit that has spent most, at the budget's delta.
    pub(super) fn worst(&self, budget: Budget) -> Result<f64, LedgerError> {
        let delta = self.delta_left(budget)?.delta;
        let mut worst: f64 = 0.0;
        for (counts, _) in &self.groups {
            worst = worst.max(self.epsilon(counts, delta)?);
        }
        Ok(worst)
    }

    /// What every group has spent, the least first.
    pub(super) fn spending(&self, budget: Budget) -> Result<Vec<Spending>, LedgerError> {
        let delta = self.delta_left(budget)?.delta;
        let groups = self.groups.iter();
        let each = groups.map(|(counts, units)| {
            Ok(Spending { units: *units, epsilon: self.epsilon(counts, delta)? })
        });
        let mut each = each.collect::<Result<Vec<_>, LedgerError>>()?;
        each.sort_by(|a, b| a.epsilon.total_cmp(&b.epsilon));
        Ok(each)
    }

    /// What the noise lacks to exact noise is taken off delta.
    pub(super) fn delta_left(&self, budget: Budget) -> Result<DeltaLeft, LedgerError> {
        let Budget { epsilon, delta } = budget;
        let distance = self.inexact.distance();
        let left = DeltaLeft::of(delta, epsilon, self.inexact);
        left.ok_or(LedgerError::DeltaTaken { delta, distance })
    }

    fn epsilon(&self, counts: &[u64], delta: f64) -> Result<f64, LedgerError> {
        let epsilon = self.account.epsilon(counts, delta)?;
        // What is no number must not get lost where the largest is looked for.
        Ok(if epsilon.is_nan() { f64::INFINITY } else { epsilon })
    }
}

/// How far the noise of all these entries is from the one that is accounted for: of any unit that one
/// of them names, at most.
pub(super) fn inexact<'e>(entries: impl Iterator<Item = &'e Entry>) -> Inexactness {
    // Of units that are known so far, and of one that is not: what was forgotten is charged to it, too.
    let (mut known, mut unseen) = (Inexactness::default(), Inexactness::default());
    let mut seen = HashSet::new();
    for entry in entries {
        // In another set there may be somebody new.
        if seen.insert(entry.units) {
            let (added, squared) =
                (known.added.max(unseen.added), known.squared.max(unseen.squared));
            known = Inexactness { added, squared };
        }
        known = known.and(entry.inexact.times(entry.rounds()));
        unseen = unseen.and(entry.inexact.times(entry.rounds_unseen()));
    }
    known
}

/// Adds to one count.
fn add(counts: &mut Counts, kind: usize, times: u64) {
    if counts.len() <= kind {
        counts.resize(kind + 1, 0);
    }
    if let Some(count) = counts.get_mut(kind) {
        *count = count.saturating_add(times);
    }
}

/// Moves the units of a snapshot, and those outside it, into groups that are exposed to so much more.
/// Both lists are sorted.
fn split(
    universe: &Snapshot,
    snapshot: &Snapshot,
    [inside, outside]: &[Counts; 2],
    groups: &mut Vec<Counts>,
    group_of: &mut [usize],
) {
    let mut moved: HashMap<(usize, bool), usize> = HashMap::new();
    let mut taken = snapshot.units().iter().peekable();
    for (unit, group) in universe.units().iter().zip(group_of) {
        while taken.peek().is_some_and(|other| *other < unit) {
            taken.next();
        }
        let is_inside = taken.peek() == Some(&unit);
        let more = if is_inside { inside } else { outside };
        if more.iter().all(|times| *times == 0) {
            continue;
        }
        *group = *moved.entry((*group, is_inside)).or_insert_with(|| {
            let mut counts = groups.get(*group).cloned().unwrap_or_default();
            more.iter().enumerate().for_each(|(kind, times)| add(&mut counts, kind, *times));
            groups.push(counts);
            groups.len() - 1
        });
    }
}
