//! How far a single honest site can move the mean.
//!
//! The mean of a tensor with clip bound `C` over a set of sites is their sum divided by the sum of
//! their factors. An honest site's part of the sum lies in `[-f C, f C]`, `f` its factor: it moves
//! the mean by its share `f / sum f` of `C` at most. A malicious one that guesses the sum of the
//! others can put the mean anywhere within what a sum is held against (`summands.rs`), `[-C, C]`.

use serde::{Deserialize, Serialize};

use super::study::Study;
use super::weighting::Weighting;
use crate::threshold::Threshold;

/// The most that one honest site moves the mean, the one that counts most, as a share of the clip
/// bound `C`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// When all sites are in the mean.
    pub of_all: f64,
    /// In the smallest set that a mean can be over, beside the sites that count least.
    pub at_worst: f64,
}

impl Reach {
    /// Of the sites of a roster with these thresholds.
    ///
    /// A sum is opened over `min_sites` contributions at least. A dispute can take up to `c` sites
    /// out afterwards.
    pub fn of(weighting: &Weighting, sites: usize, threshold: &Threshold, min_sites: u16) -> Self {
        let mut places: Vec<usize> = (0..sites).collect();
        places.sort_by(|a, b| weighting.factor(*a).total_cmp(&weighting.factor(*b)));
        let most = places.pop().unwrap_or(0);
        let left = usize::from(min_sites.saturating_sub(threshold.collusion)).max(1);
        let least = places.into_iter().take(left - 1);
        let share = |total: f64| weighting.factor(most) / total;
        Self {
            of_all: share(weighting.total(0..sites)),
            at_worst: share(weighting.total(least.chain([most]))),
        }
    }
}

impl Study {
    /// The most that one honest site moves the mean.
    pub fn reach(&self) -> Reach {
        let Self { weighting, roster, threshold, min_sites, .. } = self;
        Reach::of(weighting, roster.len(), threshold, *min_sites)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(
        weighting: Weighting,
        sites: usize,
        collusion: u16,
        min_sites: u16,
        expected: [f64; 2],
    ) {
        let threshold = Threshold::choose(sites, None, Some(collusion), None).unwrap();
        let reach = Reach::of(&weighting, sites, &threshold, min_sites);
        let [of_all, at_worst] = expected;
        let apart = (reach.of_all - of_all).abs().max((reach.at_worst - at_worst).abs());
        assert!(apart < 1e-12, "{reach:?}, expected {expected:?}");
    }

    #[test]
    fn one_sites_share_by_hand() {
        // 100 of 260. Of four sites one may be taken out: 100 beside 10 and 40.
        let counts = Weighting::SampleCounts(vec![10, 40, 50, 100, 60]);
        close(counts, 5, 1, 4, [100.0 / 260.0, 100.0 / 150.0]);
    }

    #[test]
    fn equal_weights_share_alike() {
        close(Weighting::Equal, 8, 2, 6, [1.0 / 8.0, 1.0 / 4.0]);
    }
}
