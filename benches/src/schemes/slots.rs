//! Several quantized values in one 64-bit torus coefficient, for schemes with a native modulus.

use anyhow::ensure;

/// Values side by side in the upper bits of a word, noise below them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) slot_bits: u32,
    pub(super) slots: usize,
    /// log2 of the scale Delta; zero where there is no noise.
    pub(super) delta_bits: u32,
}

impl Slots {
    /// As many slots as leave room for noise of absolute value below `noise`: noise must stay
    /// below Delta / 2. What is left over goes to Delta.
    pub(super) fn new(slot_bits: u32, noise: f64) -> anyhow::Result<Self> {
        let noise_bits = if noise > 0.0 { (2.0 * noise).log2().ceil() as u32 } else { 0 };
        ensure!(
            slot_bits + noise_bits <= 64,
            "a slot of {slot_bits} bits and noise of {noise_bits} do not fit 64 bits"
        );
        let slots = (64 - noise_bits) / slot_bits;
        let delta_bits = if noise_bits == 0 { 0 } else { 64 - slots * slot_bits };
        Ok(Self { slot_bits, slots: slots as usize, delta_bits })
    }

    /// Packed and scaled words, padded with zeros to a multiple of `block` words.
    pub(super) fn pack(&self, values: &[u32], block: usize) -> Vec<u64> {
        let mut words = Vec::with_capacity(self.words(values.len(), block));
        words.extend(values.chunks(self.slots).map(|chunk| {
            let joined = chunk.iter().rev();
            joined.fold(0, |word, value| word << self.slot_bits | u64::from(*value))
                << self.delta_bits
        }));
        words.resize(self.words(values.len(), block), 0);
        words
    }

    /// Words that `values` values take.
    pub(super) fn words(&self, values: usize, block: usize) -> usize {
        values.div_ceil(self.slots).next_multiple_of(block)
    }

    /// Rounds the noise away and takes the slots apart again.
    pub(super) fn unpack(&self, words: &[u64], values: usize) -> Vec<u64> {
        let half = (1u64 << self.delta_bits) / 2;
        let mask = (1u64 << self.slot_bits) - 1;
        let mut sums = Vec::with_capacity(values + self.slots);
        for word in words.iter().take(values.div_ceil(self.slots)) {
            let message = word.wrapping_add(half) >> self.delta_bits;
            sums.extend(
                (0..self.slots).map(|slot| message >> (slot as u32 * self.slot_bits) & mask),
            );
        }
        sums.truncate(values);
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_packed_words_survive_noise_below_half_the_scale() {
        let slots = Slots::new(20, 10.0 * 131_072.0).unwrap();
        assert_eq!(slots, Slots { slot_bits: 20, slots: 2, delta_bits: 24 });
        let values: Vec<u32> = (0..33).map(|k| k * 1985).collect();
        let mut words = vec![0u64; slots.words(33, 8)];
        for site in 0..10u64 {
            let packed = slots.pack(&values, 8);
            let noise = if site % 2 == 0 { 838_860 } else { 838_860u64.wrapping_neg() };
            for (sum, word) in words.iter_mut().zip(packed) {
                *sum = sum.wrapping_add(word).wrapping_add(noise);
            }
        }
        let expected: Vec<u64> = values.iter().map(|value| u64::from(*value) * 10).collect();
        assert_eq!(slots.unpack(&words, 33), expected);
        words[3] = words[3].wrapping_add(1 << 23);
        assert_ne!(slots.unpack(&words, 33), expected);
        assert!(Slots::new(50, 1e6).is_err());
    }
}
