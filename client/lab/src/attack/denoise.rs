//! An attacker who knows how noise on images is made: he makes it on images that he knows, and learns
//! to take it away again.

use anyhow::ensure;
use ringfence_learning::{Sample, model_input};

use super::answer::Answer;
use super::terms::{Public, moments};

/// Images that he learns from.
pub(super) const IMAGES: usize = 48;
/// Half the side of the square around a pixel that he looks at.
const REACH: isize = 3;
/// Pull of the regression to 0, as a share of the mean square of what it is made from.
const RIDGE: f64 = 1e-4;

/// A regression of each pixel's true value on what is seen around it, on its rank, and on the mean
/// image and its surroundings there. All images are as models get them.
#[derive(Clone, Debug)]
pub(super) struct Denoiser {
    factors: Vec<f64>,
}

impl Denoiser {
    /// Learns from images and the same images with noise.
    ///
    /// # Errors
    /// Without images, or when one cannot be used.
    pub(super) fn fit(clean: &[Sample], noisy: &[Sample], public: &Public) -> anyhow::Result<Self> {
        ensure!(!clean.is_empty(), "the attacker knows no image to learn the defence's noise from");
        let count = features(&[0.0; 4], &[0.0; 4], 0).len();
        let (mut square, mut right) = (vec![0.0; count * count], vec![0.0; count]);
        for (clean, noisy) in clean.iter().zip(noisy) {
            let (truth, seen) = (model_input(clean)?, Seen::new(&model_input(noisy)?));
            for (place, truth) in truth.iter().enumerate() {
                let row = seen.features(&public.mean, place);
                for (i, a) in row.iter().enumerate() {
                    right[i] += a * f64::from(*truth);
                    let line = &mut square[i * count..][..count];
                    line.iter_mut().zip(&row).for_each(|(sum, b)| *sum += a * b);
                }
            }
        }
        let trace: f64 = (0..count).map(|i| square[i * count + i]).sum();
        (0..count).for_each(|i| square[i * count + i] += RIDGE * trace / count as f64);
        Ok(Self { factors: solved(square, right) })
    }

    /// What is left of an image without the noise, brought to mean 0 and variance 1.
    pub(super) fn apply(&self, seen: &[f32], public: &Public) -> Vec<f32> {
        let seen_all = Seen::new(seen);
        let value = |place: usize| -> f64 {
            let row = seen_all.features(&public.mean, place);
            row.iter().zip(&self.factors).map(|(a, factor)| a * factor).sum()
        };
        let found: Vec<f32> = (0..seen.len()).map(|place| value(place) as f32).collect();
        let (mean, variance) = moments(&found);
        let deviation = variance.sqrt().max(1e-6);
        found.iter().map(|value| ((f64::from(*value) - mean) / deviation) as f32).collect()
    }

    /// An answer with what is left of its images without the noise beside them. Where the
    /// attacker thought that he had found nothing, he looks again: with this noise an image is rougher
    /// than images are. `private`: there is other noise, too, and he does not.
    pub(super) fn aware(&self, answer: Answer, private: bool, public: &Public) -> Answer {
        let Answer { mut images, made } = answer;
        if images.is_empty() && !private {
            let again = made.iter().filter(|image| {
                let (mean, variance) = moments(image);
                mean.abs() < 0.1 && (variance - 1.0).abs() < 0.1
            });
            images.extend(again.cloned().collect::<Vec<_>>());
        }
        let clean: Vec<Vec<f32>> = images.iter().map(|image| self.apply(image, public)).collect();
        // Half of the way: what an attack rebuilds badly is no noise of the defence.
        let half = images.iter().zip(&clean);
        let half: Vec<Vec<f32>> = half
            .map(|(image, clean)| image.iter().zip(clean).map(|(a, b)| (a + b) / 2.0).collect())
            .collect();
        images.extend(clean);
        images.extend(half);
        Answer { images, made }
    }
}

/// An image, and the rank of each of its values from 0 to 1.
struct Seen {
    values: Vec<f32>,
    ranks: Vec<f32>,
}

impl Seen {
    fn new(values: &[f32]) -> Self {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let mut ranks = vec![0.0; values.len()];
        for (rank, place) in order.into_iter().enumerate() {
            ranks[place] = rank as f32 / values.len().max(1) as f32;
        }
        Self { values: values.to_vec(), ranks }
    }

    fn features(&self, mean: &[f32], place: usize) -> Vec<f64> {
        let mut row = features(&self.values, mean, place);
        let rank = self.ranks.get(place).map_or(0.0, |rank| f64::from(*rank));
        if let Some(last) = row.last_mut() {
            *last = rank;
        }
        row
    }
}

