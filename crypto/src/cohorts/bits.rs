//! Sets of sites, a bit each.

/// A set of numbers. Trailing words that are missing are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// These numbers. No word is kept that is zero and last, so that equal sets are equal.
    pub(super) fn of(numbers: impl IntoIterator<Item = usize>) -> Self {
        let mut words = Vec::new();
        for number in numbers {
            let place = number / 64;
            if words.len() <= place {
                words.resize(place + 1, 0);
            }
            if let Some(word) = words.get_mut(place) {
                *word |= 1u64 << (number % 64);
            }
        }
        Self(words)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// One more than the largest number.
    pub(super) fn end(&self) -> usize {
        let last = self.0.last().map_or(0, |word| 64 - word.leading_zeros() as usize);
        self.0.len().saturating_sub(1) * 64 + last
    }

    pub(super) fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// How many numbers are in one of the two only.
    pub(super) fn apart(&self, other: &Self) -> usize {
        let (short, long) = match self.0.len() < other.0.len() {
            true => (&self.0, &other.0),
            false => (&other.0, &self.0),
        };
        let (both, rest) = long.split_at(short.len());
        let differing = short.iter().zip(both).map(|(a, b)| (a ^ b).count_ones() as usize);
        differing.chain(rest.iter().map(|word| word.count_ones() as usize)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_counted_and_compared() {
        let (small, large) = (Bits::of([1, 3]), Bits::of([3, 64, 200, 1, 3]));
        assert_eq!((small.len(), large.len()), (2, 4));
        assert_eq!((small.apart(&large), large.apart(&small), small.apart(&small)), (2, 2, 0));
        assert_eq!((small.end(), large.end(), Bits::default().end()), (4, 201, 0));
        assert!(large.has(200) && !large.has(199) && !small.has(1000));
        assert!(Bits::default().is_empty() && Bits::of([]) == Bits::default());
    }
}
