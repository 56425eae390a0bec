//! How contributions are weighted: public, and pinned by the study.
//!
//! A site clips its update, multiplies it by its factor and quantizes it, so that the sum is
//! weighted already; everyone divides by the factors of the sites in it. No weight passes through
//! the cipher.

use serde::{Deserialize, Serialize};

use crate::wire::canonical::Canonical;

/// How contributions are weighted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// One site counts so little that quantizing would leave too little of its update.
    #[error(
        "the largest sample count, {largest}, is over {allowed} times the smallest, {smallest}: at {value_bits} bits a value the smallest site's would lose {:.1} bits, expected at most {}; cap the counts, raise --bits, weight the sites equally, or leave that site out",
        (f64::from(*largest) / f64::from(*smallest)).log2(), allowed.ilog2()
    )]
    Spread {
        /// Largest count.
        largest: u32,
        /// Smallest count.
        smallest: u32,
        /// Bits of a quantized value.
        value_bits: u8,
        /// Largest that the ratio may be.
        allowed: u64,
    },
}

/// Most bits that weighting may take from a site's values. A site with factor `f` uses the share
/// `f` of the quantizer's range and so keeps `b + log2 f` of its `b` bits. Eight of the usual 16
/// leave what a study of 8 bits has, with which the models of `docs/results.md` still train.
pub const MAX_LOST_BITS: u8 = 8;

/// Fewest bits that weighting may leave a site's values: 15 steps from `-C` to `C`. With fewer,
/// rounding says little more of a value than its sign.
pub const MIN_LEFT_BITS: u8 = 4;

impl Weighting {
    /// Refuses counts that are not one a site, or that leave a site's values too few bits.
    pub(super) fn check(&self, sites: usize, value_bits: u8) -> Result<(), WeightingError> {
        let Self::SampleCounts(counts) = self else { return Ok(()) };
        if counts.len() != sites {
            return Err(WeightingError::Number { sites, got: counts.len() });
        }
        if let Some(place) = counts.iter().position(|count| *count == 0) {
            return Err(WeightingError::Zero { place });
        }
        let smallest = counts.iter().copied().min().unwrap_or(1);
        let largest = counts.iter().copied().max().unwrap_or(1);
        let allowed = 1u64 << MAX_LOST_BITS.min(value_bits.saturating_sub(MIN_LEFT_BITS));
        if u64::from(largest) > allowed * u64::from(smallest) {
            return Err(WeightingError::Spread { largest, smallest, value_bits, allowed });
        }
        Ok(())
    }

    /// What the site at this place of the roster multiplies its clipped update by before
    /// quantizing: its count over the largest one, in `(0, 1]`; 0 for a place that is none.
    pub fn factor(&self, place: usize) -> f64 {
        match self {
            Self::Equal => 1.0,
            Self::SampleCounts(counts) => {
                f64::from(counts.get(place).copied().unwrap_or(0)) / largest(counts) as f64
            }
        }
    }

    /// The count of the site at this place, 0 for a place that is none, and the largest; nothing
    /// where all count alike.
    pub(super) fn count(&self, place: usize) -> Option<(u64, u64)> {
        let Self::SampleCounts(counts) = self else { return None };
        Some((counts.get(place).copied().unwrap_or(0).into(), largest(counts)))
    }

    /// The sum of the factors of the sites at these places: what their sum is divided by. Counts
    /// are added as integers, so that the order of `places` does not matter.
    pub fn total(&self, places: impl Iterator<Item = usize>) -> f64 {
        let (number, sum) = self.added(places);
        match self {
            Self::Equal => number as f64,
            Self::SampleCounts(counts) => sum as f64 / largest(counts) as f64,
        }
    }

    /// What the unweighted mean of the contributions at these places is multiplied by to be the
    /// weighted one: `(k * m) / s`, where `k` is their number, `m` the largest count of the whole
    /// roster and `s` the sum of their counts. Product and sum are exact integers, the division is
    /// one in double precision: every site gets the same bits, whatever the order of `places`.
    pub fn correction(&self, places: impl Iterator<Item = usize>) -> f64 {
        match (self, self.added(places)) {
            (Self::SampleCounts(counts), (number, sum)) if sum > 0 => {
                (number * largest(counts)) as f64 / sum as f64
            }
            _ => 1.0,
        }
    }

