//! How contributions are weighted: public, and pinned by the study.
//!
//! A site multiplies its update by its factor before quantizing, so that the sum is weighted
//! already; everyone divides by the factors of the sites in it. No weight passes through the
//! cipher.

use serde::{Deserialize, Serialize};

use crate::wire::canonical::Canonical;

/// How contributions are weighted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// Every site counts the same.
    Equal,
    /// Every site counts by its number of training samples, in roster order.
    SampleCounts(Vec<u32>),
}

impl Canonical for Weighting {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Equal => 0u8.encode(out),
            Self::SampleCounts(counts) => {
                1u8.encode(out);
                counts.encode(out);
            }
        }
    }
}

/// A weighting that no study can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeightingError {
    /// Not one count a site.
    #[error("expected one sample count for each of the {sites} sites, in roster order, got {got}")]
    Number {
        /// Roster size.
        sites: usize,
        /// Counts in the study.
        got: usize,
    },
    /// A site without samples.
    #[error(
        "the site at place {place} of the roster (from 0) has a sample count of 0; a site without training samples has no update to contribute"
    )]
    Zero {
        /// Place in the roster.
        place: usize,
    },
    /// One site counts so little that quantizing would leave nothing of its update.
    #[error(
        "the largest sample count, {largest}, is over {limit} times the smallest, {smallest}: quantized, the smallest site's update would vanish; weight the sites equally, or leave it out"
    )]
    Spread {
        /// Largest count.
        largest: u32,
        /// Smallest count.
        smallest: u32,
        /// Largest quantized value, `2^b - 1`.
        limit: u64,
    },
}

impl Weighting {
    /// Refuses counts that are not one a site, or that leave a site no say at all.
    pub(super) fn check(&self, sites: usize, limit: u64) -> Result<(), WeightingError> {
        let Self::SampleCounts(counts) = self else { return Ok(()) };
        if counts.len() != sites {
            return Err(WeightingError::Number { sites, got: counts.len() });
        }
        if let Some(place) = counts.iter().position(|count| *count == 0) {
            return Err(WeightingError::Zero { place });
        }
        let largest = counts.iter().copied().max().unwrap_or(1);
        let smallest = counts.iter().copied().min().unwrap_or(1);
        if u64::from(largest) > limit.saturating_mul(u64::from(smallest)) {
            return Err(WeightingError::Spread { largest, smallest, limit });
        }
        Ok(())
    }

    /// What the site at this place of the roster multiplies its update by before clipping and
    /// quantizing: its count over the largest one, in `(0, 1]`.
    pub fn factor(&self, place: usize) -> f64 {
        match self {
            Self::Equal => 1.0,
            Self::SampleCounts(counts) => {
                let largest = counts.iter().copied().max().unwrap_or(1).max(1);
                f64::from(counts.get(place).copied().unwrap_or(0)) / f64::from(largest)
            }
        }
    }

    /// What the unweighted mean of the contributions at these places is multiplied by to be the
    /// weighted one: their number over the sum of their factors. The sum is taken in the order of
    /// `places`, so that every site gets the same bits.
    pub fn correction(&self, places: impl Iterator<Item = usize>) -> f64 {
        let (count, sum) =
            places.fold((0u32, 0.0), |(count, sum), place| (count + 1, sum + self.factor(place)));
        if sum > 0.0 { f64::from(count) / sum } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_and_their_correction_by_hand() {
        let weighting = Weighting::SampleCounts(vec![30, 60, 15]);
        weighting.check(3, 65_535).unwrap();
        assert_eq!([0, 1, 2].map(|place| weighting.factor(place)), [0.5, 1.0, 0.25]);
        // Updates 1, 2 and 4: (30 * 1 + 60 * 2 + 15 * 4) / 105 = 2, from the plain mean of the
        // weighted ones, (0.5 + 2 + 1) / 3.
        let mean = (0.5 + 2.0 + 1.0) / 3.0 * weighting.correction(0..3);
        assert!((mean - 2.0).abs() < 1e-15);
        // The second site is missing: (30 * 1 + 15 * 4) / 45 = 2.
        let mean = (0.5 + 1.0) / 2.0 * weighting.correction([0, 2].into_iter());
        assert!((mean - 2.0).abs() < 1e-15);
        assert_eq!(Weighting::Equal.correction(0..7), 1.0);
    }

    #[test]
    fn counts_that_are_not_the_rosters_are_refused() {
        let check = |counts: &[u32]| Weighting::SampleCounts(counts.to_vec()).check(3, 255);
        assert_eq!(check(&[1, 2]), Err(WeightingError::Number { sites: 3, got: 2 }));
        assert_eq!(check(&[1, 0, 2]), Err(WeightingError::Zero { place: 1 }));
        assert!(check(&[1, 255, 2]).is_ok());
        let refused = check(&[1, 256, 2]);
        assert_eq!(refused, Err(WeightingError::Spread { largest: 256, smallest: 1, limit: 255 }));
    }
}
