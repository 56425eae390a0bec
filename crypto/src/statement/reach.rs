//! How far a single site can move the mean.
//!
//! The mean of a tensor with clip bound `C` over a set of sites is their sum divided by the sum of
//! their factors. An honest site's part of the sum lies in `[-f C, f C]`, `f` its factor: it moves
//! the mean by its share `f / sum f` of `C` at most. A malicious one may put any quantized value
//! into its body, hence `[-C, C]`: it moves the mean by `1 / sum f` of `C`.

use serde::{Deserialize, Serialize};

use super::study::Study;
use super::weighting::Weighting;
use crate::threshold::Threshold;

/// The most that one site moves the mean, as a share of the clip bound `C`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// An honest site, the one that counts most.
    pub honest: f64,
    /// A malicious site.
    pub malicious: f64,
}

/// Sizes of the smallest sets that a mean can be over.
///
/// A sum is opened over `min_sites` contributions at least. A dispute can take up to `c` sites out
/// afterwards, none of them honest: all `c`, and then no malicious one is left, or `c - 1` and one
/// of them stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SmallestSets {
    /// Around an honest site.
    pub(super) honest: usize,
    /// With a malicious site in it.
    pub(super) malicious: usize,
}

impl SmallestSets {
    pub(super) fn of(threshold: &Threshold, min_sites: u16) -> Self {
        let left = min_sites.saturating_sub(threshold.collusion).max(1);
        Self { honest: left.into(), malicious: usize::from(left) + 1 }
    }
}

impl Reach {
    /// When all of `sites` sites are in the mean.
    pub fn of_all(weighting: &Weighting, sites: usize) -> Self {
        let total = weighting.total(0..sites);
        let largest = (0..sites).map(|place| weighting.factor(place)).fold(0.0, f64::max);
        Self { honest: largest / total, malicious: 1.0 / total }
    }

    /// In the worst set that these thresholds allow: the sites that count least, and for the honest
    /// bound the one that counts most beside them.
    pub fn at_worst(
        weighting: &Weighting,
        sites: usize,
        threshold: &Threshold,
        min_sites: u16,
    ) -> Self {
        let sets = SmallestSets::of(threshold, min_sites);
        let mut places: Vec<usize> = (0..sites).collect();
        places.sort_by(|a, b| weighting.factor(*a).total_cmp(&weighting.factor(*b)));
        let least = |number: usize| places.iter().copied().take(number);
        let most = places.last().copied().unwrap_or(0);
        let around = least(sets.honest.saturating_sub(1).min(sites.saturating_sub(1)));
        let honest = weighting.factor(most) / weighting.total(around.chain([most]));
        Self { honest, malicious: 1.0 / weighting.total(least(sets.malicious)) }
    }
}

impl Study {
    /// The most that one site moves the mean over the whole roster, and over the worst set that may
    /// be left of it.
    pub fn reach(&self) -> (Reach, Reach) {
        let Self { weighting, roster, threshold, min_sites, .. } = self;
        let sites = roster.len();
        let worst = Reach::at_worst(weighting, sites, threshold, *min_sites);
        (Reach::of_all(weighting, sites), worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(counts: &[u32], min_sites: u16, collusion: u16) -> (Reach, Reach) {
        let weighting = Weighting::SampleCounts(counts.to_vec());
        let sites = counts.len();
        let threshold = Threshold::choose(sites, None, Some(collusion), None).unwrap();
        let worst = Reach::at_worst(&weighting, sites, &threshold, min_sites);
        (Reach::of_all(&weighting, sites), worst)
    }

    fn close(reach: Reach, honest: f64, malicious: f64) {
        let apart = (reach.honest - honest).abs().max((reach.malicious - malicious).abs());
        assert!(apart < 1e-12, "{reach:?}, expected {honest} and {malicious}");
    }

    #[test]
    fn one_sites_share_by_hand() {
        let (all, worst) = reach(&[10, 40, 50, 100, 60], 4, 1);
        // 100 of 260; and 1 / (260 / 100).
        close(all, 100.0 / 260.0, 1.0 / 2.6);
        // Of four sites one may be taken out: 100 beside 10 and 40. The malicious one stays with
        // the three others of the smallest, 10 + 40 + 50 + 60.
        close(worst, 1.0 / 1.5, 1.0 / 1.6);
    }

    #[test]
    fn equal_weights_share_alike() {
        let threshold = Threshold::choose(8, None, Some(2), None).unwrap();
        let worst = Reach::at_worst(&Weighting::Equal, 8, &threshold, 6);
        close(worst, 1.0 / 4.0, 1.0 / 5.0);
        let all = Reach::of_all(&Weighting::Equal, 8);
        close(all, 1.0 / 8.0, 1.0 / 8.0);
    }
}
