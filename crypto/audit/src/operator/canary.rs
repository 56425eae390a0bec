//! Updates to look for, known by something that survives clipping, weighing, quantizing and any
//! change of scale: whether each value is larger than the one before it.

use std::collections::HashMap;

/// Signs of consecutive differences that must agree: data that know nothing of a canary whose signs are
/// those of a fair coin agree with one place of it with probability `2^-96`, whatever the data are.
pub const SIGNS: usize = 96;

/// Signs that are looked up at once; the others are compared then.
const WORD: usize = 64;

/// The most canaries of which every sum of some is looked for, too. Of more only the sum of all is.
const ALL_SUMS: usize = 5;

/// Bits of the filter before the table: an odd factor's product, its upper bits.
const FILTER_BITS: u32 = 22;

/// An update that is looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// What it is called in reports.
    pub name: String,
    /// Its values, in layout order.
    pub values: Vec<f32>,
}

/// Values that nobody could tell from any others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} cannot be recognised: expected {SIGNS} consecutive steps up and down without a pattern somewhere in its {values} values; take an update from training, or one of random values"
)]
pub struct NotRecognisable {
    /// Whose.
    pub name: String,
    /// How many there are.
    pub values: usize,
}

/// What is looked for, ready to be looked up.
#[derive(Debug)]
pub struct Canaries {
    names: Vec<String>,
    /// The signs of each, a bit each, and the places that count.
    places: HashMap<u64, Vec<Place>>,
    filter: Vec<u64>,
    /// Places that are looked for, over all.
    count: u64,
}

/// The last of [`SIGNS`] signs of a canary.
#[derive(Clone, Copy, Debug)]
struct Place {
    canary: u32,
    /// Of the value that the last sign leads to.
    value: u32,
    signs: u128,
}

const ALL: u128 = (1 << SIGNS) - 1;

impl Canaries {
    /// Looks for these, and for sums of them.
    ///
    /// # Errors
    /// [`NotRecognisable`] for one that has no sequence of steps that stands out.
    pub fn new(canaries: &[Canary]) -> Result<Self, NotRecognisable> {
        let mut made = Self {
            names: Vec::new(),
            places: HashMap::new(),
            filter: vec![0; 1 << (FILTER_BITS - 6)],
            count: 0,
        };
        for Canary { name, values } in canaries {
            let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            if made.add(name.clone(), &values) == 0 {
                return Err(NotRecognisable { name: name.clone(), values: values.len() });
            }
        }
        for (name, values) in sums(canaries) {
            made.add(name, &values);
        }
        Ok(made)
    }

    /// How many places are looked for: of each canary, each sum, upwards and downwards.
    pub fn places(&self) -> u64 {
        2 * self.count
    }

    /// Adds the places of one; how many.
    fn add(&mut self, name: String, values: &[f64]) -> usize {
        let (mut signs, mut since_tie, mut added) = (0u128, 0, 0);
        let canary = self.names.len() as u32;
        for (value, pair) in (1..).zip(values.windows(2)) {
            let [before, after] = pair else { continue };
            signs = (signs << 1) | u128::from(after > before);
            since_tie = if after == before { 0 } else { since_tie + 1 };
            if since_tie < SIGNS || !stands_out(signs & ALL) {
                continue;
            }
            let place = Place { canary, value, signs: signs & ALL };
            for key in [signs as u64, !signs as u64] {
                let (word, bit) = filter_place(key);
                if let Some(word) = self.filter.get_mut(word) {
                    *word |= bit;
                }
            }
            self.places.entry(signs as u64).or_default().push(place);
            added += 1;
        }
        self.count += added as u64;
        self.names.push(name);
        added
    }

    /// Whether the last signs may be in the table.
    #[inline(always)]
    fn may_have(&self, key: u64) -> bool {
        let (word, bit) = filter_place(key);
        self.filter.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The name, and the value's place, of a canary that the last signs are of.
    fn find(&self, signs: u128) -> Option<(&str, u32)> {
        [signs & ALL, !signs & ALL].into_iter().find_map(|signs| {
            let of_key = self.places.get(&(signs as u64))?;
            let place = of_key.iter().find(|place| place.signs == signs)?;
            Some((self.names.get(place.canary as usize)?.as_str(), place.value))
        })
    }
}

#[inline(always)]
fn filter_place(key: u64) -> (usize, u64) {
    let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS);
    ((hash >> 6) as usize, 1 << (hash & 63))
}

/// The signs of a sequence as it comes, held against the canaries.
#[derive(Debug)]
pub(super) struct Follower<'a, T> {
    canaries: &'a Canaries,
    signs: u128,
    before: Option<T>,
    /// Signs so far; fewer than [`SIGNS`] say nothing.
    seen: u64,
}

impl<'a, T: PartialOrd + Copy> Follower<'a, T> {
    /// At the beginning of a sequence.
    pub(super) fn new(canaries: &'a Canaries) -> Self {
        Self { canaries, signs: 0, before: None, seen: 0 }
    }

    /// Takes the next value; the canary, and its place, that the sequence is at.
    #[inline(always)]
    pub(super) fn follow(&mut self, value: T) -> Option<(&'a str, u32)> {
        let up = self.before.is_some_and(|before| value > before);
        self.before = Some(value);
        self.signs = (self.signs << 1) | u128::from(up);
        self.seen += 1;
        match self.canaries.may_have(self.signs as u64) {
            true => self.look(),
            false => None,
        }
    }

    #[cold]
    fn look(&self) -> Option<(&'a str, u32)> {
        (self.seen > SIGNS as u64).then(|| self.canaries.find(self.signs)).flatten()
    }
}

