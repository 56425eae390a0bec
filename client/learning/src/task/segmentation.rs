//! Segmentation: which pixels lie inside what masks show (lesions, vessels, an organ).

use candle_core::Tensor;
use image::RgbImage;
use rayon::prelude::*;

use super::contract::Task;
use super::input::check_shape;
use super::name::TaskName;
use super::overlap::Overlap;
use super::own_size::inside_at_own_size;
use super::panel::{Caption, Panel, Prediction, Tint, shown, tinted};
use super::score::{Score, Scores, ratio};
use crate::data::dataset::Sample;
use crate::error::LearnError;
use crate::model::UNet;
use crate::model::check::{check_side as check_model_side, misfit};
use crate::model::layers::{binary_cross_entropy, dice_loss};
use crate::model::name::ModelName;
use crate::parameters::Parameters;
use ringfence_weights::Weights;

const TASK: TaskName = TaskName::Segmentation;
/// A pixel counts as inside from this logit on, which is probability one half.
const THRESHOLD: f32 = 0.0;

/// Segmentation with a U-Net, trained by binary cross-entropy plus soft Dice loss.
///
/// Scores are pooled over all pixels of all samples given, as one large image would score:
/// `Dice = 2 TP / (2 TP + FP + FN)`, `Jaccard = TP / (TP + FP + FN)`, `accuracy` = share of
/// pixels that are right. Pooling keeps healthy slices in the count (a false lesion there lowers
/// the score) and needs no rule for an empty mask's own Dice, which is 0/0. It gives a large
/// lesion more weight than a small one. Of samples that have their mask at their image's own size,
/// Dice and Jaccard are scored there, too ([`inside_at_own_size`]). Where no mask has a lesion, or all are full of it, Dice and
/// Jaccard are undefined: to predict nothing would be perfect.
#[derive(Clone, Debug, PartialEq)]
pub struct Segmentation {
    model: UNet,
    side: usize,
}

impl Segmentation {
    /// Segmentation of grey `side` x `side` images by the model of this name.
    ///
    /// # Errors
    /// [`LearnError::Model`] when the model is none for segmentation, or cannot halve the side
    /// often enough.
    pub fn new(model: ModelName, side: usize) -> Result<Self, LearnError> {
        let model = match model {
            ModelName::UnetLight => UNet::new(&UNet::LIGHT)?,
            ModelName::Unet => UNet::new(&UNet::PAPER)?,
            other => return Err(misfit(other, TASK)),
        };
        check_model_side(side, model.side_multiple())?;
        Ok(Self { model, side })
    }

    /// The same of images of so many channels: 1 is grey, and 3 colour.
    ///
    /// # Errors
    /// [`LearnError::Model`] for other numbers.
    pub fn with_channels(self, channels: usize) -> Result<Self, LearnError> {
        Ok(Self { model: self.model.with_channels(channels)?, ..self })
    }

    /// With the light U-Net.
    ///
    /// # Errors
    /// [`LearnError::Model`] when `side` is no multiple of 8.
    pub fn light(side: usize) -> Result<Self, LearnError> {
        Self::new(ModelName::UnetLight, side)
    }

    fn mask<'a>(&self, sample: &'a Sample) -> Result<&'a [f32], LearnError> {
        let expected = self.side * self.side;
        let refuse = |found| LearnError::Sample {
            sample: sample.name.clone(),
            task: TASK.name(),
            expected: format!("a mask of {} x {} pixels", self.side, self.side),
            found,
        };
        match &sample.mask {
            Some(mask) if mask.len() == expected => Ok(mask),
            Some(mask) => Err(refuse(format!("{} pixels", mask.len()))),
            None => Err(refuse("no mask (the column `mask` of labels.csv is empty)".to_string())),
        }
    }

    /// The prediction, resized as it is for use, against the mask at the image's own size; `None`
    /// where that is not known.
    fn overlap_at_own_size(
        &self,
        sample: &Sample,
        logits: &[f32],
    ) -> Result<Option<Overlap>, LearnError> {
        let Some(mask) = &sample.own_mask else { return Ok(None) };
        let inside = inside_at_own_size(&probabilities(logits), self.side, mask.size())?;
        Ok(Some(Overlap::of(mask.pixels().zip(inside))))
    }

    fn overlay(&self, sample: &Sample, inside: impl Iterator<Item = bool>, tint: Tint) -> RgbImage {
        let mut picture = shown(sample);
        for (pixel, inside) in picture.pixels_mut().zip(inside) {
            *pixel = tinted(*pixel, inside, tint);
        }
        picture
    }
}

