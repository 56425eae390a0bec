//! How quantized values lie in the coefficients of a plaintext polynomial, and coefficients in
//! wire words.
//!
//! A quantized value `q` takes `b` bits. Where sites add integer noise `e` of magnitude `B` at most,
//! for a guarantee to whole sites, what is contributed is `q + e + B`, which is not negative. A slot
//! has room for the sum over the whole roster, and a coefficient carries `S` slots above
//! `Delta = 2^delta`, below which the cipher's own noise lives. Value 0 is reserved and counts the
//! sites: each contributes 1. Slot `s` of coefficient `k` of block `j` holds value
//! `(j S + s) N + k`: a block's slots are contiguous runs of values.

use serde::{Deserialize, Serialize};

use crate::ring::noise_bound::NoiseModel;
use crate::ring::params::{MAX_BLOCKS, MIN_BLOCKS, MODULUS, RING_DEGREE};
use crate::ring::words::block_bytes;
use crate::wire::canonical::canonical;

/// Smallest and largest number of bits a quantized value may take.
pub const VALUE_BITS: std::ops::RangeInclusive<u8> = 2..=24;

/// Largest noise bound: a contributed value fits 32 bits whatever its width.
pub const MAX_NOISE_BOUND: u32 = 1 << 30;

/// Smallest and largest number of bits of a wire word. Below 32 the check words, whose coefficients
/// have 32 bits, would be weaker; no packing that is used needs fewer.
pub const WIRE_BITS: std::ops::RangeInclusive<u8> = 32..=64;

/// Slots, scale and wire words of a study: derived from value bits, noise bound and roster size,
/// pinned in the study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Packing {
    /// `b`: bits of a quantized value.
    pub value_bits: u8,
    /// `B`: largest magnitude of the integer noise that a site adds to a quantized value; 0 where
    /// sites add none.
    pub noise_bound: u32,
    /// Bits of a slot: a contributed value's and enough to add it over the whole roster.
    pub slot_bits: u8,
    /// `S`: slots of a coefficient.
    pub slots: u8,
    /// `delta`: a coefficient's plaintext is scaled by `Delta = 2^delta`.
    pub delta_bits: u8,
    /// `w`: bits of a coefficient on the wire.
    pub wire_bits: u8,
}
canonical!(Packing { value_bits, noise_bound, slot_bits, slots, delta_bits, wire_bits });

/// Numbers that cannot be summed without overflow or told from noise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackingError {
    /// A value width outside the range.
    #[error("expected {min} to {max} bits a value, got {0}", min = VALUE_BITS.start(), max = VALUE_BITS.end())]
    ValueBits(u8),
    /// A word width outside the range.
    #[error("expected {min} to {max} bits a wire word, got {0}", min = WIRE_BITS.start(), max = WIRE_BITS.end())]
    WireBits(u8),
    /// Noise that no value has room for.
    #[error("expected a noise bound of at most {MAX_NOISE_BOUND} for a quantized value, got {0}")]
    NoiseBound(u32),
    /// Not even one slot fits.
    #[error(
        "a sum of {bits}-bit values{} over {sites} sites needs slots of {slot_bits} bits, and none fits between the cipher's noise and the modulus of 64 bits; use fewer bits{}",
        with_noise(*.noise_bound), less_noise(*.noise_bound)
    )]
    Overflow {
        /// Bits of a value.
        bits: u8,
        /// Largest noise that a site adds to a value.
        noise_bound: u32,
        /// Roster size.
        sites: usize,
        /// Bits of a slot.
        slot_bits: u32,
    },
    /// The slots are not what value bits and roster give.
    #[error(
        "{sites} sites at {bits} bits{} need slots of {expected} bits, at least one of them; the study states {slots} of {got}",
        with_noise(*.noise_bound)
    )]
    Slots {
        /// Roster size.
        sites: usize,
        /// Bits of a value.
        bits: u8,
        /// Largest noise that a site adds to a value.
        noise_bound: u32,
        /// As it follows.
        expected: u32,
        /// Slots as stated.
        slots: u8,
        /// Bits as stated.
        got: u8,
    },
    /// The largest sum would wrap around.
    #[error(
        "{slots} slots of {slot_bits} bits above 2^{delta_bits} overflow the modulus when {sites} sites add up; use fewer slots or a smaller scale"
    )]
    Wraps {
        /// Roster size.
        sites: usize,
        /// Slots as stated.
        slots: u8,
        /// Bits of a slot as stated.
        slot_bits: u8,
        /// Scale as stated.
        delta_bits: u8,
    },
    /// The noise could reach a digit.
    #[error(
        "the noise of {sites} sites, {collusion} of them colluding, at {wire_bits} wire bits reaches {noise}, beyond half the scale, 2^{half_bits}: a model would fail more often than once in 2^64; use more wire bits"
    )]
    Noise {
        /// Roster size.
        sites: usize,
        /// Sites that may choose their noise.
        collusion: u16,
        /// Wire bits as stated.
        wire_bits: u8,
        /// Largest noise but for a chance of 2^-64.
        noise: u64,
        /// `delta - 1`.
        half_bits: u8,
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

fn with_noise(bound: u32) -> String {
    if bound == 0 { String::new() } else { format!(" with noise of up to {bound}") }
}

fn less_noise(bound: u32) -> &'static str {
    if bound == 0 { "" } else { ", or a larger clip bound of the values, which leaves less noise" }
}

