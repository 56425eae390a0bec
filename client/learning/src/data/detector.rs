//! A detector that is not the image's grid, and values between pixels.

use rand::Rng;
use rand_distr::{Distribution, Normal};

/// What a detector sees of a square image: noise arises on its own grid, of `resolution` pixels
/// for one of the image, and is blurred with the image when that is brought back to its side.
pub(super) fn detect(
    values: &[f32],
    side: usize,
    resolution: f32,
    noise: f32,
    rng: &mut impl Rng,
) -> Vec<f32> {
    let grid = ((side as f32 * resolution).round() as usize).max(8);
    let mut seen = resample(values, side, grid);
    if let Ok(normal) = Normal::new(0.0, noise) {
        seen.iter_mut().for_each(|value| *value += normal.sample(rng));
    }
    resample(&seen, grid, side)
}

/// A square image of another side, by bilinear interpolation. Down to half the side that takes
/// every pixel into account.
fn resample(values: &[f32], from: usize, to: usize) -> Vec<f32> {
    if from == to {
        return values.to_vec();
    }
    let place = |index: usize| (index as f32 + 0.5) * from as f32 / to as f32 - 0.5;
    let pixels = (0..to * to).map(|i| bilinear(values, from, place(i % to), place(i / to)));
    pixels.collect()
}

/// The value of a square image between its pixels, by bilinear interpolation; beyond the border,
/// what stands at it.
pub(crate) fn bilinear(values: &[f32], side: usize, x: f32, y: f32) -> f32 {
    let last = side.saturating_sub(1);
    let place = |at: f32| {
        let at = at.clamp(0.0, last as f32);
        (at as usize, (at as usize + 1).min(last), at.fract())
    };
    let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
    let ((left, right, across), (top, bottom, down)) = (place(x), place(y));
    let at = |x: usize, y: usize| values.get(y * side + x).copied().unwrap_or_default();
    let row = |y: usize| mix(at(left, y), at(right, y), across);
    mix(row(top), row(bottom), down)
}
