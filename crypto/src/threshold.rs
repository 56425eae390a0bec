//! The thresholds `(m, c, l, Q, t)` of a study and what they tolerate.

use serde::{Deserialize, Serialize};

use crate::statement::group_lengths;
use crate::wire::canonical::canonical;

/// Most key holders of a round. Windows larger than 32 gain nothing but traffic.
pub const MAX_HOLDERS: u16 = 64;

/// Most equations `c l^2` that a study's disputes may give of one key: the key keeps a dimension of
/// `4096 - 512 - 4c` at least (`docs/safety.md`, lattice cost).
pub const MAX_FUNCTIONALS: u16 = 512;

/// How a round's key is shared, certified and opened.
///
/// Two certificates of Q endorsements would share `2Q - m > c` holders, one of them honest, and an
/// honest holder endorses once: so at most one set is certified. Any `collusion` shares reveal
/// nothing; `opening` shares suffice; `opening + 2e` shares correct `e` lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// `m`: key holders of a round, consecutive on the ring.
    pub holders: u16,
    /// `c`: sites of the whole roster that may collude with each other and the aggregator.
    pub collusion: u16,
    /// `l`: key words that one sharing polynomial carries.
    pub packing: u16,
    /// `t = max(c + l, m - 2c)`: openings that reconstruct the key sum.
    pub opening: u16,
    /// `Q = floor((m + c)/2) + 1`: endorsements that make a certificate.
    pub endorsements: u16,
}
canonical!(Threshold { holders, collusion, packing, opening, endorsements });

/// Thresholds that cannot protect or cannot finish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// Too few or too many holders.
    #[error("expected 3 to {max} key holders and no more than the {sites} sites, got m = {holders}", max = MAX_HOLDERS)]
    Holders {
        /// `m` as given.
        holders: u16,
        /// Roster size.
        sites: usize,
    },
    /// No collusion bound.
    #[error(
        "expected a collusion bound c of at least 1, got 0: without it a single curious site could open a key; give --collusion 1 or more"
    )]
    NoCollusion,
    /// No word a polynomial.
    #[error("expected at least one key word a sharing polynomial, got l = 0")]
    NoPacking,
    /// More endorsements or openings needed than there are holders.
    #[error(
        "c = {collusion} and l = {packing} need {needed} holders at least, the study has m = {holders}; lower c or l, or add sites"
    )]
    TooFewHolders {
        /// `c`.
        collusion: u16,
        /// `l`.
        packing: u16,
        /// `max(Q, t)`.
        needed: u16,
        /// `m`.
        holders: u16,
    },
    /// So few holders that no lie could be told from the truth.
    #[error(
        "c = {collusion} and l = {packing} need m >= 2c + l = {needed} key holders, the study has m = {holders}: with fewer, no review could show a wrong share; lower c or l, or add sites"
    )]
    NoReview {
        /// `c`.
        collusion: u16,
        /// `l`.
        packing: u16,
        /// `2c + l`.
        needed: u16,
        /// `m`.
        holders: u16,
    },
    /// The stated `Q` and `t` are not the ones that follow from `m`, `c`, `l`.
    #[error(
        "m = {holders}, c = {collusion}, l = {packing} give Q = {expected_endorsements} and t = {expected_opening}, the study states Q = {endorsements} and t = {opening}"
    )]
    NotDerived {
        /// `m`.
        holders: u16,
        /// `c`.
        collusion: u16,
        /// `l`.
        packing: u16,
        /// `Q` as it follows.
        expected_endorsements: u16,
        /// `t` as it follows.
        expected_opening: u16,
        /// `Q` as stated.
        endorsements: u16,
        /// `t` as stated.
        opening: u16,
    },
}