impl Task for Segmentation {
    fn name(&self) -> &'static str {
        TASK.name()
    }

    fn initial_weights(&self, seed: u64) -> Result<Weights, LearnError> {
        self.model.initial_weights(seed)
    }

    fn check_sample(&self, sample: &Sample) -> Result<(), LearnError> {
        check_shape(TASK, sample, (self.model.channels(), self.side))?;
        self.mask(sample).map(|_| ())
    }

    fn check_image(&self, sample: &Sample) -> Result<(), LearnError> {
        check_shape(TASK, sample, (self.model.channels(), self.side))
    }

    fn one_class(&self, samples: &[Sample]) -> Option<String> {
        let mut pixels = samples.iter().flat_map(|sample| sample.mask.iter().flatten());
        let inside = |value: &f32| *value >= 0.5;
        let first = inside(pixels.next()?);
        let class = if first { "everything inside" } else { "nothing inside" };
        pixels.all(|value| inside(value) == first).then(|| class.to_string())
    }

    fn prediction(&self, logits: &[f32]) -> Prediction {
        let inside = logits.iter().filter(|logit| **logit >= THRESHOLD).count();
        let share = ratio(inside as f64, logits.len() as f64, 0.0);
        Prediction {
            class: None,
            values: vec![("share of pixels".to_owned(), share)],
            mask: Some(probabilities(logits)),
        }
    }

    fn logits(&self, parameters: &Parameters, images: &Tensor) -> candle_core::Result<Tensor> {
        self.model.logits(parameters, images)
    }

    fn loss(&self, logits: &Tensor, samples: &[&Sample]) -> Result<Tensor, LearnError> {
        let mut masks = Vec::with_capacity(samples.len() * self.side * self.side);
        for sample in samples {
            masks.extend_from_slice(self.mask(sample)?);
        }
        let shape = (samples.len(), self.side * self.side);
        let masks = Tensor::from_vec(masks, shape, logits.device())?;
        let logits = logits.reshape(shape)?;
        Ok((binary_cross_entropy(&logits, &masks)? + dice_loss(&logits, &masks)?)?)
    }

    // All models normalise within an image, and none uses a tensor twice.
    fn images_are_independent(&self) -> bool {
        true
    }

    fn scores(&self, samples: &[Sample], logits: &[Vec<f32>]) -> Result<Scores, LearnError> {
        let pairs: Vec<(&Sample, &Vec<f32>)> = samples.iter().zip(logits).collect();
        // At their own size, images may have millions of pixels.
        let overlaps = pairs
            .into_par_iter()
            .map(|(sample, logits)| {
                let seen = overlap(self.mask(sample)?, logits);
                Ok((seen, self.overlap_at_own_size(sample, logits)?.unwrap_or(seen)))
            })
            .collect::<Result<Vec<_>, LearnError>>()?;
        let (mut counts, mut at_own_size) = (Overlap::default(), Overlap::default());
        for (seen, own) in overlaps {
            counts.add(seen);
            at_own_size.add(own);
        }
        let one_class = self.one_class(samples);
        let told_apart = |value: f64| Some(value).filter(|_| one_class.is_none());
        let mut others = vec![
            Score { name: "Jaccard", value: told_apart(counts.jaccard()) },
            Score { name: "accuracy", value: Some(counts.accuracy()) },
        ];
        if samples.iter().any(|sample| sample.own_mask.is_some()) {
            others.extend(at_own_size.scores_at_own_size().iter().cloned());
        }
        let primary = Score { name: "Dice", value: told_apart(counts.dice()) };
        Ok(Scores::new(primary, others).of_one_class(one_class))
    }

    fn picture(&self, sample: &Sample, logits: Option<&[f32]>) -> Result<Panel, LearnError> {
        let mask = self.mask(sample)?;
        let Some(logits) = logits else {
            let inside = || mask.iter().map(|value| *value >= 0.5);
            let picture = Some(self.overlay(sample, inside(), Tint::Truth));
            let count = inside().filter(|inside| *inside).count();
            let percent = 100.0 * ratio(count as f64, mask.len() as f64, 0.0);
            return Ok(Panel { picture, caption: Caption::Inside(percent), right: None });
        };
        let counts = overlap(mask, logits);
        let inside = logits.iter().map(|logit| *logit >= THRESHOLD);
        let picture = Some(self.overlay(sample, inside, Tint::Prediction));
        // Right, and nothing that a coefficient could be of.
        let caption = match counts.both_empty() {
            true => "both empty".to_owned(),
            false => format!("Dice {:.2}", counts.dice()),
        };
        let caption = Caption::Text(caption);
        Ok(Panel { picture, caption, right: None })
    }
}

/// The probability of each pixel to be inside.
fn probabilities(logits: &[f32]) -> Vec<f32> {
    logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect()
}

