//! What sites that miss rounds make of a study: what its sums could tell of single sites, and what it
//! costs to hold the sets apart. Played through by chance, and measured as a real study's rounds are.

use std::collections::BTreeSet;

use ringfence_crypto::cohorts::{OpenedSet, measure};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::statement::group_lengths;
use serde::Serialize;

/// Most studies that are played through.
const MOST_PLAYED: usize = 200;

/// Of large studies as few as keep this many steps: sites times rounds squared.
const MOST_STEPS: usize = 40_000_000;

/// A study whose sites miss rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Participation {
    /// Sites of the roster.
    pub sites: usize,
    /// `c`.
    pub collusion: u16,
    /// Fewest contributions a sum is opened for, where sets are as they come.
    pub min_sites: u16,
    /// The same where sets are held apart.
    pub min_sites_apart: u16,
    /// Rounds of the study.
    pub rounds: u32,
}

/// What became of the studies that were played through, in the mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// The chance of each site to miss a round, by itself.
    pub drop_out: f64,
    /// Studies that were played through.
    pub played: usize,
    /// Part of the rounds whose sum was opened, where sets are as they come.
    pub opened: f64,
    /// Part of the studies in which a site was singled out then.
    pub singled_out: f64,
    /// Part of the studies in which two sets differed in fewer than `c + 2` sites then.
    pub too_close: f64,
    /// Part of the rounds whose sum was opened, where sets are held apart.
    pub opened_apart: f64,
    /// Part of the contributions that came and were counted then.
    pub counted_apart: f64,
}

impl Participation {
    /// Plays the study through at a rate of drop-outs, by the same chances every time.
    pub fn forecast(&self, drop_out: f64) -> Forecast {
        let Self { sites, collusion, min_sites, min_sites_apart, rounds } = *self;
        let steps = sites.saturating_mul(rounds as usize).saturating_mul(rounds as usize);
        let played = (MOST_STEPS / steps.max(1)).clamp(1, MOST_PLAYED);
        let floor = usize::from(collusion) + 2;
        let groups = group_lengths(sites, floor);
        let names: Vec<SiteId> =
            (0..sites).filter_map(|site| format!("site-{site}").parse().ok()).collect();
        let mut chance = Chance(1);
        let [mut opened, mut alone, mut close] = [0usize; 3];
        let [mut opened_apart, mut came, mut counted] = [0usize; 3];
        for _ in 0..played {
            let mut sets = Vec::new();
            for round in (0..rounds).map(RoundNumber) {
                let there: Vec<bool> = (0..sites).map(|_| chance.next() >= drop_out).collect();
                let count = there.iter().filter(|there| **there).count();
                came += count;
                if count >= usize::from(min_sites) {
                    let set = names.iter().zip(&there).filter(|(_, there)| **there);
                    sets.push(OpenedSet { round, sites: set.map(|(name, _)| name).collect() });
                }
                let whole = in_whole(&groups, &there);
                if whole >= usize::from(min_sites_apart) {
                    opened_apart += 1;
                    counted += whole;
                }
            }
            opened += sets.len();
            let report = measure(&sets, &BTreeSet::new());
            alone += usize::from(!report.singled_out.is_empty());
            close += usize::from(report.closest.is_some_and(|pair| pair.sites() < floor));
        }
        let of = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        let all = played * rounds as usize;
        Forecast {
            drop_out,
            played,
            opened: of(opened, all),
            singled_out: of(alone, played),
            too_close: of(close, played),
            opened_apart: of(opened_apart, all),
            counted_apart: of(counted, came),
        }
    }
}

/// How many sites of those that are there are in groups of which all are.
fn in_whole(groups: &[usize], there: &[bool]) -> usize {
    let mut rest = there;
    let whole = groups.iter().map(|length| {
        let (group, others) = rest.split_at((*length).min(rest.len()));
        rest = others;
        if group.iter().all(|there| *there) { group.len() } else { 0 }
    });
    whole.sum()
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): nothing here is secret.
struct Chance(u64);

impl Chance {
    /// A number from 0 to below 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWELVE: Participation =
        Participation { sites: 12, collusion: 1, min_sites: 8, min_sites_apart: 6, rounds: 20 };

    #[test]
    fn without_drop_outs_nothing_is_told_and_nothing_lost() {
        let Forecast { opened, singled_out, too_close, opened_apart, counted_apart, .. } =
            TWELVE.forecast(0.0);
        assert_eq!((opened, singled_out, too_close), (1.0, 0.0, 0.0));
        assert_eq!((opened_apart, counted_apart), (1.0, 1.0));
    }

    #[test]
    fn a_few_drop_outs_single_sites_out_and_groups_cost_contributions() {
        let few = TWELVE.forecast(0.05);
        assert!(few.singled_out > 0.95 && few.too_close > 0.95, "{few:?}");
        // A group of three is whole in 0.95^3 of the rounds, a site there in 0.95 of them.
        assert!((few.counted_apart - 0.95f64.powi(2)).abs() < 0.02, "{few:?}");
        assert!(few.opened_apart > 0.95 && few.opened > 0.999, "{few:?}");
        let five =
            Participation { sites: 5, min_sites: 4, min_sites_apart: 3, ..TWELVE }.forecast(0.05);
        // One group: a round is whole or nothing.
        assert!((five.opened_apart - 0.95f64.powi(5)).abs() < 0.02, "{five:?}");
    }

    #[test]
    fn of_large_studies_fewer_are_played_through() {
        let large = Participation {
            sites: 1_000,
            collusion: 4,
            min_sites: 667,
            min_sites_apart: 667,
            rounds: 100,
        };
        assert_eq!(large.forecast(0.01).played, 4);
    }
}
