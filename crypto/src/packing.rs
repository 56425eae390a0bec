//! How quantized values lie in the coefficients of a plaintext polynomial.
//!
//! A value takes `b` bits, a slot has room for the sum over the whole roster, and a coefficient
//! carries `S` slots above `Delta = 2^delta`, below which the noise lives. Value 0 is reserved and
//! counts the sites: each contributes 1.

use serde::{Deserialize, Serialize};

use crate::params::{MAX_BLOCKS, MIN_BLOCKS, MODULUS, RING_DEGREE, noise_bound};
use crate::wire::canonical::canonical;

/// Smallest and largest number of bits a quantized value may take.
pub const VALUE_BITS: std::ops::RangeInclusive<u8> = 2..=24;

/// Slots and scale of a study: derived from value bits and roster size, pinned in the study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packing {
    /// `b`: bits of a quantized value.
    pub value_bits: u8,
    /// Bits of a slot: a value's and enough to add it over the whole roster.
    pub slot_bits: u8,
    /// `S`: slots of a coefficient.
    pub slots: u8,
    /// `delta`: a coefficient's plaintext is scaled by `Delta = 2^delta`.
    pub delta_bits: u8,
}
canonical!(Packing { value_bits, slot_bits, slots, delta_bits });

/// Numbers that cannot be summed without overflow or told from noise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackingError {
    /// A value width outside the range.
    #[error("expected {min} to {max} bits a value, got {0}", min = VALUE_BITS.start(), max = VALUE_BITS.end())]
    ValueBits(u8),
    /// Not even one slot fits.
    #[error(
        "a sum of {bits}-bit values over {sites} sites needs {needed} bits with its noise, and a coefficient holds fewer than 64; use fewer bits"
    )]
    Overflow {
        /// Bits of a value.
        bits: u8,
        /// Roster size.
        sites: usize,
        /// Bits of a slot and the noise together.
        needed: u32,
    },
    /// The study's packing is not the one that follows from its numbers.
    #[error("{sites} sites at {bits} bits give {expected:?}, the study states {got:?}")]
    NotDerived {
        /// Roster size.
        sites: usize,
        /// Bits of a value.
        bits: u8,
        /// As it follows.
        expected: Packing,
        /// As stated.
        got: Packing,
    },
    /// More values than one key may encrypt.
    #[error(
        "{values} values need {blocks} blocks, a key encrypts at most {MAX_BLOCKS}; use fewer bits or a smaller model"
    )]
    TooLarge {
        /// Values of the model.
        values: usize,
        /// Blocks they would take.
        blocks: usize,
    },
}

impl Packing {
    /// As many slots as fit, and then the largest scale, for `value_bits`-bit values of up to
    /// `sites` contributions.
    ///
    /// # Errors
    /// [`PackingError`] when not even one slot fits between the noise and q.
    pub fn derive(value_bits: u8, sites: usize) -> Result<Self, PackingError> {
        if !VALUE_BITS.contains(&value_bits) {
            return Err(PackingError::ValueBits(value_bits));
        }
        // ceil(log2(sites)): the sum of `sites` values of b bits is below 2^(b + this).
        let headroom = usize::BITS - sites.saturating_sub(1).leading_zeros();
        let slot_bits = value_bits.saturating_add(headroom as u8);
        let noise_bits = (2 * noise_bound(sites)).ilog2() + 1;
        let slots_at_most = 63 / slot_bits;
        for slots in (1..=slots_at_most).rev() {
            for delta_bits in (noise_bits as u8..63).rev() {
                let packing = Self { value_bits, slot_bits, slots, delta_bits };
                if packing.fits(sites) {
                    return Ok(packing);
                }
            }
        }
        let needed = u32::from(slot_bits) + noise_bits;
        Err(PackingError::Overflow { bits: value_bits, sites, needed })
    }

