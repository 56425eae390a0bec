//! Losses of the discrete Gaussian on one number.

use super::{Losses, share};

/// One integer with discrete Gaussian noise, shifted by its sensitivity. A smaller shift loses less:
/// the ratio is monotone, so that delta is that of an event `x <= c`, whose probability under the
/// other law falls with the shift.
#[derive(Clone, Copy)]
pub(super) struct Discrete {
    pub(super) sigma: f64,
    pub(super) shift: f64,
    pub(super) reach: f64,
}

impl Discrete {
    /// The largest value that counts: beyond m + 1 there is less than of the continuous Gaussian
    /// beyond m (Canonne, Kamath, Steinke 2020, proposition 25).
    fn last(self) -> i64 {
        (self.reach * self.sigma).ceil() as i64 + 1
    }

    /// The loss of a value, mirrored so that it rises.
    fn loss(self, value: i64) -> f64 {
        self.shift * (2.0 * value as f64 + self.shift) / (2.0 * self.sigma * self.sigma)
    }

    pub(super) fn span(self) -> (f64, f64) {
        (self.loss(-self.last()), self.loss(self.last()))
    }

    pub(super) fn losses(self, step: f64) -> Losses {
        let weight = |value: i64| (-(value as f64 / self.sigma).powi(2) / 2.0).exp();
        let values = -self.last()..=self.last();
        let total: f64 = values.clone().map(weight).sum();
        let mut losses = Losses::empty(self.span(), step);
        for value in values {
            let loss = self.loss(value);
            let bucket = ((loss / step).floor() as i64 - losses.first).max(0);
            let below = (losses.first + bucket) as f64 * step;
            losses.split(bucket as usize, weight(value) / total, share(loss - below, step));
        }
        losses
    }
}
