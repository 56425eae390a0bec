//! The defences that are compared, each in its strengths.

use std::fmt;
use std::str::FromStr;

use anyhow::ensure;
use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use ringfence_learning::shadow::maps::{added, amplitude, to_peak};
use ringfence_learning::{LearnError, Sample, Task, batch_gradient};
use ringfence_weights::Weights;

/// Bound of an image's gradient under DP-SGD.
const PRIVATE_CLIP: f64 = 1.0;

/// A defence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// None.
    None,
    /// The shadow defence as published.
    Shadow,
    /// Normal noise on every pixel, drawn anew each round, whose largest value is so many times the
    /// shadow defence's amplitude.
    Gaussian(f64),
    /// A step's gradient is cut to this length.
    Clip(f64),
    /// Of a step's gradient this share of the values is kept, the largest.
    Sparse(f64),
    /// DP-SGD: each image's gradient is cut to length 1, and normal noise of this deviation is
    /// added to each value of their sum.
    Dp(f64),
}

impl Kind {
    /// All that are tried.
    pub(super) fn all() -> Vec<Self> {
        let gaussian = [0.5, 1.0, 2.0, 3.0].map(Self::Gaussian);
        let clip = [1.0, 0.1].map(Self::Clip);
        let sparse = [0.1, 0.01, 0.001].map(Self::Sparse);
        let dp = [0.003, 0.01, 0.03, 0.1, 0.5].map(Self::Dp);
        let all = [Self::None, Self::Shadow].into_iter().chain(gaussian).chain(clip);
        all.chain(sparse).chain(dp).collect()
    }

    /// The defence without its strength.
    pub(super) fn family(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Shadow => "shadow",
            Self::Gaussian(_) => "gaussian",
            Self::Clip(_) => "clip",
            Self::Sparse(_) => "sparse",
            Self::Dp(_) => "dp",
        }
    }

    /// Its strength, as its name has it.
    fn strength(self) -> Option<f64> {
        match self {
            Self::None | Self::Shadow => None,
            Self::Gaussian(value) | Self::Clip(value) | Self::Sparse(value) | Self::Dp(value) => {
                Some(value)
            }
        }
    }

    /// Epsilon of one step on one image at delta 1e-5, where there is one.
    ///
    /// # Errors
    /// When it cannot be computed.
    pub(super) fn epsilon(self) -> anyhow::Result<Option<f64>> {
        let Self::Dp(noise) = self else { return Ok(None) };
        Ok(Some(ringfence_privacy::gaussian::epsilon(noise, crate::attack::terms::DELTA)?))
    }

    /// An image with the noise of [`Kind::Gaussian`], drawn by this seed; otherwise as it is.
    pub(super) fn noised(self, sample: &Sample, (round, rounds): (u32, u32), seed: u64) -> Sample {
        let Self::Gaussian(times) = self else { return sample.clone() };
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let noise: Vec<f64> =
            StandardNormal.sample_iter(&mut rng).take(sample.image.len()).collect();
        let most = sample.image.iter().copied().fold(0.0, f32::max);
        let peak = times * amplitude(round, rounds, f64::from(most));
        Sample { image: added(&sample.image, &to_peak(&noise, peak)), ..sample.clone() }
    }

    /// The mean gradient of a batch as the defence lets it out.
    ///
    /// # Errors
    /// As [`batch_gradient`].
    pub(super) fn gradient(
        self,
        (task, weights): (&dyn Task, &Weights),
        batch: &[Sample],
        rng: &mut ChaCha20Rng,
    ) -> Result<Vec<f32>, LearnError> {
        if let Self::Dp(noise) = self {
            let mut sum = vec![0.0_f64; weights.len()];
            for sample in batch {
                let mut own = batch_gradient(task, weights, std::slice::from_ref(sample))?;
                cut(&mut own, PRIVATE_CLIP);
                sum.iter_mut().zip(own).for_each(|(sum, value)| *sum += f64::from(value));
            }
            let normal = StandardNormal.sample_iter(rng);
            let count = batch.len().max(1) as f64;
            let noised = sum.iter().zip(normal).map(|(value, drawn): (&f64, f64)| {
                ((value + noise * PRIVATE_CLIP * drawn) / count) as f32
            });
            return Ok(noised.collect());
        }
        let mut gradient = batch_gradient(task, weights, batch)?;
        match self {
            Self::Clip(length) => cut(&mut gradient, length),
            Self::Sparse(share) => thin(&mut gradient, share),
            Self::None | Self::Shadow | Self::Gaussian(_) | Self::Dp(_) => {}
        }
        Ok(gradient)
    }

    /// Deviation of the noise on a gradient of one image, which an attacker knows.
    pub(super) fn noise(self) -> f64 {
        if let Self::Dp(noise) = self { noise * PRIVATE_CLIP } else { 0.0 }
    }

    /// A generator for what the defence draws.
    pub(super) fn generator(seed: u64, stream: u64) -> ChaCha20Rng {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        // Another one than what orders the images.
        ChaCha20Rng::from_seed(rng.random())
    }
}