impl Threshold {
    /// The thresholds for `m` holders, `c` colluding sites and `l` words a polynomial.
    ///
    /// # Errors
    /// [`ThresholdError`] when no certificate or no opening could be reached or trusted.
    pub fn derive(
        holders: u16,
        collusion: u16,
        packing: u16,
        sites: usize,
    ) -> Result<Self, ThresholdError> {
        if !(3..=MAX_HOLDERS).contains(&holders) || usize::from(holders) > sites {
            return Err(ThresholdError::Holders { holders, sites });
        }
        if collusion == 0 {
            return Err(ThresholdError::NoCollusion);
        }
        if packing == 0 {
            return Err(ThresholdError::NoPacking);
        }
        let endorsements = holders.saturating_add(collusion) / 2 + 1;
        let opening = collusion
            .saturating_add(packing)
            .max(holders.saturating_sub(collusion.saturating_mul(2)));
        let needed = endorsements.max(opening);
        if needed > holders {
            return Err(ThresholdError::TooFewHolders { collusion, packing, needed, holders });
        }
        let needed = collusion.saturating_mul(2).saturating_add(packing);
        if needed > holders {
            return Err(ThresholdError::NoReview { collusion, packing, needed, holders });
        }
        Ok(Self { holders, collusion, packing, opening, endorsements })
    }

    /// Refuses a threshold whose numbers do not follow from each other.
    ///
    /// # Errors
    /// [`ThresholdError`], as for [`Threshold::derive`].
    pub fn check(&self, sites: usize) -> Result<(), ThresholdError> {
        let expected = Self::derive(self.holders, self.collusion, self.packing, sites)?;
        if expected != *self {
            return Err(ThresholdError::NotDerived {
                holders: self.holders,
                collusion: self.collusion,
                packing: self.packing,
                expected_endorsements: expected.endorsements,
                expected_opening: expected.opening,
                endorsements: self.endorsements,
                opening: self.opening,
            });
        }
        Ok(())
    }

    /// Window and collusion bound used when the study's author names none: all sites up to 16,
    /// and about a quarter of the window (a bound below a third keeps the round live).
    ///
    /// # Errors
    /// [`ThresholdError`] for fewer than three sites.
    pub fn recommended(sites: usize) -> Result<Self, ThresholdError> {
        Self::choose(sites, None, None, None)
    }

    /// As [`Threshold::recommended`], with what the author does name: `m`, `c`, `l`.
    ///
    /// By default a polynomial carries as many key words as cost no further opening: `t = m - 2c`
    /// is needed anyway to correct `c` lies, and of its `t` points `c` must be random, so
    /// `l = m - 3c`; at most as many as keep `c l^2` within [`MAX_FUNCTIONALS`].
    ///
    /// # Errors
    /// [`ThresholdError`], as for [`Threshold::derive`].
    pub fn choose(
        sites: usize,
        holders: Option<u16>,
        collusion: Option<u16>,
        packing: Option<u16>,
    ) -> Result<Self, ThresholdError> {
        let holders = holders.unwrap_or(sites.min(16) as u16);
        let collusion = collusion.unwrap_or((holders / 4).max(1));
        let free = holders.saturating_sub(collusion.saturating_mul(3));
        let most = (MAX_FUNCTIONALS / collusion.max(1)).isqrt();
        Self::derive(holders, collusion, packing.unwrap_or(free.min(most).max(1)), sites)
    }

    /// Holders that may stay silent without stopping a round: `Q` must endorse, and `t + c` review,
    /// so that what they say of a dealing is determined.
    pub fn silent_tolerated(&self) -> u16 {
        let reviews = self.opening.saturating_add(self.collusion);
        self.holders.saturating_sub(self.endorsements.max(reviews))
    }

    /// Whether a spoiled round can name its culprit: `m >= 3c + l`, and then `t = m - 2c`. Otherwise
    /// a round runs, but if a contributor spoils it, it fails and nobody is named.
    pub fn names(&self) -> bool {
        let needed = self.collusion.saturating_mul(3).saturating_add(self.packing);
        needed <= self.holders
    }

    /// `c l^2`: equations without error that the disputes of a study may give of one key.
    pub fn functionals(&self) -> u32 {
        let packing = u32::from(self.packing);
        u32::from(self.collusion).saturating_mul(packing.saturating_mul(packing))
    }

    /// Most contributions that a study may ask for: `n - 2c + 1` where spoiled rounds name their
    /// culprits, so that c corrupt sites and up to `c - 1` honest ones that they accuse may be left
    /// out; else all.
    pub fn min_sites_ceiling(&self, sites: usize) -> usize {
        let corrupt = usize::from(self.collusion);
        if self.names() { (sites + 1).saturating_sub(2 * corrupt) } else { sites }
    }

