//! What is counted of the opened sets of a study.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::bits::Bits;
use super::echelon::Echelon;
use super::fewest::search;
use crate::id::{RoundNumber, SiteId};
use crate::statement::Closing;

/// Most different sets that are compared, each with each.
pub const MOST_SETS: usize = 1 << 14;

/// The set over which a round's sum was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedSet<'a> {
    /// Which round.
    pub round: RoundNumber,
    /// The sites in it.
    pub sites: Vec<&'a SiteId>,
}

impl<'a> OpenedSet<'a> {
    /// The set of a certified closing; none for an abort, which opens nothing.
    pub fn of(closing: &'a Closing) -> Option<Self> {
        let sites = closing.included.iter().map(|entry| &entry.site).collect();
        (!closing.is_abort()).then_some(Self { round: closing.round, sites })
    }
}

/// Two sums of which one less the other is over few sites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Difference {
    /// A round with the one set: the first.
    pub first: RoundNumber,
    /// A round with the other: the first, too.
    pub second: RoundNumber,
    /// The sites of the first round's set that are not in the second's.
    pub only_first: Vec<SiteId>,
    /// The sites of the second round's set that are not in the first's.
    pub only_second: Vec<SiteId>,
}

impl Difference {
    /// How many sites the difference of the two sums is over.
    pub fn sites(&self) -> usize {
        self.only_first.len() + self.only_second.len()
    }
}

/// Bounds on the fewest sites that a combination of opened sums is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fewest {
    /// No combination is over fewer.
    pub at_least: usize,
    /// A combination is over so many.
    pub at_most: usize,
}

impl Fewest {
    /// The number itself, where it is known.
    pub fn exactly(self) -> Option<usize> {
        (self.at_least == self.at_most).then_some(self.at_least)
    }
}

/// What the sums that were opened could tell of few sites, were the sites' updates the same in all
/// rounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CohortReport {
    /// Rounds whose sum was opened.
    pub rounds: usize,
    /// Different sets among them.
    pub sets: usize,
    /// Sites that are in any of them. Those that are known to be corrupt are not counted anywhere:
    /// what a sum tells of them is not protected.
    pub sites: usize,
    /// Rank of the participation matrix: how many sums do not follow from the others.
    pub rank: usize,
    /// Whether all sets were looked at. If not, `rank`, `singled_out` and `closest` are of those that
    /// were, and there may be more.
    pub complete: bool,
    /// Groups of sites that were in the same sets, always.
    pub groups: usize,
    /// Sites whose update alone is a combination of opened sums.
    pub singled_out: Vec<SiteId>,
    /// The two opened sets that differ in the fewest sites, if there are two.
    pub closest: Option<Difference>,
    /// The fewest sites that any combination is over; none where nothing was opened.
    pub fewest: Option<Fewest>,
}

