//! How near an image is to another one: mean square error, PSNR, SSIM and GMSD, of grey values in
//! [0, 1].

use serde::{Deserialize, Serialize};

/// Mean square errors below this count as this: 120 dB. A 32-bit image is no nearer to itself
/// after a gradient or two.
const LEAST_ERROR: f64 = 1e-12;

/// Side of SSIM's window and the deviation of its weights, in pixels, as in the paper.
const WINDOW: usize = 11;
const DEVIATION: f64 = 1.5;
/// SSIM's constants `(0.01 L)^2` and `(0.03 L)^2` at `L = 1`.
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;

/// GMSD's constant, 170 on a scale to 255, as in the paper.
const C: f64 = 170.0 / (255.0 * 255.0);

/// How near an image is to the true one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ImageScore {
    /// Mean of the squared differences of grey values; 0 is equal.
    pub(super) mse: f64,
    /// Peak signal-to-noise ratio in dB, of a peak of 1: `10 log10(1 / mse)`, at most 120.
    pub(super) psnr: f64,
    /// Structural similarity, in [-1, 1]; 1 is equal.
    pub(super) ssim: f64,
    /// Gradient magnitude similarity deviation; 0 is equal. It stands for a perceptual distance:
    /// people's judgements follow it more closely than SSIM, and it needs no trained network.
    pub(super) gmsd: f64,
}

impl ImageScore {
    /// The score of square images of equal size.
    pub(super) fn of(found: &[f32], truth: &[f32]) -> Self {
        let mse = mse(found, truth);
        Self { mse, psnr: psnr(mse), ssim: ssim(found, truth), gmsd: gmsd(found, truth) }
    }
}

/// Mean of the squared differences.
pub(super) fn mse(one: &[f32], other: &[f32]) -> f64 {
    let squares = one.iter().zip(other).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    squares.sum::<f64>() / one.len().max(1) as f64
}

fn psnr(mse: f64) -> f64 {
    -10.0 * mse.max(LEAST_ERROR).log10()
}

/// Mean structural similarity over all windows that lie on the image (Wang, Bovik, Sheikh and
/// Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004):
/// weights of a normal distribution on 11 x 11 pixels, variances over all weights. Of images smaller
/// than a window it is not defined: NaN.
pub(super) fn ssim(one: &[f32], other: &[f32]) -> f64 {
    let side = one.len().isqrt();
    if side < WINDOW || side * side != one.len() || one.len() != other.len() {
        return f64::NAN;
    }
    let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let (x, y) = (wide(one), wide(other));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<f64>>();
    let [mx, my, xx, yy, xy] =
        [x.clone(), y.clone(), product(&x, &x), product(&y, &y), product(&x, &y)]
            .map(|values| blurred(&values, side));
    let mut sum = 0.0;
    for place in 0..mx.len() {
        let (a, b) = (mx[place], my[place]);
        let (va, vb, cov) = (xx[place] - a * a, yy[place] - b * b, xy[place] - a * b);
        let similar = (2.0 * a * b + C1) * (2.0 * cov + C2);
        sum += similar / ((a * a + b * b + C1) * (va + vb + C2));
    }
    sum / mx.len() as f64
}

/// Gradient magnitude similarity deviation (Xue, Zhang, Mou and Bovik, "Gradient Magnitude Similarity
/// Deviation: A Highly Efficient Perceptual Image Quality Index", 2014): how unevenly edges differ,
/// the standard deviation of `(2 a b + C) / (a^2 + b^2 + C)` over all 3 x 3 windows that lie on the
/// image, `a` and `b` the lengths of Prewitt's gradients. Images are not halved first, as the paper
/// does with large ones. Of images without a window it is not defined: NaN.
fn gmsd(one: &[f32], other: &[f32]) -> f64 {
    let side = one.len().isqrt();
    if side < 3 || side * side != one.len() || one.len() != other.len() {
        return f64::NAN;
    }
    let similar = edges(one, side).zip(edges(other, side));
    let similar: Vec<f64> = similar.map(|(a, b)| (2.0 * a * b + C) / (a * a + b * b + C)).collect();
    let count = similar.len() as f64;
    let mean = similar.iter().sum::<f64>() / count;
    (similar.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// The lengths of Prewitt's gradients, each side's weights a third.
fn edges(image: &[f32], side: usize) -> impl Iterator<Item = f64> {
    let at = move |y: usize, x: usize| f64::from(image[y * side + x]);
    let inner = 1..side - 1;
    inner.clone().flat_map(move |y| inner.clone().map(move |x| (y, x))).map(move |(y, x)| {
        let across = |y: usize| at(y, x + 1) - at(y, x - 1);
        let down = |x: usize| at(y + 1, x) - at(y - 1, x);
        let across = (across(y - 1) + across(y) + across(y + 1)) / 3.0;
        let down = (down(x - 1) + down(x) + down(x + 1)) / 3.0;
        across.hypot(down)
    })
}

/// Weighted means over all windows on the image, rows first.
fn blurred(values: &[f64], side: usize) -> Vec<f64> {
    let middle = (WINDOW / 2) as f64;
    let weight = |tap: usize| (-(tap as f64 - middle).powi(2) / (2.0 * DEVIATION.powi(2))).exp();
    let weights: Vec<f64> = (0..WINDOW).map(weight).collect();
    let total: f64 = weights.iter().sum();
    let mean = |window: &mut dyn Iterator<Item = f64>| {
        window.zip(&weights).map(|(value, weight)| value * weight).sum::<f64>() / total
    };
    let across = side + 1 - WINDOW;
    let rows = values.chunks_exact(side).flat_map(|row| row.windows(WINDOW));
    let rows: Vec<f64> = rows.map(|window| mean(&mut window.iter().copied())).collect();
    let mut out = Vec::with_capacity(across * across);
    for y in 0..across {
        for x in 0..across {
            out.push(mean(&mut (y..y + WINDOW).map(|row| rows[row * across + x])));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        one: Vec<f32>,
        other: Vec<f32>,
        psnr: f64,
        ssim: f64,
        gmsd: f64,
    }

    #[test]
    fn scores_are_those_of_an_independent_program() {
        // Made by scikit-image and SciPy: see the file's own words.
        let file = include_str!("score/scikit_image.json");
        let file: serde_json::Value = serde_json::from_str(file).unwrap();
        let cases: Vec<Case> = serde_json::from_value(file["cases"].clone()).unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let score = ImageScore::of(&case.one, &case.other);
            assert!((score.psnr - case.psnr).abs() < 1e-4, "{} {}", score.psnr, case.psnr);
            assert!((score.ssim - case.ssim).abs() < 1e-6, "{} {}", score.ssim, case.ssim);
            assert!((score.gmsd - case.gmsd).abs() < 1e-6, "{} {}", score.gmsd, case.gmsd);
        }
    }

    #[test]
    fn equal_images_have_the_best_score_and_small_ones_no_similarity() {
        let image: Vec<f32> = (0..256).map(|i| (i % 17) as f32 / 17.0).collect();
        let score = ImageScore::of(&image, &image);
        assert_eq!((score.mse, score.psnr), (0.0, 120.0));
        assert!((score.ssim - 1.0).abs() < 1e-12 && score.gmsd < 1e-12, "{score:?}");
        assert!(ssim(&image[..100], &image[..100]).is_nan());
        assert!(gmsd(&image[..4], &image[..4]).is_nan());
        let moved: Vec<f32> = image.iter().map(|value| value + 0.1).collect();
        assert!((ImageScore::of(&moved, &image).psnr - 20.0).abs() < 1e-4);
    }
}
