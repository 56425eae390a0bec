//! Rényi divergences of the discrete Gaussian, and of a sum of them.

use std::f64::consts::PI;

/// Terms of the closeness of a sum that are added up one by one.
const MOST_TERMS: u64 = 1_000_000;

/// The divergence of a discrete Gaussian.
///
/// In one dimension it is exact: `a s^2 / (2 sigma^2) + ln(theta(a s) / theta(0)) / (a-1)` with
/// `theta(c) = sum over x of exp(-(x-c)^2 / (2 sigma^2))`. (It rises with `s`, as the second part is
/// at least `-s / (4 sigma^2)`.) In more dimensions the first part alone, an upper bound (Canonne,
/// Kamath, Steinke 2020, proposition 5 and its extension to vectors).
pub(super) fn gaussian(sigma: f64, l2_sensitivity: f64, dimension: u64, order: f64) -> f64 {
    let bound = order * (l2_sensitivity / sigma).powi(2) / 2.0;
    if dimension > 1 {
        return bound;
    }
    let centre = (order * l2_sensitivity).fract();
    // Of a wide Gaussian theta hardly depends on its centre: exp(-2 pi^2 sigma^2) relatively.
    if sigma > 3.0 {
        return bound;
    }
    bound + (theta(sigma, centre) / theta(sigma, 0.0)).ln() / (order - 1.0)
}

/// `sum over whole x of exp(-(x-c)^2 / (2 sigma^2))` for `c` in [0, 1).
fn theta(sigma: f64, centre: f64) -> f64 {
    let reach = (12.0 * sigma).ceil() + 1.0;
    let terms = (-reach as i32)..=(reach as i32);
    terms.map(|x| (-((f64::from(x) - centre) / sigma).powi(2) / 2.0).exp()).sum()
}

/// The sum of equal, independent discrete Gaussians.
pub(super) struct SummedNoise {
    /// Parameter of the discrete Gaussian that it is close to.
    sigma: f64,
    /// How close: `10 * sum over k of exp(-2 pi^2 local_sigma^2 k/(k+1))`, k from 1 to n-1.
    closeness: f64,
}

impl SummedNoise {
    pub(super) fn new(local_sigma: f64, sites: u64) -> Self {
        let term = |k: u64| {
            let k = k as f64;
            (-2.0 * PI * PI * local_sigma * local_sigma * k / (k + 1.0)).exp()
        };
        let terms = sites - 1;
        let mut sum: f64 = (1..=terms.min(MOST_TERMS)).map(term).sum();
        if terms > MOST_TERMS {
            // The terms fall: the rest is at most that many times the next one.
            sum += (terms - MOST_TERMS) as f64 * term(MOST_TERMS + 1);
        }
        Self { sigma: local_sigma * (sites as f64).sqrt(), closeness: 10.0 * sum }
    }

    /// Proposition 14 of Kairouz, Liu, Steinke 2021: the least of its three bounds.
    pub(super) fn divergence(&self, dimension: u64, l1: f64, l2: f64, order: f64) -> f64 {
        let (l1, l2) = (l1 / self.sigma, l2 / self.sigma);
        let (tau, dimension) = (self.closeness, dimension as f64);
        let half = order / 2.0;
        let apart = half * l2 * l2 + tau * dimension;
        let mixed = half * (l2 * l2 + 2.0 * l1 * tau + tau * tau * dimension);
        let together = half * (l2 + dimension.sqrt() * tau).powi(2);
        apart.min(mixed).min(together)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn theta_is_left_out_only_where_it_does_not_show() {
        for centre in [0.0, 0.25, 0.5] {
            assert!((theta(3.0, centre) / theta(3.0, 0.0) - 1.0).abs() < 1e-15);
        }
        assert!((theta(0.5, 0.5) / theta(0.5, 0.0) - 1.0).abs() > 0.01);
    }

    #[test]
    fn a_million_sites_and_more_are_bounded_from_above() {
        let few = SummedNoise::new(0.8, MOST_TERMS + 1);
        let more = SummedNoise::new(0.8, MOST_TERMS + 1001);
        assert!(more.closeness > few.closeness);
        let last = 10.0 * (-2.0 * PI * PI * 0.64f64).exp();
        let exact = few.closeness + 1000.0 * last;
        assert!((more.closeness / exact - 1.0).abs() < 1e-4, "{} {exact}", more.closeness);
        assert_eq!(SummedNoise::new(0.5, 1).closeness, 0.0);
    }
}