    /// The weighted mean, from the plain mean of the contributions at these places: each value times
    /// [`Weighting::correction`] in double precision, rounded to float32.
    pub fn weighted(&self, mut mean: Vec<f32>, places: impl Iterator<Item = usize>) -> Vec<f32> {
        if let Self::SampleCounts(_) = self {
            let correction = self.correction(places);
            for value in &mut mean {
                *value = (f64::from(*value) * correction) as f32;
            }
        }
        mean
    }

    /// How many places, and the sum of their counts. Both stay far below 2^53: at most 10,000 sites
    /// with counts below 2^32.
    fn added(&self, places: impl Iterator<Item = usize>) -> (u64, u64) {
        places.fold((0, 0), |(number, sum), place| {
            let count = match self {
                Self::Equal => 1,
                Self::SampleCounts(counts) => counts.get(place).copied().unwrap_or(0),
            };
            (number + 1, sum + u64::from(count))
        })
    }
}

/// The largest count, at least 1.
fn largest(counts: &[u32]) -> u64 {
    u64::from(counts.iter().copied().max().unwrap_or(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_and_their_correction_by_hand() {
        let weighting = Weighting::SampleCounts(vec![30, 60, 15]);
        weighting.check(3, 16).unwrap();
        assert_eq!([0, 1, 2].map(|place| weighting.factor(place)), [0.5, 1.0, 0.25]);
        // Updates 1, 2 and 4: (30 * 1 + 60 * 2 + 15 * 4) / 105 = 2, from the plain mean of the
        // weighted ones, (0.5 + 2 + 1) / 3.
        let mean = (0.5 + 2.0 + 1.0) / 3.0 * weighting.correction(0..3);
        assert!((mean - 2.0).abs() < 1e-15);
        assert_eq!(weighting.total(0..3), 1.75);
        // The second site is missing: (30 * 1 + 15 * 4) / 45 = 2.
        let mean = (0.5 + 1.0) / 2.0 * weighting.correction([0, 2].into_iter());
        assert!((mean - 2.0).abs() < 1e-15);
        assert_eq!(Weighting::Equal.correction(0..7), 1.0);
        assert_eq!(Weighting::Equal.total(0..7), 7.0);
    }

    #[test]
    fn the_order_of_the_sites_changes_no_bit() {
        let weighting = Weighting::SampleCounts((1..40).map(|k| k * k * 37 % 1009 + 7).collect());
        let (forth, back) = (weighting.correction(0..39), weighting.correction((0..39).rev()));
        assert_eq!(forth.to_bits(), back.to_bits());
        // Adding the rounded factors up, as version 1 did, depends on the order.
        let sum = |places: &mut dyn Iterator<Item = usize>| {
            places.map(|place| weighting.factor(place)).sum::<f64>()
        };
        assert_ne!(sum(&mut (0..39)).to_bits(), sum(&mut (0..39).rev()).to_bits());
    }

    #[test]
    fn counts_that_are_not_the_rosters_are_refused() {
        let check = |counts: &[u32]| Weighting::SampleCounts(counts.to_vec()).check(3, 16);
        assert_eq!(check(&[1, 2]), Err(WeightingError::Number { sites: 3, got: 2 }));
        assert_eq!(check(&[1, 0, 2]), Err(WeightingError::Zero { place: 1 }));
    }

    #[test]
    fn counts_that_take_too_many_bits_are_refused() {
        let check = |counts: &[u32], value_bits| {
            Weighting::SampleCounts(counts.to_vec()).check(3, value_bits)
        };
        assert!(check(&[1, 256, 2], 16).is_ok());
        let error = check(&[1, 257, 2], 16).unwrap_err();
        assert!(matches!(error, WeightingError::Spread { allowed: 256, .. }), "{error}");
        assert!(error.to_string().contains("would lose 8.0 bits, expected at most 8"), "{error}");
        // At 8 bits a value four must be left, at 4 bits none can be lost.
        assert!(check(&[1, 16, 2], 8).is_ok() && check(&[1, 17, 2], 8).is_err());
        assert!(check(&[5, 5, 5], 4).is_ok() && check(&[5, 6, 5], 4).is_err());
        assert!(check(&[5, 5, 5], 2).is_ok() && check(&[5, 6, 5], 2).is_err());
    }
}
