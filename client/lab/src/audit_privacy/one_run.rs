//! What guesses about the canaries of one training say about epsilon and delta: Steinke, Nasr,
//! Jagielski, "Privacy Auditing with One (1) Training Run" (2023).

use super::guesses::Guesses;
use super::statistics::binomial;

/// Probability that so many guesses are right at most, of whatever is `(epsilon, delta)`-private
/// (theorem 5.2, as in the paper's own program): `P[B >= v] + 2 m delta max_i P[v > B >= v - i] /
/// i` with `B` of the law `Binomial(r, e^epsilon / (1 + e^epsilon))`, for `v` right of `r` guesses
/// about `m` canaries.
pub(super) fn p_value(guesses: &Guesses, epsilon: f64, delta: f64) -> f64 {
    let Guesses { canaries, made, right } = *guesses;
    // Beyond 36, one minus this probability is nothing to a double.
    let law = binomial(made, 1.0 / (1.0 + (-epsilon.min(36.0)).exp()));
    let (below, above) = law.split_at(right.min(made));
    let (mut sum, mut most) = (0.0, 0.0_f64);
    for (index, probability) in below.iter().rev().enumerate() {
        sum += probability;
        most = most.max(sum / (index + 1) as f64);
    }
    let p = above.iter().sum::<f64>() + 2.0 * canaries as f64 * delta * most;
    p.min(1.0)
}

/// The largest epsilon, to 1e-6, that such guesses refute at a delta with this confidence; 0 where
/// they refute none.
pub(super) fn lower_bound(guesses: &Guesses, delta: f64, confidence: f64) -> f64 {
    let refuted = |epsilon: f64| p_value(guesses, epsilon, delta) < 1.0 - confidence;
    let (mut low, mut high) = (0.0, 36.0);
    if !refuted(low) {
        return 0.0;
    }
    while high - low > 1e-6 {
        let middle = f64::midpoint(low, high);
        if refuted(middle) { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_by_hand() {
        let guesses = |right| Guesses { canaries: 10, made: 4, right };
        // Without delta: a fair coin at epsilon 0, `P[B >= 3] = 5 / 16`; at epsilon ln 3 a coin of
        // 3/4, `P[B >= 4] = 81 / 256`.
        assert!((p_value(&guesses(3), 0.0, 0.0) - 5.0 / 16.0).abs() < 1e-12);
        assert!((p_value(&guesses(4), 3_f64.ln(), 0.0) - 81.0 / 256.0).abs() < 1e-12);
        // With it: 3 right of 4. Below are 6, 4, 1 sixteenths of 2, 1, 0 right, so that the largest
        // of 6/16, 10/16/2, 11/16/3 is 6/16; times 2 * 10 * 0.01.
        let p = 5.0 / 16.0 + 0.2 * 6.0 / 16.0;
        assert!((p_value(&guesses(3), 0.0, 0.01) - p).abs() < 1e-12);
        // 4 right of 4 at ln 3: below are 108, 54, 12, 1 of 256: the first again.
        let p = (81.0 + 0.2 * 108.0) / 256.0;
        assert!((p_value(&guesses(4), 3_f64.ln(), 0.01) - p).abs() < 1e-12);
    }

    #[test]
    fn bounds_by_hand() {
        // All of 100 right, no delta: the largest epsilon with `p^100 < 0.05`.
        let all = Guesses { canaries: 100, made: 100, right: 100 };
        let p = 0.05_f64.powf(0.01);
        assert!((lower_bound(&all, 0.0, 0.95) - (p / (1.0 - p)).ln()).abs() < 1e-5);
        assert_eq!(lower_bound(&Guesses { right: 50, ..all }, 1e-5, 0.95), 0.0);
        // Delta costs.
        assert!(lower_bound(&all, 1e-4, 0.95) < lower_bound(&all, 0.0, 0.95));
    }
}
