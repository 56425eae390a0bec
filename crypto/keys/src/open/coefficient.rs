//! What one coefficient may hold: of a sum over some sites, or of one site's body.

use std::fmt;

use ringfence_crypto::ring::field;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::statement::{Study, Summands};
use serde::{Deserialize, Serialize};

/// A coefficient of a body or of a sum. Positions are ordered by block, then coefficient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The block.
    pub block: u64,
    /// The coefficient within it, below 4096.
    pub coefficient: u16,
}

impl Position {
    /// Index of the value in a slot at this position; 0 is the count of sites.
    fn value(self, slot: u8, packing: &Packing) -> u64 {
        let run = self.block.saturating_mul(packing.slots.into()).saturating_add(slot.into());
        run.saturating_mul(RING_DEGREE as u64).saturating_add(self.coefficient.into())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "coefficient {} of block {}", self.coefficient, self.block)
    }
}

/// How a coefficient breaks the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CoefficientFault {
    /// Noise beyond its bound.
    #[error("noise {noise}, expected at most {bound} on either side")]
    Noise {
        /// What came, rounded away from zero.
        noise: i64,
        /// Largest allowed.
        bound: u64,
    },
    /// The count is not the number of sites.
    #[error("it counts {counted} sites, expected {expected}")]
    Count {
        /// What came.
        counted: u64,
        /// The number of sites.
        expected: u64,
    },
    /// A value out of its range.
    #[error("value {value} is {got}, expected {least} to {most}")]
    Slot {
        /// Index over all slots; 0 is the count.
        value: u64,
        /// What came.
        got: u64,
        /// Least allowed.
        least: u64,
        /// Largest allowed.
        most: u64,
    },
    /// Padding that is not zero.
    #[error("value {value}, beyond the last of the layout, is {got}, expected 0")]
    Padding {
        /// Index over all slots.
        value: u64,
        /// What came.
        got: u64,
    },
}

/// What the slots of a sum may hold.
#[derive(Clone, Copy)]
pub(super) struct SlotLimits<'a> {
    packing: &'a Packing,
    /// Values of the layout, after the count.
    values: u64,
    summands: Summands,
}

impl<'a> SlotLimits<'a> {
    /// The limits of a sum over these sites.
    pub(super) fn new(study: &'a Study, summands: Summands) -> Self {
        Self { packing: &study.packing, values: study.layout.values() as u64, summands }
    }

    /// `delta`: a coefficient's message is scaled by `2^delta`.
    pub(super) fn delta_bits(&self) -> u8 {
        self.packing.delta_bits
    }

    /// Checks the slots of a coefficient's message, the lowest first.
    pub(super) fn check(&self, position: Position, message: u64) -> Result<(), CoefficientFault> {
        let Packing { slots, slot_bits, .. } = *self.packing;
        for slot in 0..slots {
            let rest = message.checked_shr(u32::from(slot) * u32::from(slot_bits)).unwrap_or(0);
            // The last slot takes all that is left: bits above it must not go unseen.
            let got = match slot + 1 == slots {
                true => rest,
                false => rest & ((1 << slot_bits) - 1),
            };
            self.check_value(position.value(slot, self.packing), got)?;
        }
        Ok(())
    }

    /// The largest value that a slot may hold.
    #[cfg(test)]
    pub(super) fn largest(&self, position: Position, slot: u8) -> u64 {
        match position.value(slot, self.packing) {
            0 => self.summands.sites as u64,
            value if value > self.values => 0,
            _ => self.summands.most,
        }
    }

    fn check_value(&self, value: u64, got: u64) -> Result<(), CoefficientFault> {
        let Summands { sites, least, most } = self.summands;
        let expected = sites as u64;
        match value {
            0 if got != expected => Err(CoefficientFault::Count { counted: got, expected }),
            0 => Ok(()),
            _ if value > self.values && got != 0 => Err(CoefficientFault::Padding { value, got }),
            _ if value > self.values || (least..=most).contains(&got) => Ok(()),
            _ => Err(CoefficientFault::Slot { value, got, least, most }),
        }
    }
}

/// Splits `v = Delta M + noise`, `v` in `[-Delta/2, q - Delta/2)`, into `M` and noise.
#[inline(always)]
pub(super) fn split(v: u64, delta_bits: u8) -> (u64, i64) {
    let half = 1u64 << (delta_bits - 1);
    let shifted = field::add(v, half);
    (shifted >> delta_bits, (shifted & (2 * half - 1)) as i64 - half as i64)
}
