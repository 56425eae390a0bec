//! The laboratory's terms: attacks, the stages of evidence, and an image under attack.

use std::fmt;
use std::str::FromStr;

use anyhow::ensure;
use ringfence_learning::{LearnError, ModelName, Sample, TaskName, model_input};
use serde::{Deserialize, Serialize};

/// An attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AttackName {
    /// An image is the gradient of a dense layer's kernel over that of its bias.
    Linear,
    /// Deep Leakage from Gradients: image and label whose gradient is the observed one, by L-BFGS.
    Dlg,
    /// The same, with the label read off the gradient first.
    Idlg,
    /// Inverting Gradients: an image whose gradient points the same way, with total variation.
    Inverting,
    /// The same of segmentation with Dice loss.
    InvertingSegmentation,
    /// Robbing the Fed: a crafted first layer sorts images into bins.
    Imprint,
    /// The same with bins of its own for each site, as LOKI and MedLeak craft models.
    Medleak,
    /// Label inference: how many images of each class there are in a batch.
    Labels,
    /// Membership inference: was an image among those that the final model was trained on?
    Membership,
    /// Site inference: which hospital does an update come from, or an image?
    Site,
}

impl AttackName {
    /// All of them.
    pub(super) const ALL: [Self; 10] = [
        Self::Linear,
        Self::Dlg,
        Self::Idlg,
        Self::Inverting,
        Self::InvertingSegmentation,
        Self::Imprint,
        Self::Medleak,
        Self::Labels,
        Self::Membership,
        Self::Site,
    ];

    /// Those of the default report, in so far as the data have what they need.
    pub(super) const USUAL: [Self; 3] = [Self::Linear, Self::Inverting, Self::Imprint];

    /// The name on the command line and in files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Dlg => "dlg",
            Self::Idlg => "idlg",
            Self::Inverting => "inverting",
            Self::InvertingSegmentation => "inverting-segmentation",
            Self::Imprint => "imprint",
            Self::Medleak => "medleak",
            Self::Labels => "labels",
            Self::Membership => "membership",
            Self::Site => "site",
        }
    }

    /// What the attacked model learns.
    pub(super) fn task(self) -> TaskName {
        match self {
            Self::InvertingSegmentation => TaskName::Segmentation,
            _ => TaskName::Classification,
        }
    }

    /// The project's models that it can be used on; none: the sigmoid LeNet, whose second
    /// derivatives the laboratory has, alone.
    pub(super) fn models(self) -> &'static [ModelName] {
        use ModelName::{Cnn, CnnLight, Dense, Residual, Unet, UnetLight};
        match self {
            Self::Linear | Self::Imprint | Self::Medleak => &[Dense],
            Self::Dlg | Self::Idlg => &[],
            Self::Inverting | Self::Labels | Self::Membership | Self::Site => {
                &[CnnLight, Cnn, Residual, Dense]
            }
            Self::InvertingSegmentation => &[UnetLight, Unet],
        }
    }

    /// What it needs of a model, in words.
    pub(super) fn needs(self) -> &'static str {
        match self {
            Self::Linear | Self::Imprint | Self::Medleak => "a dense first layer with a bias",
            Self::Dlg | Self::Idlg => "the sigmoid LeNet, and takes no --model",
            Self::Inverting | Self::Labels | Self::Membership | Self::Site => "a classifier",
            Self::InvertingSegmentation => "a segmentation model",
        }
    }

    /// Of these stages those that it is tried at: the shadow defence is for classes.
    pub(super) fn stages(self, all: &[Stage]) -> Vec<Stage> {
        let fits = |stage: &&Stage| !stage.is_defended() || self.task() == TaskName::Classification;
        all.iter().filter(fits).copied().collect()
    }

    /// Whether its answers may be worse than a guess, so that it is tried on known images first.
    pub(super) fn is_rehearsed(self) -> bool {
        matches!(self, Self::Inverting | Self::InvertingSegmentation)
    }

    /// Whether what it sees is written for another program.
    pub(super) fn is_compared(self) -> bool {
        matches!(self, Self::Idlg | Self::Inverting)
    }

    /// Whether it finds images.
    pub(super) fn finds_images(self) -> bool {
        self != Self::Labels && !self.has_own_section()
    }

    /// Whether its results are no lines on attacked images: they have a section of the report.
    pub(super) fn has_own_section(self) -> bool {
        matches!(self, Self::Membership | Self::Site)
    }
}

