//! The Rényi divergence of the Poisson-subsampled Gaussian, at any order.
//!
//! With `P = (1-q) N(0, z^2) + q N(1, z^2)` and `Q = N(0, z^2)` the divergence of `P` from `Q` is the
//! larger of the two directions (Mironov, Talwar, Zhang 2019, theorem 5):
//! `ln E[L^a] / (a-1)`, `L(x) = 1-q + q exp((2x-1) / (2 z^2))`, `x` from `Q`.
//!
//! `E[L^a]` may be 1 + 1e-9, so the 1 is taken off beforehand. `E[L] = 1`, hence
//! `E[L^a] - 1 = E[L^a - 1 - a (L-1)]`, whose integrand is nowhere negative: nothing cancels, and
//! quadrature gives the relative precision of its rule. At whole orders the same is a finite sum.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use crate::numbers::{gauss_legendre, ln_1p_exp, ln_add, ln_binomial, ln_expm1, ln_sum};

static RULE: LazyLock<[(f64, f64); 16]> = LazyLock::new(gauss_legendre);

/// Width of a panel of the quadrature, in standard deviations of the noise.
const PANEL: f64 = 0.5;
/// Standard deviations beyond a peak of the integrand that count: exp(-72) of it is left out.
const REACH: f64 = 12.0;
/// Largest whole order whose sum is taken term by term.
const MOST_TERMS: f64 = 1024.0;

/// The divergence of one step.
pub(super) fn divergence(noise: f64, rate: f64, order: f64) -> f64 {
    if rate == 1.0 {
        return order / (2.0 * noise * noise);
    }
    let ln_excess = if order.fract() == 0.0 && order <= MOST_TERMS {
        ln_excess_whole(noise, rate, order)
    } else {
        ln_excess(noise, rate, order)
    };
    ln_1p_exp(ln_excess) / (order - 1.0)
}

/// `ln(E[L^a] - 1)` of a whole order: `sum of C(a,k) (1-q)^(a-k) q^k (exp((k^2-k) / (2 z^2)) - 1)`.
fn ln_excess_whole(noise: f64, rate: f64, order: f64) -> f64 {
    let (ln_in, ln_out) = (rate.ln(), (-rate).ln_1p());
    let terms: Vec<f64> = (2..=order as u32)
        .map(|k| {
            let k = f64::from(k);
            let weight = ln_binomial(order, k) + k * ln_in + (order - k) * ln_out;
            weight + ln_expm1(k * (k - 1.0) / (2.0 * noise * noise))
        })
        .collect();
    ln_sum(&terms)
}

/// `ln(E[L^a] - 1)` by quadrature.
fn ln_excess(noise: f64, rate: f64, order: f64) -> f64 {
    let mut sum = f64::NEG_INFINITY;
    for (from, to) in windows(noise, order) {
        let panels = ((to - from) / (PANEL * noise)).ceil();
        let half = (to - from) / (2.0 * panels);
        for panel in 0..panels as u64 {
            let middle = from + (2.0 * panel as f64 + 1.0) * half;
            let terms = RULE.map(|(node, weight)| {
                let x = middle + half * node;
                let ln_density = -x * x / (2.0 * noise * noise);
                weight.ln() + ln_density + ln_integrand(ln_ratio(noise, rate, x), order - 1.0)
            });
            sum = ln_add(sum, ln_sum(&terms) + half.ln());
        }
    }
    sum - (TAU.sqrt() * noise).ln()
}

/// Where the integrand's peaks can be.
///
/// `L^a` falls or grows like `exp(s x / z^2)` with `s` between 0 and `a`, so that with the noise's
/// density a peak lies at `x = s`. Where the integrand has a maximum, `s` may not grow faster than
/// `x`; with `s = a p`, `p = q e^u / (1-q + q e^u)`, that asks for `a p (1-p) < z^2`, and so for
/// `s < 2 z^2` or `s > a - 2 z^2`. (For `p` near 0 the taken-off terms let `s` begin at 2, but with
/// little noise `p` is near 1 there, unless the rate is below exp(-900).)
fn windows(noise: f64, order: f64) -> Vec<(f64, f64)> {
    let reach = REACH * noise;
    let slack = 2.0 * noise * noise;
    let start = if noise > 0.04 { 2.0 } else { 0.0 };
    let (low, high) = (start + slack + reach, order - slack - reach);
    if low >= high {
        vec![(-reach, order + reach)]
    } else {
        vec![(-reach, low), (high, order + reach)]
    }
}

/// `ln L(x)`.
fn ln_ratio(noise: f64, rate: f64, x: f64) -> f64 {
    let u = (2.0 * x - 1.0) / (2.0 * noise * noise);
    // Where L is near 1 its distance from 1 must keep its precision; far out only L's size counts.
    if u < 500.0 { (rate * u.exp_m1()).ln_1p() } else { u + rate.ln() }
}

/// `ln(L^a - 1 - a (L-1))` of `l = ln L` and `b = a-1`: it equals
/// `L (expm1(b l) + b expm1(-l))`, where for small `l` the first terms of both cancel.
fn ln_integrand(l: f64, b: f64) -> f64 {
    if b * l > 500.0 {
        return (b + 1.0) * l;
    }
    let factor = if l.abs() * b.max(1.0) < 0.1 {
        // The series of both from the square on; together they are positive there.
        let (mut first, mut second, mut sum) = (b * l, -b * l, 0.0);
        for k in 2..20 {
            first *= b * l / f64::from(k);
            second *= -l / f64::from(k);
            sum += first + second;
        }
        sum
    } else {
        (b * l).exp_m1() + b * (-l).exp_m1()
    };
    // Zero at L = 1 itself.
    l + factor.max(0.0).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quadrature_and_sum_agree_at_whole_orders() {
        for noise in [0.02, 0.1, 0.5, 1.0, 1.5, 4.0, 50.0, 1e4] {
            for rate in [1e-9, 1e-4, 0.04, 0.25, 0.9, 0.999_999] {
                for order in [2.0, 3.0, 8.0, 63.0, 1024.0] {
                    let (sum, quadrature) =
                        (ln_excess_whole(noise, rate, order), ln_excess(noise, rate, order));
                    let close = (sum - quadrature).abs() <= 1e-9 * sum.abs().max(1.0);
                    assert!(close, "{noise} {rate} {order}: {sum} {quadrature}");
                }
            }
        }
    }

    /// Near order 1 the divergence is Kullback and Leibler's, and it rises with the order.
    #[test]
    fn the_divergence_rises_with_the_order_across_the_two_ways_to_compute_it() {
        for (noise, rate) in [(0.0002, 0.04), (0.05, 0.01), (1.5, 0.04), (20.0, 0.3)] {
            let mut before = 0.0;
            for order in [1.000_001, 1.0001, 1.01, 1.5, 1.999_999, 2.0, 2.000_001, 3.5, 64.0, 64.5]
            {
                let now = divergence(noise, rate, order);
                assert!(now.is_finite() && now >= before * (1.0 - 1e-9), "{noise} {order}: {now}");
                before = now;
            }
        }
    }

    #[test]
    fn very_little_noise_costs_what_seeing_the_unit_costs() {
        // The unit is in with probability q; then the divergence is that of a plain Gaussian, less
        // what not knowing whether it is in takes off.
        let (noise, rate) = (0.0002, 0.04);
        let plain = 1.0 / (2.0 * noise * noise);
        let got = divergence(noise, rate, 1.000_000_000_1);
        assert!((got / (rate * plain) - 1.0).abs() < 2e-3, "{got} {}", rate * plain);
    }
}