    /// `Delta * (M_max + 1) < q`, exactly.
    fn fits(&self, sites: usize) -> bool {
        let largest = u128::from(self.slot_limit(sites));
        let message = (0..self.slots)
            .map(|slot| largest << (u32::from(slot) * u32::from(self.slot_bits)))
            .sum::<u128>();
        (message + 1) << self.delta_bits < u128::from(MODULUS)
    }

    /// Refuses a packing that does not follow from its own bits and the roster's size.
    ///
    /// # Errors
    /// [`PackingError`], as for [`Packing::derive`].
    pub fn check(&self, sites: usize) -> Result<(), PackingError> {
        let expected = Self::derive(self.value_bits, sites)?;
        if expected != *self {
            let bits = self.value_bits;
            return Err(PackingError::NotDerived { sites, bits, expected, got: *self });
        }
        Ok(())
    }

    /// Largest sum that a slot may show for `sites` contributions.
    pub fn slot_limit(&self, sites: usize) -> u64 {
        sites as u64 * self.value_limit()
    }

    /// `2^b - 1`: the largest quantized value.
    pub fn value_limit(&self) -> u64 {
        (1 << self.value_bits) - 1
    }

    /// Blocks that a model of `values` values takes, the count of sites included.
    ///
    /// # Errors
    /// [`PackingError::TooLarge`] beyond what one key may encrypt.
    pub fn blocks(&self, values: usize) -> Result<usize, PackingError> {
        let coefficients = values.saturating_add(1).div_ceil(usize::from(self.slots));
        let blocks = coefficients.div_ceil(RING_DEGREE).max(MIN_BLOCKS);
        if blocks > MAX_BLOCKS {
            return Err(PackingError::TooLarge { values, blocks });
        }
        Ok(blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_the_sizes_in_the_security_notes() {
        // docs/security.md: slots at 8 and 16 bits for 3, 5, 10, 100 and 500 sites. At 64-bit wire
        // words the sub-Gaussian bound here allows at least as many as the exact one with w bits.
        for (bits, sites, slots) in
            [(8, 3, 5), (8, 10, 4), (8, 500, 3), (16, 3, 3), (16, 10, 2), (16, 500, 2)]
        {
            let packing = Packing::derive(bits, sites).unwrap();
            assert!(packing.slots >= slots, "{bits} bits, {sites} sites: {packing:?}");
            assert!(packing.fits(sites));
            assert!(noise_bound(sites) < 1 << (packing.delta_bits - 1));
        }
    }

    #[test]
    fn a_larger_scale_or_one_more_slot_would_overflow() {
        for sites in [3, 5, 10, 64, 1000, 10_000] {
            for bits in VALUE_BITS {
                let packing = Packing::derive(bits, sites).unwrap();
                let scaled = Packing { delta_bits: packing.delta_bits + 1, ..packing };
                assert!(!scaled.fits(sites), "{packing:?}");
                let noise_bits = ((2 * noise_bound(sites)).ilog2() + 1) as u8;
                let wider = Packing { slots: packing.slots + 1, delta_bits: noise_bits, ..packing };
                assert!(!wider.fits(sites), "{packing:?}");
                assert!(sites <= 1 << (packing.slot_bits - packing.value_bits));
            }
        }
    }

    #[test]
    fn refuses_what_overflows() {
        assert_eq!(Packing::derive(25, 3), Err(PackingError::ValueBits(25)));
        assert!(matches!(Packing::derive(24, 1 << 50), Err(PackingError::Overflow { .. })));
        let packing = Packing::derive(16, 5).unwrap();
        let bold = Packing { slots: packing.slots + 1, ..packing };
        assert!(matches!(bold.check(5), Err(PackingError::NotDerived { .. })));
        assert!(matches!(packing.check(6), Ok(())));
        assert!(matches!(packing.check(9), Err(PackingError::NotDerived { .. })));
        assert!(matches!(packing.blocks(1 << 28), Err(PackingError::TooLarge { .. })));
        assert_eq!(packing.blocks(1), Ok(MIN_BLOCKS));
    }
}