/// Cuts to a length at most.
fn cut(values: &mut [f32], length: f64) {
    let norm = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let factor = (length / norm.max(f64::MIN_POSITIVE)).min(1.0) as f32;
    values.iter_mut().for_each(|value| *value *= factor);
}

/// Keeps this share of the values, those of the largest size, and makes the others 0.
fn thin(values: &mut [f32], share: f64) {
    let mut sizes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let kept = ((share * values.len() as f64).ceil() as usize).max(1);
    let least = sizes.get(kept - 1).copied().unwrap_or(0.0);
    values.iter_mut().filter(|value| value.abs() < least).for_each(|value| *value = 0.0);
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.family())?;
        match self.strength() {
            None => Ok(()),
            Some(strength) => write!(f, "-{strength}"),
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || -> anyhow::Result<Self> {
            let Some((family, strength)) = text.split_once('-') else {
                ensure!(["none", "shadow"].contains(&text), "no such defence");
                return Ok(if text == "none" { Self::None } else { Self::Shadow });
            };
            let strength: f64 = strength.parse()?;
            ensure!(strength > 0.0 && strength <= 1000.0, "no such strength");
            Ok(match family {
                "gaussian" => Self::Gaussian(strength),
                "clip" => Self::Clip(strength),
                "sparse" if strength <= 1.0 => Self::Sparse(strength),
                "dp" => Self::Dp(strength),
                _ => anyhow::bail!("no such defence"),
            })
        };
        read().map_err(|_| {
            format!(
                "expected none, shadow, or gaussian-X, clip-X, sparse-X or dp-X with a strength X above 0, found {text}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in Kind::all() {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for wrong in ["shadows", "clip", "dp--1", "sparse-2", "gaussian-x", ""] {
            let error = wrong.parse::<Kind>().unwrap_err();
            assert!(error.contains("expected none, shadow") && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn gradients_are_cut_and_thinned_and_noise_has_its_peak() {
        let mut values = [3.0, -4.0];
        cut(&mut values, 10.0);
        assert_eq!(values, [3.0, -4.0]);
        cut(&mut values, 1.0);
        assert!((values[0] - 0.6).abs() < 1e-6 && (values[1] + 0.8).abs() < 1e-6);
        let mut values = [1.0, -5.0, 2.0, 0.5];
        thin(&mut values, 0.5);
        assert_eq!(values, [0.0, -5.0, 2.0, 0.0]);
        let image = vec![0.5; 64];
        let (label, mask, own_mask) = (None, None, None);
        let sample = Sample { name: "a".into(), group: "g".into(), image, label, mask, own_mask };
        let noised = Kind::Gaussian(2.0).noised(&sample, (0, 10), 1);
        let peak = noised.image.iter().fold(0.0, |most: f32, v| most.max((v - 0.5).abs()));
        assert!((peak - 2.0 * 0.19 * 0.5).abs() < 1e-6, "{peak}");
        assert_eq!(Kind::Clip(1.0).noised(&sample, (0, 10), 1), sample);
    }
}
