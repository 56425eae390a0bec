//! What the values of a sum may be.
//!
//! An honest site clips to `[-C, C]` and multiplies by its factor `f = n / max n` before it
//! quantizes, so that its values are the middle of the quantizer's range and `f` times the half of
//! it on either side. What it contributes is the quantized value, or that with noise of up to `B` and
//! `B` more, between 0 and `2B` above it. A sum is held against the sum of these ranges: the mean over any set lies
//! within `[-C, C]`, to within two steps and the noise bound of each site, whatever malicious sites
//! put into their bodies.

use super::study::Study;
use super::weighting::Weighting;
use crate::id::SiteId;
use crate::ring::packing::Packing;

/// The sites that a sum is over, and between what its values lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summands {
    /// How many there are.
    pub sites: usize,
    /// Least sum of the values that they contribute.
    pub least: u64,
    /// Largest sum of the values that they contribute.
    pub most: u64,
}

impl Summands {
    /// So many sites that all count alike.
    pub fn alike(sites: usize, packing: &Packing) -> Self {
        Self { sites, least: 0, most: packing.slot_limit(sites) }
    }
}

impl Study {
    /// The sites at these places of the roster.
    pub fn summands(&self, places: impl IntoIterator<Item = usize>) -> Summands {
        let Packing { noise_bound, .. } = self.packing;
        let (limit, noise) = (self.packing.value_limit(), 2 * u64::from(noise_bound));
        let none = Summands { sites: 0, least: 0, most: 0 };
        places.into_iter().fold(none, |sum, place| {
            let (least, most) = self.weighting.range(place, limit);
            let most = sum.most + most + noise;
            Summands { sites: sum.sites + 1, least: sum.least + least, most }
        })
    }

    /// As [`Study::summands`], of the sites with these names. One that is not in the roster adds
    /// nothing: a closing with such a site is refused before.
    pub fn summands_of<'a>(&self, sites: impl IntoIterator<Item = &'a SiteId>) -> Summands {
        self.summands(sites.into_iter().filter_map(|site| self.position(site)))
    }
}

impl Weighting {
    /// Least and largest quantized value of the site at this place, of `0..=limit`.
    ///
    /// With count `n` of at most `M`: `(M -+ n) limit / 2M`, rounded outwards, and a step further.
    /// That much a product that is rounded to float32 may be off at 24 bits a value; it never is by
    /// more than half a step.
    fn range(&self, place: usize, limit: u64) -> (u64, u64) {
        let Some((count, largest)) = self.count(place) else { return (0, limit) };
        // Below 2^58: counts have 32 bits, values 24.
        let least = (largest - count) * limit / (2 * largest);
        let most = ((largest + count) * limit).div_ceil(2 * largest);
        (least.saturating_sub(1), limit.min(most + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_by_hand() {
        let counts = Weighting::SampleCounts(vec![30, 60, 15, 45]);
        // Half of 0..=255 around its middle: 63.75 to 191.25.
        assert_eq!(counts.range(0, 255), (62, 193));
        assert_eq!(counts.range(1, 255), (0, 255));
        // 95.625 to 159.375, and 31.875 to 223.125.
        assert_eq!(counts.range(2, 255), (94, 161));
        assert_eq!(counts.range(3, 255), (30, 225));
        assert_eq!(Weighting::Equal.range(3, 255), (0, 255));
        let extreme = Weighting::SampleCounts(vec![u32::MAX, 1]);
        assert_eq!(extreme.range(0, (1 << 24) - 1), (0, (1 << 24) - 1));
        assert_eq!(extreme.range(1, (1 << 24) - 1), ((1 << 23) - 2, (1 << 23) + 1));
    }
}