impl fmt::Display for AttackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the attacker sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stage {
    /// The plain gradient of one step.
    Plain,
    /// A plain update of several steps.
    Update,
    /// One site's contribution as the aggregator stores it.
    Ciphertext,
    /// The opened sum over so many sites.
    Sum(usize),
    /// A private step with this epsilon.
    Dp(f64),
    /// The gradient of one step on images with the shadow defence's noise.
    Shadow,
    /// A private step on such images.
    Both,
    /// What insiders of the ring of PPPML-HMI recover of one site's update, among so many.
    Ring(usize),
}

/// Delta of the private stages.
pub(super) const DELTA: f64 = 1e-5;
/// Epsilon beside the shadow defence: the weakest noise of the usual stages, which leaves most to be
/// seen of what the defence adds.
pub(super) const BOTH_EPSILON: f64 = 10.0;

impl Stage {
    /// Those of a report, unless told otherwise.
    pub(super) fn usual() -> Vec<Self> {
        let sums = [1, 2, 3, 5, 10].map(Self::Sum);
        // The grid of Vision Through the Veil (arXiv 2306.17794).
        let private = [10.0, 6.0, 3.0, 1.0].map(Self::Dp);
        let others = [Self::Plain, Self::Update, Self::Ciphertext];
        let defended = [Self::Shadow, Self::Both];
        others.into_iter().chain(sums).chain(private).chain(defended).collect()
    }

    /// Whether sites train on images with the shadow defence's noise.
    pub(super) fn is_defended(self) -> bool {
        matches!(self, Self::Shadow | Self::Both)
    }

    /// What is seen there, in words.
    pub(super) fn about(self) -> String {
        match self {
            Self::Plain => "the plain gradient of one step, which no site sends".to_owned(),
            Self::Update => "a site's plain update of several steps".to_owned(),
            Self::Ciphertext => "a site's contribution as the aggregator stores it".to_owned(),
            Self::Sum(1) => {
                "one site's quantized update: an opened sum over one site, which no study allows"
                    .to_owned()
            }
            Self::Sum(sites) => format!("the opened sum of {sites} sites"),
            Self::Ring(2) => {
                "what the other one of two sites on PPPML-HMI's ring takes off the mean".to_owned()
            }
            Self::Ring(sites) => format!(
                "what a site's two neighbours on PPPML-HMI's ring of {sites} recover by subtraction"
            ),
            Self::Dp(epsilon) => format!(
                "one step of private training that spends epsilon {epsilon} at delta {DELTA}; the attacker knows the noise's deviation"
            ),
            Self::Shadow => {
                "the plain gradient of one step on images with the shadow defence's noise; the attacker knows how it is made".to_owned()
            }
            Self::Both => format!(
                "one step of private training (epsilon {BOTH_EPSILON} at delta {DELTA}) on such images; the attacker knows both"
            ),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("plain"),
            Self::Update => f.write_str("update"),
            Self::Ciphertext => f.write_str("ciphertext"),
            Self::Sum(sites) => write!(f, "sum-{sites}"),
            Self::Dp(epsilon) => write!(f, "dp-{epsilon}"),
            Self::Shadow => f.write_str("shadow"),
            Self::Both => f.write_str("both"),
            Self::Ring(sites) => write!(f, "ring-{sites}"),
        }
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = match text {
            "plain" => Some(Self::Plain),
            "update" => Some(Self::Update),
            "ciphertext" => Some(Self::Ciphertext),
            "shadow" => Some(Self::Shadow),
            "both" => Some(Self::Both),
            _ => match text.split_once('-') {
                Some(("sum", sites)) => {
                    let sites = sites.parse().ok().filter(|sites| (1..=100).contains(sites));
                    sites.map(Self::Sum)
                }
                Some(("ring", sites)) => {
                    let sites = sites.parse().ok().filter(|sites| (2..=100).contains(sites));
                    sites.map(Self::Ring)
                }
                Some(("dp", epsilon)) => {
                    let usable = |epsilon: &f64| (0.01..=1000.0).contains(epsilon);
                    epsilon.parse().ok().filter(usable).map(Self::Dp)
                }
                _ => None,
            },
        };
        found.ok_or_else(|| {
            format!(
                "expected plain, update, ciphertext, sum-N of 1 to 100 sites, dp-E of an epsilon from 0.01 to 1000, shadow, both or ring-N of 2 to 100 sites, found {text}"
            )
        })
    }
}