/// What is seen around a pixel and at the same place of the mean image, their moments, and a 1; the
/// last is left for the rank.
fn features(seen: &[f32], mean: &[f32], place: usize) -> Vec<f64> {
    let side = seen.len().isqrt().max(1) as isize;
    let (x, y) = (place as isize % side, place as isize / side);
    let at = |image: &[f32], dx: isize, dy: isize| {
        let (x, y) = ((x + dx).clamp(0, side - 1), (y + dy).clamp(0, side - 1));
        image.get((y * side + x) as usize).map_or(0.0, |value| f64::from(*value))
    };
    let around = |image: &[f32], reach: isize| -> Vec<f64> {
        let rows = -reach..=reach;
        rows.flat_map(|dy| (-reach..=reach).map(move |dx| (dx, dy)))
            .map(|(dx, dy)| at(image, dx, dy))
            .collect()
    };
    let mut row = around(seen, REACH);
    let own = at(seen, 0, 0);
    let expected = at(mean, 0, 0);
    let spread = |reach: isize| {
        let values = around(seen, reach);
        let count = values.len() as f64;
        let middle = values.iter().sum::<f64>() / count;
        let square = values.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / count;
        (middle, square.sqrt())
    };
    let mut near = around(seen, 1);
    near.sort_by(f64::total_cmp);
    let median = near.get(near.len() / 2).copied().unwrap_or(own);
    for (middle, deviation) in [spread(1), spread(2)] {
        row.extend([deviation, deviation * own, deviation * middle, deviation * deviation]);
    }
    row.extend(around(mean, 1));
    row.extend([median, own * own, own.powi(3), own * expected, expected * expected, 1.0, 0.0]);
    row
}

/// The solution of `square x = right`, by elimination with the largest pivots; the matrix has all of its
/// rows one after the other.
fn solved(mut square: Vec<f64>, mut right: Vec<f64>) -> Vec<f64> {
    let count = right.len();
    for step in 0..count {
        let size = |row: &usize| square[row * count + step].abs();
        let pivot = (step..count).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(step);
        for column in 0..count {
            square.swap(step * count + column, pivot * count + column);
        }
        right.swap(step, pivot);
        let divisor = square[step * count + step];
        if divisor.abs() < 1e-12 {
            continue;
        }
        for row in step + 1..count {
            let factor = square[row * count + step] / divisor;
            for column in step..count {
                square[row * count + column] -= factor * square[step * count + column];
            }
            right[row] -= factor * right[step];
        }
    }
    let mut found = vec![0.0; count];
    for step in (0..count).rev() {
        let known: f64 =
            (step + 1..count).map(|column| square[step * count + column] * found[column]).sum();
        let divisor = square[step * count + step];
        found[step] = if divisor.abs() < 1e-12 { 0.0 } else { (right[step] - known) / divisor };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        let found = solved(vec![0.0, 2.0, 1.0, 1.0], vec![4.0, 5.0]);
        assert!((found[0] - 3.0).abs() < 1e-12 && (found[1] - 2.0).abs() < 1e-12);
    }

    #[test]
    fn noise_on_dark_pixels_is_learnt_and_taken_away() {
        let image = |number: usize, noise: f32| {
            let value = |i: usize| {
                let wave = ((i / 16) as f32 * 0.5 + (i % 16) as f32 * 0.3 + number as f32).sin();
                let bright = 0.5 + 0.4 * wave;
                bright + if bright < 0.3 { noise } else { 0.0 }
            };
            let image = (0..256).map(value).collect();
            let (label, mask, own_mask) = (None, None, None);
            Sample { name: "w".into(), group: "g".into(), image, label, mask, own_mask }
        };
        let all = |noise| (0..12).map(|number| image(number, noise)).collect::<Vec<_>>();
        let (clean, noisy) = (all(0.0), all(0.2));
        let public = Public::new(&clean.iter().collect::<Vec<_>>()).unwrap();
        let denoiser = Denoiser::fit(&clean[..10], &noisy[..10], &public).unwrap();
        let truth = model_input(&clean[11]).unwrap();
        let seen = model_input(&noisy[11]).unwrap();
        let error = |found: &[f32]| super::super::score::mse(found, &truth);
        let found = denoiser.apply(&seen, &public);
        assert!(error(&found) < 0.5 * error(&seen), "{} {}", error(&found), error(&seen));
        let answer = Answer { images: vec![seen.clone()], made: None };
        let aware = denoiser.aware(answer, false, &public);
        assert_eq!(aware.images.len(), 3);
        assert!(error(aware.nearest(&truth, &public)) <= error(&found));
    }
}
