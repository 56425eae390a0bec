//! Linear-layer inversion: of a dense layer `z = W x + b`, `dL/dW_i = dL/dz_i x` and
//! `dL/db_i = dL/dz_i`, so that the image is the quotient (Phong et al., "Privacy-Preserving Deep
//! Learning via Additively Homomorphic Encryption", 2018).

use anyhow::ensure;
use ringfence_weights::Weights;

use super::answer::Answer;
use super::observe::Seen;
use super::terms::{Public, moments};

/// What is seen of a dense first layer.
pub(super) struct FirstLayer<'a> {
    /// `[hidden, pixels]`.
    kernel: &'a [f32],
    /// `[hidden]`.
    bias: &'a [f32],
    pixels: usize,
}

impl<'a> FirstLayer<'a> {
    /// # Errors
    /// When the model's first layer is not dense, or the values are not as many as the model's.
    pub(super) fn of(weights: &Weights, seen: &'a [f32]) -> anyhow::Result<Self> {
        ensure!(
            weights.len() == seen.len(),
            "expected an update of the attacked model's layout, {} values, found {}: attack the model that the update is of",
            weights.len(),
            seen.len()
        );
        let (mut place, mut kernel, mut bias) = (0, None, None);
        for (name, shape, values) in weights.iter() {
            let found = seen.get(place..place + values.len()).unwrap_or_default();
            match (name, shape) {
                ("hidden.kernel", [_, pixels]) => kernel = Some((found, *pixels)),
                ("hidden.bias", _) => bias = Some(found),
                // What is before it looks at images, and this layer does not.
                (name, _) if name.starts_with("block") || name.starts_with("stem") => {
                    kernel = None;
                    break;
                }
                _ => {}
            }
            place += values.len();
        }
        match (kernel, bias) {
            (Some((kernel, pixels)), Some(bias)) => Ok(Self { kernel, bias, pixels }),
            _ => anyhow::bail!(
                "the attacks linear, imprint and medleak expected a model with a dense first layer and its bias (dense); this one begins with a convolution: take --attack inverting"
            ),
        }
    }

    /// Hidden units: gradients of kernel and bias.
    pub(super) fn units(&self) -> impl Iterator<Item = (&'a [f32], f32)> {
        self.kernel.chunks_exact(self.pixels.max(1)).zip(self.bias.iter().copied())
    }
}

/// The image that a gradient of a kernel and of a bias is of, if the bias has any.
pub(super) fn quotient(kernel: &[f32], bias: f32) -> Option<Vec<f32>> {
    let image = || kernel.iter().map(|value| value / bias).collect::<Vec<f32>>();
    (bias.abs() > f32::MIN_POSITIVE).then(image).filter(|all| all.iter().all(|v| v.is_finite()))
}

/// Images from what is seen of a dense first layer.
///
/// In a sum, a unit that was active for one image alone gives that image; the others give mixtures.
/// One image brought to mean 0 and variance 1 is told from a mixture by its variance.
///
/// # Errors
/// As [`FirstLayer::of`].
pub(super) fn invert(weights: &Weights, seen: &Seen, public: &Public) -> anyhow::Result<Answer> {
    let layer = FirstLayer::of(weights, &seen.values)?;
    if seen.noise > 0.0 {
        return Ok(under_noise(&layer, seen.noise, public));
    }
    // The strongest units first: rounding takes least of them.
    let mut units: Vec<(&[f32], f32)> = layer.units().collect();
    units.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    let candidates = units.into_iter().filter_map(|(kernel, bias)| quotient(kernel, bias));
    let candidates: Vec<Vec<f32>> = candidates.collect();
    let least_mixed = candidates.iter().filter(|image| {
        let (mean, variance) = moments(image);
        mean.abs() < 0.1 && (0.2..1.05).contains(&variance) && public.is_smooth(image)
    });
    let variance = |image: &Vec<f32>| moments(image).1;
    let least_mixed = least_mixed.max_by(|a, b| variance(a).total_cmp(&variance(b))).cloned();
    let mut answer = Answer::among(candidates, public);
    if answer.images.is_empty() {
        answer.images.extend(least_mixed);
    }
    Ok(answer)
}

/// The best linear estimate of the one image behind all units, by whoever knows the noise and how
/// images of other patients vary: least squares over the units, drawn to the mean image by as much
/// as noise exceeds what images vary.
fn under_noise(layer: &FirstLayer<'_>, noise: f64, public: &Public) -> Answer {
    let variance = noise * noise;
    let squares: f64 = layer.units().map(|(_, bias)| f64::from(bias).powi(2)).sum();
    let count = layer.bias.len() as f64;
    // What is left of the squares without the noise's own, which are off by this deviation.
    let (signal, by_chance) = (squares - count * variance, variance * (2.0 * count).sqrt());
    let mut sum = vec![0.0; layer.pixels];
    for (kernel, bias) in layer.units() {
        let factor = f64::from(bias);
        sum.iter_mut().zip(kernel).for_each(|(sum, value)| *sum += factor * f64::from(*value));
    }
    let made = sum.iter().map(|sum| (sum / squares.max(f64::MIN_POSITIVE)) as f32).collect();
    if signal <= 2.0 * by_chance {
        return Answer { images: Vec::new(), made: Some(made) };
    }
    let of_pixel = variance * squares / (signal * signal);
    let image = sum.iter().zip(&public.mean).zip(&public.variance).map(|((sum, mean), varies)| {
        let trust = f64::from(*varies) / (f64::from(*varies) + of_pixel);
        (f64::from(*mean) + trust * (sum / signal - f64::from(*mean))) as f32
    });
    Answer { images: vec![image.collect()], made: Some(made) }
}
