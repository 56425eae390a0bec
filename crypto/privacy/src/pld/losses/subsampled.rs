//! Losses of the Poisson-subsampled Gaussian.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use super::{COARSE, Direction, Losses, share};
use crate::numbers::gauss_legendre;

static FINE: LazyLock<[(f64, f64); 8]> = LazyLock::new(gauss_legendre);
static NARROW: LazyLock<[(f64, f64); 3]> = LazyLock::new(gauss_legendre);

/// The Poisson-subsampled Gaussian in one direction, on an axis along which the loss rises.
#[derive(Clone, Copy)]
pub(super) struct Subsampled {
    pub(super) noise: f64,
    pub(super) rate: f64,
    pub(super) direction: Direction,
    /// Standard deviations that are gone through on each side.
    pub(super) reach: f64,
}

impl Subsampled {
    /// From where to where the density is gone through.
    fn ends(self) -> (f64, f64) {
        let reach = self.reach * self.noise;
        match self.direction {
            Direction::Remove => (-reach, 1.0 + reach),
            Direction::Add => (-reach, reach),
        }
    }

    pub(super) fn span(self) -> (f64, f64) {
        let (from, to) = self.ends();
        (self.loss(from), self.loss(to))
    }

    pub(super) fn losses(self, step: f64) -> Losses {
        let (from, to) = self.ends();
        let mut losses = Losses::empty(self.span(), step);
        let mut left = from;
        for bucket in 0..losses.masses.len() - 1 {
            let below = (losses.first + bucket as i64) as f64 * step;
            let right = self.place(below + step).clamp(left, to);
            self.integrate(left, right, step, |mass, x| {
                losses.split(bucket, mass, share(self.loss(x) - below, step));
            });
            left = right;
        }
        losses
    }

    /// Quadrature of the density from `left` to `right`: masses and where they lie.
    ///
    /// Densities change on the scale of the noise, losses on that of its square.
    fn integrate(self, left: f64, right: f64, step: f64, mut mass: impl FnMut(f64, f64)) {
        let width = right - left;
        if width <= 0.0 {
            return;
        }
        let square = self.noise * self.noise;
        let scale = if step > COARSE { self.noise } else { self.noise.min(4.0 * square) };
        let narrow = width < 0.01 * scale;
        let rule: &[(f64, f64)] = if narrow { &*NARROW } else { &*FINE };
        let panels = (width / (0.125 * scale)).ceil();
        let half = width / (2.0 * panels);
        for panel in 0..panels as u64 {
            let middle = left + (2.0 * panel as f64 + 1.0) * half;
            for (node, weight) in rule {
                let x = middle + half * node;
                mass(half * weight * self.density(x), x);
            }
        }
    }

    /// Density of the law that was released from.
    fn density(self, x: f64) -> f64 {
        let normal = |x: f64| (-x * x / (2.0 * self.noise * self.noise)).exp();
        let sum = match self.direction {
            Direction::Remove => (1.0 - self.rate) * normal(x) + self.rate * normal(x - 1.0),
            Direction::Add => normal(x),
        };
        sum / (self.noise * TAU.sqrt())
    }

    /// The loss; rises with `x`, which is mirrored where a unit is added.
    fn loss(self, x: f64) -> f64 {
        let (sign, x) = self.oriented(x);
        let u = (2.0 * x - 1.0) / (2.0 * self.noise * self.noise);
        let ln_ratio = if self.rate == 1.0 {
            u
        } else if u < 500.0 {
            (self.rate * u.exp_m1()).ln_1p()
        } else {
            u + self.rate.ln()
        };
        sign * ln_ratio
    }

    /// Where a loss lies.
    fn place(self, loss: f64) -> f64 {
        let (sign, _) = self.oriented(0.0);
        let ln_ratio = sign * loss;
        let u = if self.rate == 1.0 {
            ln_ratio
        } else if ln_ratio < 500.0 {
            // Below the least ratio, 1 - q, there is nothing.
            (ln_ratio.exp_m1() / self.rate).max(-1.0).ln_1p()
        } else {
            ln_ratio - self.rate.ln()
        };
        sign * (self.noise * self.noise * u + 0.5)
    }

    fn oriented(self, x: f64) -> (f64, f64) {
        match self.direction {
            Direction::Remove => (1.0, x),
            Direction::Add => (-1.0, -x),
        }
    }
}
