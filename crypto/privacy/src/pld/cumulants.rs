//! Sums of many releases' losses: how likely large ones are, by Chernoff.

use super::losses::Losses;
use crate::numbers::ln_add;

/// Losses on one grid, each with a number of times.
pub(super) struct Composition {
    pub(super) parts: Vec<(Losses, u64)>,
    /// Distance of two grid points.
    pub(super) step: f64,
}

impl Composition {
    pub(super) fn new(parts: Vec<(Losses, u64)>, step: f64) -> Self {
        Self { parts, step }
    }

    /// Releases in all.
    pub(super) fn times(&self) -> f64 {
        self.parts.iter().map(|(_, times)| *times as f64).sum()
    }

    /// Upper bound of the probability that some loss is infinite.
    pub(super) fn infinite(&self) -> f64 {
        self.parts.iter().map(|(losses, times)| losses.infinite * *times as f64).sum()
    }

    /// `ln E[exp(tilt * sum of losses)]` of the finite ones.
    pub(super) fn ln_moment(&self, tilt: f64) -> f64 {
        let parts = self.parts.iter();
        parts.map(|(losses, times)| *times as f64 * losses.ln_moment(tilt, self.step)).sum()
    }

    /// The tilt that is best for a delta: that of the least Chernoff bound on epsilon,
    /// `(K(t) - ln delta + t ln t - (1+t) ln(1+t)) / t` (as for Rényi divergences, of order 1+t).
    pub(super) fn best_tilt(&self, delta: f64) -> f64 {
        let bound = |tilt: f64| {
            let hockey = tilt * (tilt / (1.0 + tilt)).ln() - tilt.ln_1p();
            (self.ln_moment(tilt) - delta.ln() + hockey) / tilt
        };
        least(bound).0
    }

    /// A value above which the sum lies with at most this probability.
    pub(super) fn upper(&self, probability: f64) -> f64 {
        least(|tilt| (self.ln_moment(tilt) - probability.ln()) / tilt).1
    }

    /// A value above which the sum lies with at most this probability, by the tilted law.
    pub(super) fn tilted_upper(&self, tilt: f64, probability: f64) -> f64 {
        let here = self.ln_moment(tilt);
        least(|more| (self.ln_moment(tilt + more) - here - probability.ln()) / more).1
    }

    /// A value below which the sum lies with at most this probability, by the tilted law.
    pub(super) fn tilted_lower(&self, tilt: f64, probability: f64) -> f64 {
        let here = self.ln_moment(tilt);
        -least(|less| (self.ln_moment(tilt - less) - here - probability.ln()) / less).1
    }
}

impl Losses {
    /// `ln sum of mass * exp(tilt * loss)`.
    pub(super) fn ln_moment(&self, tilt: f64, step: f64) -> f64 {
        // In blocks whose factors cannot overflow: one logarithm a block.
        let block = (300.0 / (tilt.abs() * step)).clamp(1.0, 256.0) as usize;
        let powers: Vec<f64> = (0..block).map(|at| (tilt * step * at as f64).exp()).collect();
        let mut sum = f64::NEG_INFINITY;
        for (number, masses) in self.masses.chunks(block).enumerate() {
            let dot: f64 = masses.iter().zip(&powers).map(|(mass, power)| mass * power).sum();
            if dot > 0.0 {
                let start = (self.first + (number * block) as i64) as f64 * step;
                sum = ln_add(sum, dot.ln() + tilt * start);
            }
        }
        sum
    }
}

/// The minimum of a quasi-convex function of a positive number, and where: golden section on its
/// logarithm. Wherever it stops, the value belongs to the place, so that bounds stay bounds.
fn least(function: impl Fn(f64) -> f64) -> (f64, f64) {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let value = |ln: f64| {
        let at = ln.exp();
        (at, function(at))
    };
    let (mut low, mut high) = (1e-13f64.ln(), 1e9f64.ln());
    let (mut left, mut right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut at_left, mut at_right) = (value(left), value(right));
    while high - low > 1e-3 {
        if at_left.1 <= at_right.1 {
            (high, right, at_right) = (right, left, at_left);
            left = high - GOLDEN * (high - low);
            at_left = value(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + GOLDEN * (high - low);
            at_right = value(right);
        }
    }
    if at_left.1 <= at_right.1 { at_left } else { at_right }
}

#[cfg(test)]
mod tests {
    use super::super::losses::Direction;
    use super::*;
    use crate::mechanism::Mechanism;

    #[test]
    fn the_minimum_is_found() {
        let (at, value) = least(|x| x + 9.0 / x);
        assert!((at - 3.0).abs() < 0.01 && (value - 6.0).abs() < 1e-4, "{at} {value}");
    }

    /// Moments of the losses are Rényi divergences: `K(t) = t D_{1+t}`.
    #[test]
    fn moments_are_renyi_divergences() {
        for (mechanism, tilt) in
            [(Mechanism::gaussian(1.0, 0.04), 3.0), (Mechanism::gaussian(0.7, 1.0), 7.0)]
        {
            let losses = Losses::of(&mechanism, Direction::Remove, 1e-4, 1e-60).unwrap();
            let (got, exact) = (
                losses.ln_moment(tilt, 1e-4),
                tilt * crate::rdp::rdp(&mechanism, 1.0 + tilt).unwrap(),
            );
            assert!(got >= exact && got < exact + 1e-6, "{got} {exact}");
        }
    }

    #[test]
    fn chernoff_bounds_hold_for_a_normal_sum() {
        // Ten releases: the loss is normal with mean 5 and variance 10.
        let losses = Losses::of(&Mechanism::gaussian(1.0, 1.0), Direction::Add, 1e-3, 1e-20);
        let ten = Composition::new(vec![(losses.unwrap(), 10)], 1e-3);
        let deviation = (2.0 * 1e-6f64.recip().ln() * 10.0).sqrt();
        assert!((ten.upper(1e-6) - 5.0 - deviation).abs() < 1e-3);
        // Tilted by 2 the mean is 5 + 2 * 10.
        assert!((ten.tilted_lower(2.0, 1e-6) - 25.0 + deviation).abs() < 1e-2);
        assert!((ten.tilted_upper(2.0, 1e-6) - 25.0 - deviation).abs() < 1e-2);
    }
}