/// An image under attack: its grey values, and what a model gets of it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The image.
    pub(super) sample: Sample,
    /// Mean 0 and variance 1.
    pub(super) input: Vec<f32>,
    mean: f32,
    deviation: f32,
}

impl Target {
    /// # Errors
    /// When it is no grey image, or a blank one.
    pub(super) fn new(sample: &Sample) -> anyhow::Result<Self> {
        ensure!(
            matches!(sample.shape(), Some((1, _))),
            "image `{}`: the attacks expected a grey image; found {} values",
            sample.name,
            sample.image.len()
        );
        let count = sample.image.len() as f64;
        let mean = sample.image.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let squares = sample.image.iter().map(|value| (f64::from(*value) - mean).powi(2));
        let deviation = (squares.sum::<f64>() / count).sqrt();
        ensure!(
            deviation > 1e-3,
            "image `{}` is blank, and there is nothing in it to find; take it out of the data",
            sample.name
        );
        let input = model_input(sample)?;
        Ok(Self { sample: sample.clone(), input, mean: mean as f32, deviation: deviation as f32 })
    }

    /// The same image, told to be of another class.
    pub(super) fn labelled(mut self, label: Option<u32>) -> Self {
        self.sample.label = label;
        self
    }

    /// Grey values of what a model would get, by this image's brightness and contrast, cut to
    /// [0, 1].
    ///
    /// These two numbers a model never sees, and no attack can find them. They are given to
    /// whatever is compared with this image: to what attacks find and to the guess alike.
    pub(super) fn grey(&self, input: &[f32]) -> Vec<f32> {
        let grey = |value: &f32| (value * self.deviation + self.mean).clamp(0.0, 1.0);
        input.iter().map(grey).collect()
    }

    /// Between what the model's input of a grey image of this brightness and contrast lies.
    pub(super) fn range(&self) -> (f32, f32) {
        (-self.mean / self.deviation, (1.0 - self.mean) / self.deviation)
    }
}

/// What an attacker knows of images of this kind: other patients' images.
#[derive(Clone, Debug)]
pub(super) struct Public {
    /// The images as models get them.
    pub(super) inputs: Vec<Vec<f32>>,
    /// Their mean: what is guessed by whoever sees nothing.
    pub(super) mean: Vec<f32>,
    /// Variance of each pixel around it.
    pub(super) variance: Vec<f32>,
    /// The least correlation of neighbouring pixels in any of them.
    pub(super) smoothness: f64,
}

impl Public {
    /// # Errors
    /// When an image cannot be used.
    pub(super) fn new(samples: &[&Sample]) -> Result<Self, LearnError> {
        let inputs =
            samples.iter().map(|sample| model_input(sample)).collect::<Result<Vec<_>, _>>()?;
        let pixels = inputs.first().map_or(0, Vec::len);
        let count = inputs.len().max(1) as f32;
        let over = |value: &dyn Fn(&[f32], usize) -> f32| -> Vec<f32> {
            let of = |pixel| inputs.iter().map(|input| value(input, pixel)).sum::<f32>() / count;
            (0..pixels).map(of).collect()
        };
        let mean = over(&|input, pixel| input[pixel]);
        let variance = over(&|input, pixel| (input[pixel] - mean[pixel]).powi(2));
        let smooth = inputs.iter().map(|input| smoothness(input));
        let smoothness = smooth.fold(1.0, f64::min);
        Ok(Self { inputs, mean, variance, smoothness })
    }

