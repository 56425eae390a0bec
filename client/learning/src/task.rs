//! What is learnt: a task joins a model, a loss, scores and a picture.
//!
//! Training, evaluation and pictures know tasks only through [`Task`], so that a new one is a
//! new type and nothing else changes.

mod classification;
mod segmentation;

use candle_core::Tensor;
use image::{Rgb, RgbImage};

pub use classification::Classification;
pub use segmentation::Segmentation;

use super::compute::device;
use super::data::{Dataset, Sample};
use super::{LearnError, Parameters};
use ringfence_weights::Weights;

/// What is learnt from samples.
pub trait Task: Send + Sync {
    /// Name of the task, as in configuration: `segmentation`, `classification`.
    fn name(&self) -> &'static str;

    /// First weights of the task's model, fixed by `seed`.
    ///
    /// # Errors
    /// Only if the model's layout is wrong.
    fn initial_weights(&self, seed: u64) -> Result<Weights, LearnError>;

    /// Checks that the task can use one sample: its size, and that it has what the task learns.
    ///
    /// # Errors
    /// [`LearnError::Sample`] saying what was expected and what the sample has.
    fn check_sample(&self, sample: &Sample) -> Result<(), LearnError>;

    /// Checks that the task's model can be applied to a sample, whatever is known of its truth.
    ///
    /// # Errors
    /// [`LearnError::Sample`] for an image of another size. Unless a task says otherwise, there is
    /// nothing to check.
    fn check_image(&self, _sample: &Sample) -> Result<(), LearnError> {
        Ok(())
    }

    /// Checks that the task can learn from a study's data, before training starts.
    ///
    /// # Errors
    /// The first sample's [`LearnError::Sample`], or what the data as a whole lack.
    fn check(&self, dataset: &Dataset) -> Result<(), LearnError> {
        let samples = dataset.sites.iter().flat_map(|site| site.samples());
        samples.into_iter().try_for_each(|(_, sample)| self.check_sample(sample))
    }

    /// The model's output for `images` `[b, 1, side, side]`; the first dimension is `b`.
    ///
    /// # Errors
    /// When the parameters are of another model.
    fn logits(&self, parameters: &Parameters, images: &Tensor) -> candle_core::Result<Tensor>;

    /// The loss of these logits for the samples they were computed from: a scalar, the mean of
    /// one loss a sample, so that it may be summed over parts of a batch.
    ///
    /// # Errors
    /// When a sample lacks what the task learns.
    fn loss(&self, logits: &Tensor, samples: &[&Sample]) -> Result<Tensor, LearnError>;

    /// Scores of predictions: `logits[i]` is the model's flattened output for `samples[i]`.
    ///
    /// # Errors
    /// When a sample lacks what the task learns.
    fn scores(&self, samples: &[Sample], logits: &[Vec<f32>]) -> Result<Scores, LearnError>;

    /// What the model's flattened output says of an image: its numbers, unless a task knows better.
    fn prediction(&self, logits: &[f32]) -> Prediction {
        let number = |(index, value): (usize, &f32)| (index.to_string(), f64::from(*value));
        let values = logits.iter().enumerate().map(number).collect();
        Prediction { values, ..Prediction::default() }
    }

    /// A picture of one sample with the prediction, or with the truth if `logits` is `None`.
    ///
    /// # Errors
    /// When a sample lacks what the task learns.
    fn picture(&self, sample: &Sample, logits: Option<&[f32]>) -> Result<Panel, LearnError>;
}

/// What a model says of one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// The class, where classes are learnt.
    pub class: Option<String>,
    /// Named numbers: the probability of each class, or the share of the image that is segmented.
    pub values: Vec<(String, f64)>,
    /// The probability of each pixel, `side * side`, where pixels are learnt.
    pub mask: Option<Vec<f32>>,
}

/// One picture of a prediction sheet.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// The picture, `side * side` pixels.
    pub picture: RgbImage,
    /// A short line below it.
    pub caption: String,
    /// Whether the prediction is right, where that is a question of yes or no.
    pub right: Option<bool>,
}

/// One figure of merit.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Name, as in tables: `Dice`, `accuracy`.
    pub name: &'static str,
    /// In `[0, 1]`, higher is better.
    pub value: f64,
}

/// A task's scores on some samples, the one that matters most first.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    primary: Score,
    others: Vec<Score>,
}

impl Scores {
    /// Scores led by `primary`, by which checkpoints are chosen and models compared.
    #[must_use]
    pub fn new(primary: Score, others: Vec<Score>) -> Self {
        Self { primary, others }
    }

    /// The score by which checkpoints are chosen and models compared.
    #[must_use]
    pub fn primary(&self) -> &Score {
        &self.primary
    }

    /// All scores, the primary one first.
    pub fn iter(&self) -> impl Iterator<Item = &Score> {
        std::iter::once(&self.primary).chain(&self.others)
    }

    /// All scores as names and values, for a file.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, f64)> {
        self.iter().map(|score| (score.name.to_owned(), score.value)).collect()
    }

    /// The value of the score of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|score| score.name == name).map(|score| score.value)
    }
}

/// Stacks samples' images to `[b, 1, side, side]`, each brought to mean 0 and variance 1: devices
/// differ in brightness and contrast, and what is left of that must be learnt (Isensee et al.,
/// "nnU-Net", 2021, normalise each image in the same way). A blank image becomes zeros.
pub(crate) fn stack_images(samples: &[&Sample], side: usize) -> candle_core::Result<Tensor> {
    let mut values = Vec::with_capacity(samples.len() * side * side);
    for sample in samples {
        let count = sample.image.len() as f64;
        let mean = sample.image.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let square = |value: &f32| (f64::from(*value) - mean).powi(2);
        let deviation = (sample.image.iter().map(square).sum::<f64>() / count).sqrt().max(1e-6);
        values.extend(
            sample.image.iter().map(|value| ((f64::from(*value) - mean) / deviation) as f32),
        );
    }
    Tensor::from_vec(values, (samples.len(), 1, side, side), device())
}

/// Checks that a sample's image has `side * side` values.
pub(crate) fn check_side(
    task: &'static str,
    sample: &Sample,
    side: usize,
) -> Result<(), LearnError> {
    if sample.image.len() == side * side {
        return Ok(());
    }
    Err(LearnError::Sample {
        sample: sample.name.clone(),
        task,
        expected: format!("an image of {side} x {side} pixels"),
        found: format!("{} pixels", sample.image.len()),
    })
}

/// A sample's grey picture.
pub(crate) fn grey_picture(sample: &Sample, side: usize) -> RgbImage {
    let side = u32::try_from(side).unwrap_or(0);
    let grey = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    let pixels = sample.image.iter().flat_map(|value| [grey(*value); 3]).collect();
    RgbImage::from_raw(side, side, pixels).unwrap_or_default()
}

/// Colour and strength of a mask over its image.
const MASK: [f32; 3] = [255.0, 64.0, 48.0];
const OVERLAY: f32 = 0.45;

/// A grey pixel, tinted where it is inside a mask.
pub(crate) fn tinted(grey: u8, inside: bool) -> Rgb<u8> {
    let mix = |colour: f32| (f32::from(grey) * (1.0 - OVERLAY) + colour * OVERLAY) as u8;
    Rgb(if inside { MASK.map(mix) } else { [grey; 3] })
}

/// `a / b`, or `empty` where there is nothing to divide by.
pub(crate) fn ratio(a: f64, b: f64, empty: f64) -> f64 {
    if b > 0.0 { a / b } else { empty }
}
