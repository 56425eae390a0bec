//! The thresholds `(m, c, l, Q, t)` of a study and what they tolerate.

use serde::{Deserialize, Serialize};

use crate::wire::canonical::canonical;

/// Most key holders of a round. Windows larger than 32 gain nothing but traffic.
pub const MAX_HOLDERS: u16 = 64;

/// How a round's key is shared, certified and opened.
///
/// Two certificates of Q endorsements would share `2Q - m > c` holders, one of them honest, and an
/// honest holder endorses once: so at most one set is certified. Any `collusion` shares reveal
/// nothing; `opening` shares suffice; `opening + 2e` shares correct `e` lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// `l = m - 3c`.
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
        let free = holders.saturating_sub(collusion.saturating_mul(3)).max(1);
        Self::derive(holders, collusion, packing.unwrap_or(free), sites)
    }

    /// Holders that may stay silent without stopping a round.
    pub fn silent_tolerated(&self) -> u16 {
        self.holders - self.endorsements.max(self.opening)
    }

    /// Fewest contributions a sum may be opened for: `max(3, c + 2)`, so that two honest sites
    /// are always in it.
    pub fn min_sites_floor(&self) -> u16 {
        (self.collusion + 2).max(3)
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
            (10, 2, 2, 7, 6, 3),
            (16, 4, 4, 11, 8, 5),
            (32, 8, 8, 21, 16, 11),
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
    fn refuses_what_cannot_work() {
        assert!(matches!(Threshold::derive(2, 1, 1, 2), Err(ThresholdError::Holders { .. })));
        assert!(matches!(Threshold::derive(5, 1, 1, 4), Err(ThresholdError::Holders { .. })));
        assert_eq!(Threshold::derive(5, 0, 1, 5), Err(ThresholdError::NoCollusion));
        assert!(matches!(Threshold::derive(5, 5, 1, 5), Err(ThresholdError::TooFewHolders { .. })));
        let mut weakened = Threshold::derive(5, 1, 1, 5).unwrap();
        weakened.endorsements -= 1;
        assert!(matches!(weakened.check(5), Err(ThresholdError::NotDerived { .. })));
    }
}