/// Measures the opened sets of a study. Of sites that are known to be corrupt nothing is counted.
///
/// It takes at most time in proportion to sites * [`MOST_CELLS`](super::MOST_CELLS) and
/// [`MOST_SETS`]^2 * sites / 64.
pub fn measure(opened: &[OpenedSet<'_>], corrupt: &BTreeSet<SiteId>) -> CohortReport {
    let mut places: BTreeMap<&SiteId, usize> = BTreeMap::new();
    let mut names: Vec<&SiteId> = Vec::new();
    let mut first: BTreeMap<Bits, RoundNumber> = BTreeMap::new();
    let mut sets: Vec<Set> = Vec::new();
    for OpenedSet { round, sites } in opened {
        let mut members = Vec::with_capacity(sites.len());
        for site in sites.iter().copied().filter(|site| !corrupt.contains(*site)) {
            members.push(*places.entry(site).or_insert_with(|| {
                names.push(site);
                names.len() - 1
            }));
        }
        let set = Bits::of(members);
        if !set.is_empty() && !first.contains_key(&set) {
            first.insert(set.clone(), *round);
            sets.push((set, *round));
        }
    }
    let width = names.len();
    let groups = group_sizes(sets.iter().map(|(set, _)| set), width);
    let (echelon, all) = eliminated(&sets, width);
    let named = |of: &mut dyn Iterator<Item = usize>| -> Vec<SiteId> {
        of.filter_map(|place| names.get(place)).copied().cloned().collect()
    };
    let closest = closest(&sets).map(|(a, b)| {
        let ((one, first), (other, second)) = (a, b);
        let mut only_one = (0..width).filter(|place| one.has(*place) && !other.has(*place));
        let mut only_other = (0..width).filter(|place| other.has(*place) && !one.has(*place));
        Difference {
            first: *first,
            second: *second,
            only_first: named(&mut only_one),
            only_second: named(&mut only_other),
        }
    });
    let at_most = sets.iter().map(|(set, _)| set.len());
    let at_most = at_most.chain(closest.as_ref().map(Difference::sites));
    let at_most = at_most.chain(echelon.supports()).min();
    CohortReport {
        rounds: opened.len(),
        sets: sets.len(),
        sites: width,
        rank: echelon.rank(),
        complete: all && sets.len() <= MOST_SETS,
        groups: groups.len(),
        singled_out: named(&mut echelon.units().into_iter()),
        fewest: at_most.map(|at_most| fewest(&groups, &echelon, at_most, all)),
        closest,
    }
}

/// Which sites have been in the same sets so far: each site's group.
struct Groups(Vec<usize>);

impl Groups {
    /// Splits the groups by another set; how many there are then.
    fn split(&mut self, set: &Bits) -> usize {
        let mut renamed: BTreeMap<(usize, bool), usize> = BTreeMap::new();
        for (place, of) in self.0.iter_mut().enumerate() {
            let next = renamed.len();
            *of = *renamed.entry((*of, set.has(place))).or_insert(next);
        }
        renamed.len()
    }
}

/// One site of each group, and how many sites it has.
fn group_sizes<'a>(sets: impl Iterator<Item = &'a Bits>, width: usize) -> Vec<(usize, usize)> {
    let mut groups = Groups(vec![0; width]);
    for set in sets {
        groups.split(set);
    }
    let mut sizes: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for (place, of) in groups.0.into_iter().enumerate() {
        sizes.entry(of).or_insert((place, 0)).1 += 1;
    }
    sizes.into_values().collect()
}

/// The rows in echelon form, and whether all are in it. A set that splits no group adds nothing once
/// the rank is the number of groups that were in a set: every vector that is constant on those is a
/// combination then.
fn eliminated(sets: &[Set], width: usize) -> (Echelon, bool) {
    let (mut echelon, mut groups) = (Echelon::new(width), Groups(vec![0; width]));
    let (mut count, mut seen) = (1, 0);
    for (set, _) in sets {
        // Sites are numbered as they come: those that were in no set are the last, in one group.
        seen = seen.max(set.end());
        let before = std::mem::replace(&mut count, groups.split(set));
        let in_a_set = count - usize::from(seen < width);
        if before == count && echelon.rank() == in_a_set {
            continue;
        }
        if echelon.is_full() {
            return (echelon, false);
        }
        echelon.add(set);
    }
    (echelon, true)
}

type Set = (Bits, RoundNumber);

/// The two sets that differ in the fewest sites.
fn closest(sets: &[Set]) -> Option<(&Set, &Set)> {
    let mut best: Option<(usize, &Set, &Set)> = None;
    let sets = sets.get(..MOST_SETS).unwrap_or(sets);
    for (place, one) in sets.iter().enumerate() {
        for other in sets.iter().skip(place + 1) {
            let apart = one.0.apart(&other.0);
            if best.is_none_or(|(least, ..)| apart < least) {
                best = Some((apart, one, other));
            }
        }
    }
    best.map(|(_, one, other)| (one, other))
}

/// Bounds, and the number itself where it can be searched for. Every combination is over whole groups.
fn fewest(groups: &[(usize, usize)], echelon: &Echelon, at_most: usize, all: bool) -> Fewest {
    let at_least = groups.iter().map(|(_, size)| *size).min().unwrap_or(0);
    if at_least == at_most || !all {
        return Fewest { at_least, at_most };
    }
    let (places, sizes): (Vec<usize>, Vec<usize>) = groups.iter().copied().unzip();
    match search(&echelon.columns(&places), echelon.rank(), &sizes) {
        Some(exactly) => Fewest { at_least: exactly, at_most: exactly },
        None => Fewest { at_least, at_most },
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