/// `ceil(log2(sites * (2^b + 2B)))`: the sum of `sites` contributed values is below 2 to this power.
/// Without noise it is `b + ceil(log2(sites))`.
fn slot_bits(value_bits: u8, noise_bound: u32, sites: usize) -> u32 {
    let values = (1u128 << value_bits) + 2 * u128::from(noise_bound);
    // Below 2^98: no product of these overflows.
    let sums = values * sites.max(1) as u128;
    u128::BITS - (sums - 1).leading_zeros()
}

impl Packing {
    /// The slots, scale and words that cost the fewest bits a value for `value_bits`-bit values of
    /// up to `sites` contributions, `collusion` of them by sites that may choose the cipher's noise:
    /// for each number of slots the largest scale below overflow, and for it the narrowest words
    /// that keep a wrong digit below 2^-64 a model. `noise_bound` is the largest magnitude of the
    /// integer noise that a site adds to a value; 0 where it adds none.
    ///
    /// # Errors
    /// [`PackingError`] when not even one slot fits between the noise and q.
    pub fn derive(
        value_bits: u8,
        noise_bound: u32,
        sites: usize,
        collusion: u16,
    ) -> Result<Self, PackingError> {
        if !VALUE_BITS.contains(&value_bits) {
            return Err(PackingError::ValueBits(value_bits));
        }
        if noise_bound > MAX_NOISE_BOUND {
            return Err(PackingError::NoiseBound(noise_bound));
        }
        let slot_bits = slot_bits(value_bits, noise_bound, sites);
        let overflow = PackingError::Overflow { bits: value_bits, noise_bound, sites, slot_bits };
        if slot_bits >= 64 {
            return Err(overflow);
        }
        let noise = |wire_bits| NoiseModel::new(sites, collusion, wire_bits);
        let candidates = (1..=63 / slot_bits).filter_map(|slots| {
            let delta_bits = (1..63).rev().find(|delta_bits| {
                let packing = Self {
                    value_bits,
                    noise_bound,
                    slot_bits: slot_bits as u8,
                    slots: slots as u8,
                    delta_bits: *delta_bits,
                    wire_bits: 64,
                };
                packing.fits(sites)
            })?;
            let wire_bits =
                WIRE_BITS.into_iter().find(|w| noise(*w).bound() < 1 << (delta_bits - 1))?;
            let (slot_bits, slots) = (slot_bits as u8, slots as u8);
            Some(Self { value_bits, noise_bound, slot_bits, slots, delta_bits, wire_bits })
        });
        // Fewest wire bits a value, w / S (360360 is divisible by 1 to 15); of equals the one with
        // more slots, hence less work.
        candidates
            .min_by_key(|p| (u32::from(p.wire_bits) * 360_360 / u32::from(p.slots), 64 - p.slots))
            .ok_or(overflow)
    }

