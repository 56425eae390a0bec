//! What guesses about the canaries of one training say about a whole curve of epsilons and deltas:
//! Mahloujifar, Melis, Chaudhuri, "Auditing f-Differential Privacy in One Run" (2024).
//!
//! A mechanism with noise has an epsilon for every delta at once, and one pair of them is much
//! weaker than all. Let `p_i` be the probability that `i` of `r` guesses about `m` canaries are
//! right. Flip the coin of one canary, drawn at random: with it, what was a right guess among `i`
//! is a wrong one beside `i - 1`. As both data sets are neighbours, for every `c`
//!
//! `sum_{i >= c} i/m p_i <= F(sum_{i >= c-1} (r-i)/m p_i)`,
//!
//! where `F(x)` is the most probability that an event can have on a data set if it has `x` on a
//! neighbour: the least of `delta + e^epsilon x` over the curve.
//!
//! [`Curve::allows`] follows these downwards from `c = v`, with `P[v or more right] = p`, as the
//! paper's algorithm does. It puts all of `p` at exactly `v` and takes each next `p_i` as small as
//! the inequality lets it. Nothing else leaves less for the smaller numbers: mass at larger `i` or
//! taken earlier raises the left side by at least its share `i/m`, and so all that must follow. If
//! more than 1 is needed in all, `p` was too much.

use super::guesses::Guesses;

/// An epsilon, and the delta that a mechanism has there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// In nats, at least 0.
    pub(super) epsilon: f64,
    /// In `[0, 1]`.
    pub(super) delta: f64,
}

/// Points that hold at once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Curve(pub(super) Vec<Point>);

impl Curve {
    /// Whether a mechanism with this curve can have so many right guesses, or more, with
    /// probability `p`. Where it cannot, such guesses refute the curve at confidence `1 - p`.
    pub(super) fn allows(&self, guesses: &Guesses, p: f64) -> bool {
        let Guesses { canaries, made, right } = *guesses;
        let (canaries, all) = (canaries as f64, made as f64);
        let mut hits = p * right as f64 / canaries;
        let mut misses = p * (made - right) as f64 / canaries;
        for index in (0..right).rev() {
            let index = index as f64;
            let least = misses.max(self.least(hits));
            hits += index / (all - index) * (least - misses);
            misses = least;
            if hits + misses > all / canaries {
                return false;
            }
        }
        true
    }

    /// The least probability of an event on a data set that has this one on a neighbour: by each
    /// point for the event, and for its complement.
    fn least(&self, probability: f64) -> f64 {
        let of = |point: &Point| {
            let factor = point.epsilon.exp();
            let event = (probability - point.delta) / factor;
            event.max(1.0 - point.delta - factor * (1.0 - probability))
        };
        self.0.iter().map(of).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::super::statistics::{binomial, normal_below};
    use super::*;

    /// The curve of one number with standard normal noise that a canary shifts by `shift`.
    fn gaussian(shift: f64) -> Curve {
        let points = (0..60).map(|index| {
            let epsilon = shift * f64::from(index) / 8.0;
            let delta = ringfence_privacy::gaussian::delta(1.0 / shift, epsilon).unwrap();
            Point { epsilon, delta }
        });
        Curve(points.collect())
    }

    #[test]
    fn the_least_probability_is_that_of_the_best_test() {
        // An event of probability 0.3 under N(1, 1) has `Phi(Phi^-1(0.3) - 1)` under N(0, 1).
        let exact = normal_below(-0.524_400_513 - 1.0);
        let found = gaussian(1.0).least(0.3);
        assert!(found <= exact && found > 0.995 * exact, "{found} of {exact}");
        assert_eq!(Curve(vec![Point { epsilon: 1.0, delta: 0.1 }]).least(0.05), 0.0);
    }

    #[test]
    fn one_guess_by_hand() {
        // Randomised response on one coin: right with probability 3/4 at epsilon ln 3, never more.
        let curve = Curve(vec![Point { epsilon: 3_f64.ln(), delta: 0.0 }]);
        let guesses = Guesses { canaries: 1, made: 1, right: 1 };
        assert!(curve.allows(&guesses, 0.7499) && !curve.allows(&guesses, 0.7501));
    }

    #[test]
    fn what_a_mechanism_does_is_allowed_and_what_it_cannot_is_not() {
        // The best guesses about 40 canaries with a shift of 1 each are right with probability
        // `Phi(1/2)`, one by one.
        let law = binomial(40, normal_below(0.5));
        for right in 20..40 {
            let p: f64 = law[right..].iter().sum();
            let guesses = Guesses { canaries: 40, made: 40, right };
            assert!(gaussian(1.0).allows(&guesses, p), "{right}");
        }
        // 39 of 40 have probability 7e-6 there, and with most of the noise gone a good one.
        let guesses = Guesses { canaries: 40, made: 40, right: 39 };
        assert!(!gaussian(1.0).allows(&guesses, 0.05) && gaussian(5.0).allows(&guesses, 0.05));
    }
}
