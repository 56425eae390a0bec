//! The few laws of chance that the audits reckon with.

use std::f64::consts::SQRT_2;

/// `P[Z <= x]` of a standard normal number.
pub(super) fn normal_below(x: f64) -> f64 {
    libm::erfc(-x / SQRT_2) / 2.0
}

/// The `x` with `P[Z <= x] = p`, for `p` in `(0, 1)`, to 1e-12.
pub(super) fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    while high - low > 1e-12 {
        let middle = f64::midpoint(low, high);
        if normal_below(middle) < p { low = middle } else { high = middle }
    }
    high
}

/// `ln P[Binomial(n, p) = k]`, for `p` in `(0, 1)`.
fn ln_binomial(n: usize, k: usize, p: f64) -> f64 {
    let of = |count: usize| libm::lgamma(count as f64 + 1.0);
    let (hits, misses) = (k as f64, (n - k) as f64);
    of(n) - of(k) - of(n - k) + hits * p.ln() + misses * (-p).ln_1p()
}

/// `P[Binomial(n, p) = k]` for each `k` from 0 to `n`, with `p` in `(0, 1)`.
pub(super) fn binomial(n: usize, p: f64) -> Vec<f64> {
    (0..=n).map(|k| ln_binomial(n, k, p).exp()).collect()
}

/// The `x` with `P[chi square <= x] = p`, of so many degrees of freedom (Wilson and Hilferty 1931):
/// from 15 degrees on right to 1 % for `p` from 0.01 to 0.99.
pub(super) fn chi_square_quantile(degrees: f64, p: f64) -> f64 {
    let step = 2.0 / (9.0 * degrees);
    degrees * (1.0 - step + normal_quantile(p) * step.sqrt()).powi(3)
}

/// `P[chi square <= x]`, by the same formula.
pub(super) fn chi_square_below(degrees: f64, x: f64) -> f64 {
    let step = 2.0 / (9.0 * degrees);
    normal_below(((x / degrees).cbrt() - 1.0 + step) / step.sqrt())
}

/// The value below which this share of the values lies; 0 of none.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws_have_the_values_of_printed_tables() {
        assert!((normal_below(1.644_853_627) - 0.95).abs() < 1e-9);
        assert!((normal_quantile(0.975) - 1.959_963_985).abs() < 1e-8);
        assert!((normal_quantile(1e-6) + 4.753_424_309).abs() < 1e-8);
        // Three heads of four: 4 / 16; the whole law sums to 1.
        assert!((binomial(4, 0.5)[3] - 0.25).abs() < 1e-12);
        assert!((binomial(900, 0.93).iter().sum::<f64>() - 1.0).abs() < 1e-10);
        for (degrees, p, exact) in
            [(15.0, 0.99, 30.578), (15.0, 0.01, 5.229), (100.0, 0.99, 135.807)]
        {
            let found = chi_square_quantile(degrees, p);
            assert!((found / exact - 1.0).abs() < 1e-2, "{degrees} {p}: {found}");
            assert!((chi_square_below(degrees, found) - p).abs() < 1e-9);
        }
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
