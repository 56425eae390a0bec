//! The law of a sum of losses around the epsilon sought, by one tilted FFT.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

use super::cumulants::Composition;
use super::losses::Losses;
use crate::error::Error;

/// Most points of the FFT.
const MOST_POINTS: f64 = (1 << 21) as f64;
/// Grid points are counted exactly up to here, and their losses told apart.
const MOST_PLACE: f64 = (1u64 << 52) as f64;
/// Of the tilted law this much may lie outside the window, on each side. It is wrapped to the other
/// side, where it adds to delta; the tilt makes much of what is wrapped downwards, so that it must be
/// little for a tight result.
const OUTSIDE: f64 = 1e-14;
/// How often a tilt that turned out too strong is halved.
const HALVINGS: usize = 50;

/// An epsilon, and with what it was found.
pub(super) struct Found {
    pub(super) epsilon: f64,
    /// How fast delta falls there: `-d ln(delta) / d epsilon`.
    pub(super) slope: f64,
    /// The grid's step.
    pub(super) step: f64,
}

/// What a grid gives.
pub(super) enum Outcome {
    Found(Found),
    /// The window has too many points, by this factor.
    TooLarge(f64),
}

/// The least epsilon whose delta, with all charges, is small enough.
///
/// `charge` is the part of delta that the losses above the window may take.
pub(super) fn least_epsilon(sum: &Composition, delta: f64, charge: f64) -> Result<Outcome, Error> {
    let step = sum.step;
    let top = sum.upper(charge * delta);
    // More than this a grid cannot tell, and what changes by more from one point to the next leaves
    // the range of numbers.
    let mut tilt = sum.best_tilt(delta).min(500.0 / step);
    if top <= 0.0 && charge + sum.infinite() / delta <= 1.0 {
        return Ok(Outcome::Found(Found { epsilon: 0.0, slope: 0.0, step }));
    }
    for _ in 0..HALVINGS {
        let first = (sum.tilted_lower(tilt, OUTSIDE) / step).floor();
        let last = (sum.tilted_upper(tilt, OUTSIDE).max(top) / step).ceil() + 1.0;
        let points = last - first + 1.0;
        if points > MOST_POINTS {
            return Ok(Outcome::TooLarge(points / MOST_POINTS));
        }
        // Also refuses what is no number.
        if !((1.0..=MOST_POINTS).contains(&points) && first.abs().max(last.abs()) <= MOST_PLACE) {
            break;
        }
        let window = Window::new(sum, tilt, first as i64, (points as usize).next_power_of_two());
        if !window.is_law() {
            break;
        }
        match window.read(delta, charge + sum.infinite() / delta) {
            Reading::Epsilon { epsilon, slope } => {
                return Ok(Outcome::Found(Found { epsilon, slope, step }));
            }
            // Small enough already at the window's lower end: look further down.
            Reading::Below => tilt /= 2.0,
            Reading::Never => break,
        }
    }
    Err(Error::NotResolved { delta, times: sum.times() })
}

/// The tilted law of the sum on the grid points from `first` on.
struct Window {
    first: i64,
    step: f64,
    tilt: f64,
    /// `ln E[exp(tilt * sum)]`.
    ln_moment: f64,
    law: Vec<f64>,
    /// Bound of the 2-norm of the law's errors.
    error: f64,
    /// Bound of the relative error of moments and tilted masses.
    relative: f64,
}

/// What a window says about an epsilon.
enum Reading {
    Epsilon {
        epsilon: f64,
        slope: f64,
    },
    /// It lies below the window.
    Below,
    /// Charges and round-off alone exceed delta.
    Never,
}

impl Window {
    fn new(sum: &Composition, tilt: f64, first: i64, points: usize) -> Self {
        if let [(losses, 1)] = sum.parts.as_slice() {
            return Self::of_one(losses, sum.step, tilt, first, points);
        }
        let mut planner = FftPlanner::new();
        let mut product = vec![Complex::new(1.0, 0.0); points];
        let mut norms = 0.0;
        let mut ln_moment = 0.0;
        for (losses, times) in &sum.parts {
            let ln_one = losses.ln_moment(tilt, sum.step);
            let mut law = folded(losses, sum.step, tilt, ln_one, points);
            norms += *times as f64 * norm(&law);
            ln_moment += *times as f64 * ln_one;
            planner.plan_fft_forward(points).process(&mut law);
            for (factor, value) in product.iter_mut().zip(&law) {
                *factor *= power(*value, *times);
            }
        }
        planner.plan_fft_inverse(points).process(&mut product);
        let law = unfolded(&product, first, 1.0 / points as f64);
        // An FFT's error is at most log2(points) * c u of its 2-norm (Higham 2002, theorem 24.2; c u
        // covers the roots of unity). Factors are at most 1, so that each release's error enters once
        // for every time; products and powers add some units a time.
        let unit = f64::EPSILON * 8.0 * (points as f64).log2().max(1.0);
        let own = law.iter().map(|mass| mass * mass).sum::<f64>().sqrt();
        let error = unit * (norms + (1.0 + sum.times() / 8.0) * own);
        let relative = 1e-9 + 1e-13 * sum.times();
        Self { first, step: sum.step, tilt, ln_moment, law, error, relative }
    }