/// Pixels of a mask by truth and prediction.
fn overlap(mask: &[f32], logits: &[f32]) -> Overlap {
    let inside = |(truth, logit): (&f32, &f32)| (*truth >= 0.5, *logit >= THRESHOLD);
    Overlap::of(mask.iter().zip(logits).map(inside))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::data::OwnMask;

    fn sample(mask: [f32; 64]) -> Sample {
        Sample {
            name: "a".into(),
            group: "p".into(),
            image: vec![0.5; 64],
            label: None,
            mask: Some(mask.to_vec()),
            own_mask: None,
        }
    }

    fn with_ones(ones: &[usize], off: f32, on: f32) -> [f32; 64] {
        let mut values = [off; 64];
        ones.iter().for_each(|i| values[*i] = on);
        values
    }

    #[test]
    fn scores_are_pooled_over_samples() {
        let task = Segmentation::light(8).unwrap();
        // TP 2, FN 1 in the first; FP 1 in the second, healthy one.
        let samples = [sample(with_ones(&[0, 1, 2], 0.0, 1.0)), sample([0.0; 64])];
        let logits = [with_ones(&[0, 1], -3.0, 3.0).to_vec(), with_ones(&[9], -3.0, 0.5).to_vec()];
        let scores = task.scores(&samples, &logits).unwrap();
        assert_eq!(scores.primary().name, "Dice");
        assert!((scores.get("Dice").unwrap() - 4.0 / 6.0).abs() < 1e-12);
        assert!((scores.get("Jaccard").unwrap() - 2.0 / 4.0).abs() < 1e-12);
        assert!((scores.get("accuracy").unwrap() - 126.0 / 128.0).abs() < 1e-12);
        let healthy = task.scores(&samples[1..], &[vec![-1.0; 64]]).unwrap();
        assert_eq!(healthy.get("Dice"), None);
        assert_eq!(healthy.get("accuracy"), Some(1.0));
        assert_eq!(healthy.one_class(), Some("nothing inside"));
        let full = task.scores(&[sample([1.0; 64])], &[vec![1.0; 64]]).unwrap();
        assert_eq!((full.get("Jaccard"), full.one_class()), (None, Some("everything inside")));
    }

    #[test]
    fn scores_at_own_size_are_those_of_the_resized_probabilities() {
        let task = Segmentation::light(8).unwrap();
        // The left half, of 8 x 8 pixels and of 32 x 12, and a pixel that own size knows only.
        let half = |width: usize, pixels: usize| -> Vec<f32> {
            (0..pixels).map(|i| f32::from(i % width < width / 2)).collect()
        };
        let mut own = half(32, 384);
        own[31] = 1.0;
        let mut wide = sample([0.0; 64]);
        wide.mask = Some(half(8, 64));
        wide.own_mask = Some(OwnMask::new((32, 12), &own));
        let logits: Vec<f32> = half(8, 64).iter().map(|value| 8.0 * value - 4.0).collect();
        let scores =
            task.scores(std::slice::from_ref(&wide), std::slice::from_ref(&logits)).unwrap();
        assert_eq!(scores.get("Dice"), Some(1.0));
        let (dice, jaccard) = (384.0 / 385.0, 192.0 / 193.0);
        assert!((scores.get("Dice at own size").unwrap() - dice).abs() < 1e-12);
        assert!((scores.get("Jaccard at own size").unwrap() - jaccard).abs() < 1e-12);
        // A sample of the model's size counts beside it as it is.
        let samples = [wide.clone(), sample(with_ones(&[0], 0.0, 1.0))];
        let both = task.scores(&samples, &[logits.clone(), vec![-1.0; 64]]).unwrap();
        assert!((both.get("Dice at own size").unwrap() - 384.0 / 386.0).abs() < 1e-12);
        wide.own_mask = None;
        let plain = task.scores(&[wide], &[logits]).unwrap();
        assert_eq!((plain.get("Dice at own size"), plain.iter().count()), (None, 3));
    }

    #[test]
    fn loss_is_the_sum_of_both_formulas_and_a_mean_over_samples() {
        let task = Segmentation::light(8).unwrap();
        let (first, second) = (sample(with_ones(&[0, 1], 0.0, 1.0)), sample([0.0; 64]));
        let logits =
            |value: f32, b: usize| Tensor::full(value, (b, 1, 8, 8), &Device::Cpu).unwrap();
        let loss = |value, samples: &[&Sample]| {
            task.loss(&logits(value, samples.len()), samples).unwrap().to_scalar::<f32>().unwrap()
        };
        // At logit 0 every p is 1/2: BCE = ln 2; Dice = (2 * 1 + 1) / (32 + 2 + 1).
        let expected = std::f32::consts::LN_2 + 1.0 - 3.0 / 35.0;
        assert!((loss(0.0, &[&first]) - expected).abs() < 1e-5);
        let mean = (loss(0.3, &[&first]) + loss(0.3, &[&second])) / 2.0;
        assert!((loss(0.3, &[&first, &second]) - mean).abs() < 1e-5);
        // A healthy image is judged by cross-entropy alone; large logits do not overflow.
        assert!(loss(-200.0, &[&second]).abs() < 1e-5);
        assert!((loss(200.0, &[&second]) - 200.0).abs() < 1e-3);
    }

    #[test]
    fn samples_without_a_fitting_mask_are_refused() {
        let task = Segmentation::light(8).unwrap();
        let mut bad = sample([0.0; 64]);
        bad.mask = None;
        let error = task.check_sample(&bad).unwrap_err().to_string();
        assert!(error.contains("sample `a`") && error.contains("no mask"), "{error}");
        bad.mask = Some(vec![0.0; 63]);
        assert!(task.check_sample(&bad).is_err());
        bad.image.pop();
        assert!(task.check_sample(&bad).unwrap_err().to_string().contains("8 x 8"));
        assert!(Segmentation::light(20).is_err());
    }
}