    /// `Delta * (M_max + 1) < q`, exactly: `M_max + 1 <= floor((q - 1) / Delta)`.
    fn fits(&self, sites: usize) -> bool {
        let largest = u128::from(self.slot_limit(sites));
        let message = (0..self.slots)
            .map(|slot| largest << (u32::from(slot) * u32::from(self.slot_bits)))
            .sum::<u128>();
        message < u128::from((MODULUS - 1) >> self.delta_bits)
    }

    /// Refuses a packing with which sums could overflow or fail. It need not be the one that
    /// [`Packing::derive`] gives: wider words or fewer slots are as safe.
    ///
    /// # Errors
    /// [`PackingError`] says which bound does not hold.
    pub fn check(&self, sites: usize, collusion: u16) -> Result<(), PackingError> {
        let Self { value_bits, noise_bound, slot_bits: stated, slots, delta_bits, wire_bits } =
            *self;
        if !VALUE_BITS.contains(&value_bits) {
            return Err(PackingError::ValueBits(value_bits));
        }
        if noise_bound > MAX_NOISE_BOUND {
            return Err(PackingError::NoiseBound(noise_bound));
        }
        if !WIRE_BITS.contains(&wire_bits) {
            return Err(PackingError::WireBits(wire_bits));
        }
        let expected = slot_bits(value_bits, noise_bound, sites);
        if u32::from(stated) != expected || slots == 0 {
            let (bits, got) = (value_bits, stated);
            return Err(PackingError::Slots { sites, bits, noise_bound, expected, slots, got });
        }
        // The first two keep the exact test's own shifts in range.
        let used = u32::from(slots) * u32::from(stated);
        if !(1..63).contains(&delta_bits) || used > 100 || !self.fits(sites) {
            return Err(PackingError::Wraps { sites, slots, slot_bits: stated, delta_bits });
        }
        let (noise, half_bits) =
            (NoiseModel::new(sites, collusion, wire_bits).bound(), delta_bits - 1);
        if noise >= 1 << half_bits {
            return Err(PackingError::Noise { sites, collusion, wire_bits, noise, half_bits });
        }
        Ok(())
    }

    /// Largest sum that a slot may show for `sites` contributions.
    pub fn slot_limit(&self, sites: usize) -> u64 {
        sites as u64 * self.contribution_limit()
    }

    /// `2^b - 1`: the largest quantized value.
    pub fn value_limit(&self) -> u64 {
        (1 << self.value_bits) - 1
    }

    /// `2^b - 1 + 2B`: the largest value that a site contributes, noise included.
    pub fn contribution_limit(&self) -> u64 {
        self.value_limit() + 2 * u64::from(self.noise_bound)
    }

    /// `n B`: what the sum of `sites` contributed values is above the sum of the quantized values
    /// and their noise.
    pub fn noise_offset(&self, sites: usize) -> u64 {
        sites as u64 * u64::from(self.noise_bound)
    }

    /// Values of one block, `S N`.
    pub fn block_values(&self) -> usize {
        usize::from(self.slots) * RING_DEGREE
    }

    /// Blocks that a model of `values` values takes, the count of sites included.
    ///
    /// # Errors
    /// [`PackingError::TooLarge`] beyond what one key may encrypt.
    pub fn blocks(&self, values: usize) -> Result<usize, PackingError> {
        let blocks = values.saturating_add(1).div_ceil(self.block_values()).max(MIN_BLOCKS);
        if blocks > MAX_BLOCKS {
            return Err(PackingError::TooLarge { values, blocks });
        }
        Ok(blocks)
    }

    /// Bytes of the body of a model of `values` values.
    ///
    /// # Errors
    /// As for [`Packing::blocks`].
    pub fn body_bytes(&self, values: usize) -> Result<u64, PackingError> {
        Ok((self.blocks(values)? * block_bytes(self.wire_bits)) as u64)
    }
}

#[cfg(test)]
mod tests;