    /// Whether this may be one image as a model gets it: mean 0, variance 1, and not much rougher
    /// than images are.
    pub(super) fn may_be(&self, candidate: &[f32]) -> bool {
        let (mean, variance) = moments(candidate);
        mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05 && self.is_smooth(candidate)
    }

    /// Whether neighbouring pixels go together nearly as in images.
    pub(super) fn is_smooth(&self, candidate: &[f32]) -> bool {
        smoothness(candidate) > 0.8 * self.smoothness
    }
}

/// The product of two vectors, in doubles.
pub(super) fn dot(one: &[f32], other: &[f32]) -> f64 {
    one.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Mean and variance.
pub(super) fn moments(values: &[f32]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let squares = values.iter().map(|value| (f64::from(*value) - mean).powi(2));
    (mean, squares.sum::<f64>() / count)
}

/// Correlation of each pixel with its neighbour to the right.
fn smoothness(image: &[f32]) -> f64 {
    let side = image.len().isqrt().max(1);
    let (mean, variance) = moments(image);
    let centred = |value: &f32| f64::from(*value) - mean;
    let pairs = image.chunks_exact(side).flat_map(|row| row.iter().zip(row.iter().skip(1)));
    let (mut sum, mut count) = (0.0, 0.0);
    for (left, right) in pairs {
        sum += centred(left) * centred(right);
        count += 1.0;
    }
    let found = sum / f64::max(count, 1.0) / variance.max(1e-12);
    if found.is_finite() { found } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_as_they_are_written() {
        for stage in Stage::usual() {
            assert_eq!(stage.to_string().parse(), Ok(stage));
        }
        assert_eq!(Stage::Sum(10).to_string(), "sum-10");
        assert_eq!("dp-0.5".parse(), Ok(Stage::Dp(0.5)));
        assert_eq!(Stage::Ring(3).to_string().parse(), Ok(Stage::Ring(3)));
        for wrong in ["sum", "sum-0", "sum-x", "dp--1", "dp-NaN", "shadows", "ring-1", ""] {
            let error = wrong.parse::<Stage>().unwrap_err();
            assert!(error.contains("expected plain, update") && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn images_are_told_from_noise_and_from_mixtures() {
        let wave = |phase: f32| {
            let value = |i: usize| ((i / 16) as f32 * 0.3 + (i % 16) as f32 * 0.2 + phase).sin();
            let image = (0..256).map(|i| 0.5 + 0.4 * value(i)).collect();
            let (label, mask, own_mask) = (None, None, None);
            Sample { name: "w".into(), group: "g".into(), image, label, mask, own_mask }
        };
        let samples = [wave(0.0), wave(1.0), wave(2.0)];
        let public = Public::new(&samples.each_ref()).unwrap();
        let target = Target::new(&wave(0.5)).unwrap();
        assert!(public.may_be(&target.input));
        let back = target.grey(&target.input);
        assert!(back.iter().zip(&target.sample.image).all(|(a, b)| (a - b).abs() < 1e-5));
        let other = Target::new(&wave(2.5)).unwrap();
        let mixed: Vec<f32> =
            target.input.iter().zip(&other.input).map(|(a, b)| (a + b) / 2.0).collect();
        assert!(!public.may_be(&mixed));
        let noise: Vec<f32> =
            (0..256u32).map(|i| if i * 7919 % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!(!public.may_be(&noise));
        let blank = Sample { image: vec![0.5; 256], ..wave(0.0) };
        assert!(Target::new(&blank).unwrap_err().to_string().contains("blank"));
    }
}
