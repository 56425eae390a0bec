//! Numerical building blocks.

use std::f64::consts::PI;

/// `ln(exp(a) + exp(b))`.
pub(crate) fn ln_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// `ln(sum of exp)`; minus infinity of none.
pub(crate) fn ln_sum(terms: &[f64]) -> f64 {
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln()
}

/// `ln(1 + exp(x))`, exact where the result is tiny.
pub(crate) fn ln_1p_exp(x: f64) -> f64 {
    if x > 40.0 { x } else { x.exp().ln_1p() }
}

/// `ln(exp(x) - 1)` of `x > 0`.
pub(crate) fn ln_expm1(x: f64) -> f64 {
    if x > 40.0 { x } else { x.exp_m1().ln() }
}

/// Natural logarithm of the binomial coefficient.
pub(crate) fn ln_binomial(n: f64, k: f64) -> f64 {
    libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0)
}

/// Nodes and weights of the Gauss-Legendre rule on [-1, 1], by Newton's method on the Legendre
/// polynomial.
pub(crate) fn gauss_legendre<const N: usize>() -> [(f64, f64); N] {
    let n = N as f64;
    std::array::from_fn(|i| {
        let mut x = (PI * (i as f64 + 0.75) / (n + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..8 {
            let (mut before, mut now) = (1.0, x);
            for k in 2..=N {
                let k = k as f64;
                (before, now) = (now, ((2.0 * k - 1.0) * x * now - (k - 1.0) * before) / k);
            }
            slope = n * (x * now - before) / (x * x - 1.0);
            x -= now / slope;
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quadrature_is_exact_for_the_polynomials_that_it_must_be_exact_for() {
        let rule = gauss_legendre::<16>();
        for degree in 0..32 {
            let sum: f64 = rule.iter().map(|(x, weight)| weight * x.powi(degree)).sum();
            let exact = if degree % 2 == 0 { 2.0 / f64::from(degree + 1) } else { 0.0 };
            assert!((sum - exact).abs() < 1e-14, "{degree}: {sum}");
        }
        let sum: f64 = rule.iter().map(|(x, weight)| weight * x.powi(32)).sum();
        assert!((sum - 2.0 / 33.0).abs() > 1e-12, "a rule that is exact for everything");
    }

    #[test]
    fn sums_of_exponentials_survive_what_would_overflow() {
        assert!((ln_add(1000.0, 1000.0) - 1000.0 - 2f64.ln()).abs() < 1e-12);
        assert!((ln_sum(&[-1000.0, -1000.0]) + 1000.0 - 2f64.ln()).abs() < 1e-12);
        assert_eq!(ln_sum(&[]), f64::NEG_INFINITY);
        assert_eq!(ln_add(f64::NEG_INFINITY, 1.0), 1.0);
        assert!((ln_1p_exp(-50.0) / (-50f64).exp() - 1.0).abs() < 1e-12);
        assert!((ln_binomial(10.0, 3.0) - 120f64.ln()).abs() < 1e-12);
    }
}