    /// Fewest contributions a sum may be opened for: `max(3, c + 2)`, so that two honest sites
    /// are always in it.
    pub fn min_sites_floor(&self) -> u16 {
        (self.collusion + 2).max(3)
    }

    /// The contributions that a study of so many sites asks for where its author names no number: two
    /// thirds of the sites, within floor and ceiling.
    pub fn usual_min_sites(&self, sites: usize) -> u16 {
        let most = (2 * sites).div_ceil(3).min(self.min_sites_ceiling(sites));
        self.min_sites_floor().max(u16::try_from(most).unwrap_or(u16::MAX))
    }

    /// The same where sets are held apart: no more than are left without the largest group, for one
    /// site that is missing takes its group with it.
    pub fn usual_min_sites_apart(&self, sites: usize) -> u16 {
        let floor = self.min_sites_floor();
        let largest = group_lengths(sites, floor.into()).into_iter().max().unwrap_or(0);
        let left = u16::try_from(sites - largest).unwrap_or(u16::MAX);
        self.usual_min_sites(sites).min(left).max(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_s_examples() {
        for (m, c, l, q, t, silent) in [
            (3, 1, 1, 3, 2, 0),
            (5, 1, 1, 4, 3, 1),
            (10, 2, 2, 7, 6, 2),
            (16, 4, 4, 11, 8, 4),
            (32, 8, 8, 21, 16, 8),
        ] {
            let threshold = Threshold::derive(m, c, l, usize::from(m)).unwrap();
            assert_eq!((threshold.endorsements, threshold.opening), (q, t), "m = {m}");
            assert_eq!(threshold.silent_tolerated(), silent, "m = {m}");
        }
    }

    #[test]
    fn packing_costs_no_opening() {
        for sites in 3..40 {
            let threshold = Threshold::recommended(sites).unwrap();
            let Threshold { holders: m, collusion: c, packing: l, .. } = threshold;
            assert_eq!(threshold.opening, Threshold::derive(m, c, 1, sites).unwrap().opening);
            assert!(threshold.opening - l >= c, "{threshold:?}");
            assert!(threshold.functionals() <= MAX_FUNCTIONALS.into(), "{threshold:?}");
            assert_eq!(threshold.names(), sites > 3, "{threshold:?}");
        }
        assert_eq!(Threshold::recommended(100).unwrap(), Threshold::derive(16, 4, 4, 100).unwrap());
    }

    #[test]
    fn two_certificates_always_share_an_honest_holder() {
        for m in 3..=MAX_HOLDERS {
            for c in 1..m {
                let Ok(threshold) = Threshold::derive(m, c, 1, 64) else { continue };
                assert!(2 * threshold.endorsements - m > c, "m = {m}, c = {c}");
                assert!(threshold.opening > c, "c colluding sites could open: m = {m}, c = {c}");
            }
        }
    }

    #[test]
    fn a_large_window_with_few_corrupt_sites_packs_no_more_than_disputes_allow() {
        let threshold = Threshold::choose(64, Some(64), Some(1), None).unwrap();
        assert_eq!((threshold.packing, threshold.functionals()), (22, 484));
    }

    #[test]
    fn refuses_what_cannot_work() {
        assert!(matches!(Threshold::derive(5, 2, 2, 5), Err(ThresholdError::NoReview { .. })));
        assert!(matches!(Threshold::derive(2, 1, 1, 2), Err(ThresholdError::Holders { .. })));
        assert!(matches!(Threshold::derive(5, 1, 1, 4), Err(ThresholdError::Holders { .. })));
        assert_eq!(Threshold::derive(5, 0, 1, 5), Err(ThresholdError::NoCollusion));
        assert!(matches!(Threshold::derive(5, 5, 1, 5), Err(ThresholdError::TooFewHolders { .. })));
        let mut weakened = Threshold::derive(5, 1, 1, 5).unwrap();
        weakened.endorsements -= 1;
        assert!(matches!(weakened.check(5), Err(ThresholdError::NotDerived { .. })));
    }
}
