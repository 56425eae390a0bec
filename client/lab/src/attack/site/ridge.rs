//! A linear classifier of updates: ridge regression on their likeness to reference updates.

use std::iter::zip;

use crate::attack::terms::dot;

use ringfence_weights::Weights;

/// Weight of the ridge, in mean squares of a reference.
const RIDGE: f64 = 0.1;

/// Learnt from reference updates.
pub(super) struct Ridge {
    /// References, each tensor brought to one length, less the mean of all.
    references: Vec<Vec<f32>>,
    mean: Vec<f32>,
    /// For each kind a factor for each reference.
    factors: Vec<Vec<f64>>,
    /// Values of each tensor.
    tensors: Vec<usize>,
}

impl Ridge {
    /// From updates of this layout, each with its kind below `kinds`.
    pub(super) fn learn(like: &Weights, updates: &[(usize, Vec<f32>)], kinds: usize) -> Self {
        let tensors: Vec<usize> = like.iter().map(|(_, _, values)| values.len()).collect();
        let mut references: Vec<Vec<f32>> =
            updates.iter().map(|(_, values)| brought(values, &tensors)).collect();
        let count = references.len().max(1) as f32;
        let mut mean = vec![0.0; like.len()];
        for reference in &references {
            zip(&mut mean, reference).for_each(|(mean, value)| *mean += value / count);
        }
        references.iter_mut().for_each(|reference| less(reference, &mean));
        let mut likeness: Vec<Vec<f64>> = references
            .iter()
            .map(|one| references.iter().map(|other| dot(one, other)).collect())
            .collect();
        let squares: f64 = likeness.iter().enumerate().map(|(place, row)| row[place]).sum();
        let ridge = RIDGE * (squares / f64::from(count)).max(f64::MIN_POSITIVE);
        likeness.iter_mut().enumerate().for_each(|(place, row)| row[place] += ridge);
        let wanted = |kind: usize| {
            let of = |(own, _): &(usize, Vec<f32>)| f64::from(u8::from(*own == kind));
            let all: Vec<f64> = updates.iter().map(of).collect();
            let share = all.iter().sum::<f64>() / f64::from(count);
            all.into_iter().map(|value| value - share).collect()
        };
        let factors = solve(likeness, (0..kinds).map(wanted).collect());
        Self { references, mean, factors, tensors }
    }

    /// The likeliest kind of an update.
    pub(super) fn kind(&self, update: &[f32]) -> usize {
        let mut own = brought(update, &self.tensors);
        less(&mut own, &self.mean);
        let likeness: Vec<f64> =
            self.references.iter().map(|reference| dot(reference, &own)).collect();
        let score = |factors: &Vec<f64>| zip(factors, &likeness).map(|(a, b)| a * b).sum::<f64>();
        let scores: Vec<f64> = self.factors.iter().map(score).collect();
        let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(0, |(kind, _)| kind)
    }
}

/// Each tensor at one length: none drowns the others.
fn brought(values: &[f32], tensors: &[usize]) -> Vec<f32> {
    let (mut out, mut place) = (Vec::with_capacity(values.len()), 0);
    for count in tensors {
        let own = values.get(place..place + count).unwrap_or_default();
        let length = dot(own, own).sqrt().max(1e-30);
        out.extend(own.iter().map(|value| (f64::from(*value) / length) as f32));
        place += count;
    }
    out
}

fn less(values: &mut [f32], mean: &[f32]) {
    zip(values, mean).for_each(|(value, mean)| *value -= mean);
}

/// `x` with `a x = b` for each `b`, of a symmetric matrix that the ridge makes positive: by
/// elimination, which needs no pivots there.
fn solve(mut a: Vec<Vec<f64>>, mut right: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let size = a.len();
    for step in 0..size {
        let row = a[step].clone();
        for below in step + 1..size {
            let factor = a[below][step] / row[step];
            zip(&mut a[below][step..], &row[step..])
                .for_each(|(value, top)| *value -= factor * top);
            right.iter_mut().for_each(|b| b[below] -= factor * b[step]);
        }
    }
    for b in &mut right {
        for step in (0..size).rev() {
            let known: f64 = zip(&a[step][step + 1..], &b[step + 1..]).map(|(a, x)| a * x).sum();
            b[step] = (b[step] - known) / a[step][step];
        }
    }
    right
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::ChaCha20Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    #[test]
    fn equations_are_solved() {
        let a = vec![vec![4.0, 1.0, 0.0], vec![1.0, 3.0, 1.0], vec![0.0, 1.0, 2.0]];
        // (1, 2, 3) and (0, 1, 0).
        let found = solve(a, vec![vec![6.0, 10.0, 8.0], vec![1.0, 3.0, 1.0]]);
        for (found, expected) in zip(found.iter().flatten(), [1.0, 2.0, 3.0, 0.0, 1.0, 0.0]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn a_direction_is_found_in_noise_whatever_the_tensors_sizes() {
        let shapes = [("a".to_owned(), vec![50]), ("b".to_owned(), vec![400])];
        let like = Weights::from_values(&shapes, vec![0.0; 450]).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let mut update = |kind: usize| -> Vec<f32> {
            let noise = StandardNormal.sample_iter(&mut rng).take(450);
            let noise: Vec<f32> = noise.collect();
            // What differs is in the smaller tensor; the other one is a thousand times as long.
            let of = |(place, noise): (usize, f32)| match place {
                0..50 => 1e-3 * (noise + if place % 3 == kind { 2.0 } else { 0.0 }),
                _ => noise,
            };
            noise.into_iter().enumerate().map(of).collect()
        };
        let references: Vec<(usize, Vec<f32>)> =
            (0..60).map(|number| (number % 3, update(number % 3))).collect();
        let ridge = Ridge::learn(&like, &references, 3);
        let right = (0..60).filter(|number| ridge.kind(&update(number % 3)) == number % 3).count();
        assert!(right >= 57, "{right}");
    }
}
