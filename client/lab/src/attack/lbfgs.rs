//! Limited-memory BFGS (Liu and Nocedal, "On the Limited Memory BFGS Method for Large Scale
//! Optimization", 1989), as Deep Leakage from Gradients uses it.

use std::collections::VecDeque;

/// Pairs that are remembered, as in the paper's code (PyTorch's default).
const HISTORY: usize = 100;
/// A step must fall by this share of what the slope promises (Armijo).
const FALL: f64 = 1e-4;
/// Halvings of a step before the search ends.
const HALVINGS: usize = 25;

/// Where a search ended.
pub(super) struct Minimum {
    pub(super) place: Vec<f64>,
    pub(super) value: f64,
}

/// Descends from `start` until `steps` steps are done, no step falls any more, or the value is at
/// most `enough`. `function` gives the value and the gradient.
pub(super) fn minimise(
    start: Vec<f64>,
    (steps, enough): (usize, f64),
    mut function: impl FnMut(&[f64]) -> (f64, Vec<f64>),
) -> Minimum {
    let mut place = start;
    let (mut value, mut gradient) = function(&place);
    let mut pairs: VecDeque<Pair> = VecDeque::new();
    for _ in 0..steps {
        if value <= enough || !value.is_finite() {
            break;
        }
        let mut direction = direction(&gradient, &pairs);
        let mut slope = product(&direction, &gradient);
        if slope >= 0.0 {
            pairs.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = -product(&gradient, &gradient);
        }
        // Without a history nothing says how long a step is.
        let length = product(&gradient, &gradient).sqrt();
        let mut step = if pairs.is_empty() { (1.0 / length).min(1.0) } else { 1.0 };
        let mut found = None;
        for _ in 0..HALVINGS {
            let next: Vec<f64> = place.iter().zip(&direction).map(|(p, d)| p + step * d).collect();
            let (next_value, next_gradient) = function(&next);
            if next_value <= value + FALL * step * slope {
                found = Some((next, next_value, next_gradient));
                break;
            }
            step /= 2.0;
        }
        let Some((next, next_value, next_gradient)) = found else {
            if pairs.is_empty() {
                break;
            }
            pairs.clear();
            continue;
        };
        let moved: Vec<f64> = next.iter().zip(&place).map(|(a, b)| a - b).collect();
        let bent: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curved = product(&moved, &bent);
        if curved > 1e-12 * product(&bent, &bent).sqrt() * product(&moved, &moved).sqrt() {
            pairs.push_back(Pair { moved, bent, inverse: 1.0 / curved });
            if pairs.len() > HISTORY {
                pairs.pop_front();
            }
        }
        (place, value, gradient) = (next, next_value, next_gradient);
    }
    Minimum { place, value }
}

struct Pair {
    moved: Vec<f64>,
    bent: Vec<f64>,
    inverse: f64,
}

/// Minus the gradient, by the curvature that the pairs show (the two loops of the paper).
fn direction(gradient: &[f64], pairs: &VecDeque<Pair>) -> Vec<f64> {
    let mut out: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::new();
    for pair in pairs.iter().rev() {
        let share = pair.inverse * product(&pair.moved, &out);
        add(&mut out, &pair.bent, -share);
        shares.push(share);
    }
    if let Some(last) = pairs.back() {
        let scale = 1.0 / (last.inverse * product(&last.bent, &last.bent));
        out.iter_mut().for_each(|value| *value *= scale);
    }
    for (pair, share) in pairs.iter().zip(shares.into_iter().rev()) {
        let other = pair.inverse * product(&pair.bent, &out);
        add(&mut out, &pair.moved, share - other);
    }
    out
}

fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], what: &[f64], factor: f64) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += factor * what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rosenbrocks_valley_is_walked_to_its_end() {
        let valley = |p: &[f64]| {
            let (x, y) = (p[0], p[1]);
            let value = (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
            let across = y - x * x;
            (value, vec![-2.0 * (1.0 - x) - 400.0 * x * across, 200.0 * across])
        };
        let found = minimise(vec![-1.2, 1.0], (200, 1e-20), valley);
        assert!(found.value < 1e-16, "{}", found.value);
        assert!((found.place[0] - 1.0).abs() < 1e-7 && (found.place[1] - 1.0).abs() < 1e-7);
    }
}