    /// Of one release there is nothing to convolve, and no round-off to charge.
    fn of_one(losses: &Losses, step: f64, tilt: f64, first: i64, points: usize) -> Self {
        let ln_moment = losses.ln_moment(tilt, step);
        let law = unfolded(&folded(losses, step, tilt, ln_moment, points), first, 1.0);
        Self { first, step, tilt, ln_moment, law, error: 0.0, relative: 1e-9 }
    }

    /// Whether the law has the mass 1, but for the errors that are charged: whatever destroyed it, no
    /// bound comes of it then.
    fn is_law(&self) -> bool {
        let mass: f64 = self.law.iter().sum();
        let allowed = self.relative + self.error * (self.law.len() as f64).sqrt();
        // What is no number is none.
        (mass - 1.0).abs() <= allowed && self.ln_moment.is_finite()
    }

    /// Walks down from the window's upper end as long as delta is small enough.
    ///
    /// With the tilted masses `m` above a grid point `e`, and in units of `exp(K - tilt e)`:
    /// `delta(e) = D = sum of exp(-tilt (l-e)) (1 - exp(e-l)) m(l)`; `B`, the same sum of
    /// `exp(-(tilt+1) (l-e)) m(l)`, says how it changes between grid points.
    fn read(&self, delta: f64, charges: f64) -> Reading {
        let Self { step, tilt, .. } = *self;
        let (fall, fall_more) = ((-tilt * step).exp(), (-(tilt + 1.0) * step).exp());
        let part = -(-step).exp_m1();
        let error = self.error * self.weights_norm();
        // What D may be at a grid point, in its units.
        let allowed =
            |epsilon: f64| (1.0 - charges) * (delta.ln() - self.ln_moment + tilt * epsilon).exp();
        let (mut d, mut b) = (0.0, 0.0);
        for (at, mass) in self.law.iter().enumerate().rev() {
            let epsilon = (self.first + at as i64) as f64 * step;
            let below = fall * (d + part * b);
            let allowed_here = allowed(epsilon);
            // Where both have left the range of numbers, they cannot be compared: look no further.
            let is_lost = allowed_here == 0.0 && b > 0.0;
            // What is no number is not small enough.
            let is_enough = below * (1.0 + self.relative) + error <= allowed_here;
            if is_lost || !is_enough {
                if b == 0.0 {
                    return Reading::Never;
                }
                // Between this point and the one above, in the upper one's units.
                let above = epsilon + step;
                let free = (allowed(above) - error / fall) / (1.0 + self.relative) - d;
                // What is not a number gives nothing: epsilon is then the upper point.
                let share = if free > 0.0 { (free / b).min(part) } else { 0.0 };
                let epsilon = (above + (-share).ln_1p()).max(0.0);
                return Reading::Epsilon { epsilon, slope: b * (1.0 - share) / (d + share * b) };
            }
            if epsilon <= 0.0 {
                return Reading::Epsilon { epsilon: 0.0, slope: 0.0 };
            }
            (d, b) = (below, mass + fall_more * b);
        }
        Reading::Below
    }

    /// The 2-norm of the weights with which the law's masses enter `D`.
    fn weights_norm(&self) -> f64 {
        let mut sum = 0.0;
        for at in 1..self.law.len() {
            let above = at as f64 * self.step;
            let weight = (-self.tilt * above).exp() * -(-above).exp_m1();
            sum += weight * weight;
            // Past the maximum, at most 1/tilt above, they fall geometrically.
            if above * self.tilt > 60.0 {
                break;
            }
        }
        sum.sqrt()
    }
}

/// A release's tilted law, wrapped around.
fn folded(
    losses: &Losses,
    step: f64,
    tilt: f64,
    ln_moment: f64,
    points: usize,
) -> Vec<Complex<f64>> {
    let mut law = vec![Complex::new(0.0, 0.0); points];
    for (index, mass) in (losses.first..).zip(&losses.masses) {
        let at = index.rem_euclid(points as i64) as usize;
        if let Some(place) = law.get_mut(at) {
            place.re += mass * (tilt * (index as f64 * step) - ln_moment).exp();
        }
    }
    law
}

/// The law from `first` on. What is below 0 is round-off.
fn unfolded(values: &[Complex<f64>], first: i64, scale: f64) -> Vec<f64> {
    let points = values.len() as i64;
    let mut law: Vec<f64> = values.iter().map(|value| (value.re * scale).max(0.0)).collect();
    law.rotate_left(first.rem_euclid(points) as usize);
    law
}

fn norm(values: &[Complex<f64>]) -> f64 {
    values.iter().map(Complex::norm_sqr).sum::<f64>().sqrt()
}

/// By repeated squaring.
fn power(mut base: Complex<f64>, mut exponent: u64) -> Complex<f64> {
    let mut result = Complex::new(1.0, 0.0);
    while exponent > 0 {
        if exponent % 2 == 1 {
            result *= base;
        }
        base *= base;
        exponent /= 2;
    }
    result
}
