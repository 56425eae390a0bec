//! Draws from a seed: the same seed gives the same outages.

use std::time::Duration;

/// A source of draws. SplitMix64: two lots of one seed with different names are unrelated.
#[derive(Clone, Debug)]
pub(crate) struct Lot(u64);

impl Lot {
    /// The lot of this name.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
        let mut state = [0; 8];
        hasher.finalize_xof().fill(&mut state);
        Self(u64::from_le_bytes(state))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1, without 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of so many, from 0.
    pub(crate) fn of(&mut self, many: u64) -> u64 {
        self.next() % many.max(1)
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// A time between two.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least + (most.saturating_sub(least)).mul_f64(self.fraction())
    }

    /// A time between two whose logarithm is uniform: many short ones, and a few long.
    pub(crate) fn about(&mut self, least: Duration, most: Duration) -> Duration {
        let [low, high] = [least, most].map(|time| time.as_secs_f64().ln());
        Duration::from_secs_f64((low + (high - low) * self.fraction()).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_drawn_from_alike_and_within_bounds() {
        let draws = |seed, name| {
            let mut lot = Lot::new(seed, name);
            let times = [Duration::from_secs(120), Duration::from_secs(9000)];
            (0..50).map(move |_| lot.about(times[0], times[1])).collect::<Vec<_>>()
        };
        assert_eq!(draws(7, "site 1"), draws(7, "site 1"));
        assert_ne!(draws(7, "site 1"), draws(7, "site 2"));
        assert_ne!(draws(7, "site 1"), draws(8, "site 1"));
        assert!(draws(1, "").iter().all(|time| (120..=9000).contains(&time.as_secs())));
        let mut lot = Lot::new(1, "");
        assert!((0..100).all(|_| lot.of(3) < 3));
    }
}
