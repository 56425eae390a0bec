//! What the sampler's noise lacks to exact noise, and what that takes of delta.

use serde::{Deserialize, Serialize};

/// What share of delta it may take.
const MOST_OF_DELTA: f64 = 0.1;

/// A bound on the statistical distance of noise from exact discrete Gaussians, in the two parts by
/// which it grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inexactness {
    /// The part that adds up: tails that are cut off, probabilities that are rounded.
    pub added: f64,
    /// The square of the part whose squares add up: it comes from Kullback-Leibler divergences.
    pub squared: f64,
}

impl Inexactness {
    /// That of so many times as much noise.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        let times = f64::from(times);
        Self { added: self.added * times, squared: self.squared * times }
    }

    /// That of both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { added: self.added + other.added, squared: self.squared + other.squared }
    }

    /// The distance, at most 1.
    pub fn distance(self) -> f64 {
        (self.added + self.squared.sqrt()).min(1.0)
    }
}

/// What is left of delta for the accountant, and in which sense the guarantee then holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeltaLeft {
    /// For the accountant.
    pub delta: f64,
    /// What the sampler takes.
    pub charged: f64,
    /// Whether the sums themselves have the guarantee. Otherwise epsilon is so large that
    /// `e^epsilon` times the sampler's distance is no small number, and what holds is that they are
    /// within `charged` of sums that have it: nobody who looks at them can tell the two apart with
    /// more than that advantage.
    pub outright: bool,
}

impl DeltaLeft {
    /// What is left of delta for noise whose distance from exact noise is `eta`, of all of it:
    /// `(1 + e^epsilon) eta` is charged, at the epsilon of the budget. None where the distance itself
    /// is more than a tenth of delta.
    pub fn of(delta: f64, epsilon: f64, inexact: Inexactness) -> Option<Self> {
        let (most, distance) = (MOST_OF_DELTA * delta, inexact.distance());
        if distance == 0.0 {
            return Some(Self { delta, charged: 0.0, outright: true });
        }
        let both = (1.0 + epsilon.exp()) * distance;
        let (charged, outright) = if both <= most { (both, true) } else { (distance, false) };
        (charged <= most).then_some(Self { delta: delta - charged, charged, outright })
    }

    /// How far the sums are from those that have the guarantee, where they have it not outright: the
    /// statistical distance.
    pub fn within(&self) -> Option<f64> {
        (!self.outright).then_some(self.charged)
    }
}

/// What a guarantee does not hold for where the sums are so far from those that have it: for whoever
/// prints an epsilon.
#[must_use]
pub fn not_outright(within: f64) -> String {
    format!(
        "the sums themselves, at so large an epsilon: they are within {within:.1e} of sums that have this guarantee (statistical distance)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_each_in_its_way() {
        let one = Inexactness { added: 1e-12, squared: 4e-20 };
        assert!((one.distance() - 2.01e-10).abs() < 1e-15, "{}", one.distance());
        let four = one.times(4);
        assert_eq!(four, one.and(one.times(3)));
        assert!((four.distance() - 4.04e-10).abs() < 1e-15, "{}", four.distance());
        assert_eq!(Inexactness { added: 0.7, squared: 0.7 }.distance(), 1.0);
    }

    #[test]
    fn exact_noise_takes_nothing_however_large_epsilon_is() {
        let left = DeltaLeft::of(1e-5, 1e9, Inexactness::default()).unwrap();
        assert_eq!(left, DeltaLeft { delta: 1e-5, charged: 0.0, outright: true });
        let inexact = Inexactness { added: 1e-7, squared: 0.0 };
        let large = DeltaLeft::of(1e-5, 1e9, inexact).unwrap();
        assert!(!large.outright && large.charged == 1e-7, "{large:?}");
        assert_eq!((left.within(), large.within()), (None, Some(1e-7)));
        assert!(not_outright(1e-7).contains("within 1.0e-7 of sums"));
        assert_eq!(DeltaLeft::of(9e-7, 1.0, inexact), None);
    }
}