/// Whether signs are like those of a fair coin: neither nearly all the same, nor with a short period,
/// as regular data have. Of a coin's, all but one in 10,000 are.
fn stands_out(signs: u128) -> bool {
    let is_even = |ones: u32, of: usize| (of / 4..=of - of / 4).contains(&(ones as usize));
    let no_period = |period: usize| {
        let of = SIGNS - period;
        is_even(((signs ^ (signs >> period)) & ((1 << of) - 1)).count_ones(), of)
    };
    is_even(signs.count_ones(), SIGNS) && (1..=8).all(no_period)
}

/// Sums of two and more: each of them for a few, else that of all.
fn sums(canaries: &[Canary]) -> Vec<(String, Vec<f64>)> {
    let n = canaries.len();
    let sets: Vec<u64> = match n {
        0 | 1 => Vec::new(),
        2..=ALL_SUMS => (0..1 << n).filter(|set: &u64| set.count_ones() > 1).collect(),
        _ => vec![u64::MAX],
    };
    let of_set = |set: u64| {
        let members: Vec<&Canary> = canaries
            .iter()
            .enumerate()
            .filter(|(k, _)| *k >= 64 || set >> k & 1 == 1)
            .map(|(_, canary)| canary)
            .collect();
        let length = members.iter().map(|member| member.values.len()).min().unwrap_or(0);
        let value = |k: usize| {
            members.iter().filter_map(|member| member.values.get(k)).map(|v| f64::from(*v)).sum()
        };
        let name = match set == u64::MAX || set.count_ones() as usize == n {
            true => "the sum of all".to_owned(),
            false => {
                let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
                format!("the sum of {}", names.join(", "))
            }
        };
        (name, (0..length).map(value).collect())
    };
    sets.into_iter().map(of_set).collect()
}

/// Bytes that a sequence of [`SIGNS`] steps takes at most in one encoding: what a part of a file must
/// share with the next one.
pub(super) const LONGEST: usize = (SIGNS + WORD) * 8 * 16;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A walk whose steps are those of a coin, large beside rounding to eight bits.
    pub(crate) fn walk(seed: u64, values: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let mut at = 0f32;
        let step = |next: &mut dyn FnMut() -> u32| {
            let size = 0.03 + (next() % 1000) as f32 * 3e-5;
            let up = next() & 0x1000 != 0;
            if (up && at + size < 0.9) || at - size < -0.9 {
                at += size
            } else {
                at -= size
            }
            at
        };
        let mut step = step;
        (0..values).map(|_| step(&mut next)).collect()
    }

    pub(crate) fn canary(name: &str, seed: u64) -> Canary {
        Canary { name: name.to_owned(), values: walk(seed, 2000) }
    }

    fn found<T: PartialOrd + Copy>(canaries: &Canaries, values: &[T]) -> Option<String> {
        let mut follower = Follower::new(canaries);
        values.iter().find_map(|value| Some(follower.follow(*value)?.0.to_owned()))
    }

    #[test]
    fn a_canary_is_found_from_97_values_on_whatever_was_done_to_its_scale() {
        let own = canary("a", 1);
        let canaries = Canaries::new(std::slice::from_ref(&own)).unwrap();
        let part = &own.values[700..][..SIGNS + 1];
        assert_eq!(found(&canaries, part).unwrap(), "a");
        assert_eq!(found(&canaries, &part[1..]), None);
        let scaled: Vec<i64> = part.iter().map(|v| 5 - (v * 1000.0) as i64).collect();
        assert_eq!(found(&canaries, &scaled).unwrap(), "a");
        let eight_bits: Vec<u8> = part.iter().map(|v| (v * 127.0 + 128.0) as u8).collect();
        assert_eq!(found(&canaries, &eight_bits).unwrap(), "a");
        assert_eq!(found(&canaries, &walk(2, 100_000)), None);
        // What was there before a sequence begins is no part of it.
        let late: Vec<f32> = [9.0; 500].iter().chain(part).copied().collect();
        assert_eq!(found(&canaries, &late).unwrap(), "a");
    }

    #[test]
    fn sums_of_some_and_of_all_are_found() {
        let all = [canary("a", 1), canary("b", 2), canary("c", 3)];
        let canaries = Canaries::new(&all).unwrap();
        let sum = |of: &[usize]| -> Vec<f32> {
            (0..2000).map(|k| of.iter().map(|i| all[*i].values[k]).sum::<f32>()).collect()
        };
        assert_eq!(found(&canaries, &sum(&[0, 2])).unwrap(), "the sum of a, c");
        assert_eq!(found(&canaries, &sum(&[0, 1, 2])).unwrap(), "the sum of all");
        let many: Vec<Canary> = (0..7).map(|k| canary(&k.to_string(), k)).collect();
        let canaries = Canaries::new(&many).unwrap();
        let sum: Vec<f32> = (0..2000).map(|k| many.iter().map(|m| m.values[k]).sum()).collect();
        assert_eq!(found(&canaries, &sum).unwrap(), "the sum of all");
    }

    #[test]
    fn what_does_not_stand_out_is_refused_and_regular_data_are_no_canary() {
        for values in [vec![0.0; 5000], (0..5000).map(|k| k as f32).collect(), walk(1, SIGNS)] {
            let flat = Canary { name: "flat".into(), values };
            let error = Canaries::new(&[flat]).unwrap_err().to_string();
            assert!(error.starts_with("flat cannot be recognised"), "{error}");
        }
        let saw: Vec<f32> = (0..5000).map(|k| (k % 5) as f32).collect();
        assert!(Canaries::new(&[Canary { name: "saw".into(), values: saw }]).is_err());
    }
}
