//! Label inference: the classes of the images behind a gradient, from that of the last layer's bias.
//!
//! Of one image `dL/db_c = p_c - y_c`, which is negative for its class alone (Zhao, Mopuri and Bilen,
//! "iDLG", 2020). Of `B` images it is the mean of that, so that `B (p_c - dL/db_c)` counts those of the
//! class, `p` the mean output, for which other images of the kind serve (as Wainakh et al.,
//! "User-Level Label Leakage from Gradients in Federated Learning", 2022).

use anyhow::ensure;
use ringfence_weights::Weights;

/// The gradient of the last layer's bias.
///
/// # Errors
/// When the model has no such layer, or what is seen is of another layout.
pub(super) fn last_bias<'a>(weights: &Weights, seen: &'a [f32]) -> anyhow::Result<&'a [f32]> {
    ensure!(
        weights.len() == seen.len(),
        "expected an update of the attacked model's layout, {} values, found {}: attack the model that the update is of",
        weights.len(),
        seen.len()
    );
    let mut place = 0;
    for (name, _, values) in weights.iter() {
        if name == "head.bias" && values.len() > 1 {
            return Ok(seen.get(place..place + values.len()).unwrap_or_default());
        }
        place += values.len();
    }
    anyhow::bail!(
        "the attack labels expected a classifier whose last layer has a bias for each class; this model has none: take --attack inverting-segmentation"
    )
}

/// The class of the one image that a gradient is of.
pub(super) fn of_one(bias: &[f32]) -> usize {
    let least = bias.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
    least.map_or(0, |(class, _)| class)
}

/// How many of `images` images are of each class, by the gradient and the mean output.
pub(super) fn counts(bias: &[f32], output: &[f64], images: usize) -> Vec<usize> {
    let expected = bias.iter().zip(output).map(|(gradient, share)| {
        let count = images as f64 * (share - f64::from(*gradient));
        if count.is_finite() { count.clamp(0.0, images as f64) } else { 0.0 }
    });
    let expected: Vec<f64> = expected.collect();
    // Whole numbers that add up to all: the largest remainders are rounded up.
    let total = expected.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let scaled: Vec<f64> = expected.iter().map(|count| count * images as f64 / total).collect();
    let mut counts: Vec<usize> = scaled.iter().map(|count| count.floor() as usize).collect();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by(|a, b| scaled[*b].fract().total_cmp(&scaled[*a].fract()));
    let missing = images.saturating_sub(counts.iter().sum());
    order.iter().cycle().take(missing).for_each(|class| counts[*class] += 1);
    counts
}

/// How many images two counts agree on.
pub(super) fn agreed(one: &[usize], other: &[usize]) -> usize {
    one.iter().zip(other).map(|(a, b)| a.min(b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_follow_the_gradient() {
        // Ten images, output 0.2, 0.5, 0.3; 5, 2 and 3 of the classes.
        let output = [0.2, 0.5, 0.3];
        let bias = [0.2 - 0.5, 0.5 - 0.2, 0.3 - 0.3_f32];
        assert_eq!(counts(&bias, &output, 10), [5, 2, 3]);
        assert_eq!(of_one(&bias), 0);
        assert_eq!(counts(&[9.0, f32::NAN, -9.0], &output, 4), [0, 0, 4]);
        assert_eq!(counts(&[9.0, 9.0, 9.0], &output, 4).iter().sum::<usize>(), 4);
        assert_eq!(agreed(&[5, 2, 3], &[4, 4, 2]), 8);
    }
}
