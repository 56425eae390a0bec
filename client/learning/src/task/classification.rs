//! Classification of images: which class each belongs to.

use std::collections::BTreeMap;

use candle_core::Tensor;
use candle_nn::loss::cross_entropy;

use super::auc::mean_auc;
use super::contract::Task;
use super::input::check_shape;
use super::name::TaskName;
use super::panel::{Caption, Panel, Prediction};
use super::score::{Score, Scores, ratio};
use crate::data::dataset::{Dataset, Sample};
use crate::data::error::DataError;
use crate::data::{LeftOut, LeftOutReason, left_out_summary};
use crate::error::LearnError;
use crate::model::Classifier;
use crate::model::name::ModelName;
use crate::parameters::Parameters;
use ringfence_weights::Weights;

const TASK: TaskName = TaskName::Classification;

/// Classification with one of the [`Classifier`]s, trained by cross-entropy.
///
/// Scores: `accuracy`, the share of samples whose highest logit is their class; `macro-F1`, the
/// mean over the classes of `F1 = 2 TP / (2 TP + FP + FN)`, where a class that neither occurs
/// nor is predicted among the samples is left out of the mean; and with two classes `F1` of the
/// second, the finding. The primary score is macro-F1, which a model that always names the
/// commonest class cannot raise. Of samples of one class all but accuracy are undefined: always naming it
/// would be perfect.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    model: Classifier,
    classes: Vec<String>,
}

impl Classification {
    /// Classification of grey `side` x `side` images by the model of this name.
    ///
    /// # Errors
    /// [`LearnError::Model`] as [`Classifier::new`].
    pub fn new(model: ModelName, side: usize, classes: &[String]) -> Result<Self, LearnError> {
        let model = Classifier::new(model, side, classes.len())?;
        Ok(Self { model, classes: classes.to_vec() })
    }

    /// The same of images of so many channels: 1 is grey, and 3 colour.
    ///
    /// # Errors
    /// [`LearnError::Model`] for other numbers.
    pub fn with_channels(self, channels: usize) -> Result<Self, LearnError> {
        Ok(Self { model: self.model.with_channels(channels)?, ..self })
    }

    /// By the sigmoid LeNet of [`Classifier::sigmoid_lenet`]: for attacks.
    ///
    /// # Errors
    /// [`LearnError::Model`] when `side` is no multiple of 4 or there are fewer than two classes.
    pub fn sigmoid_lenet(side: usize, classes: &[String]) -> Result<Self, LearnError> {
        let model = Classifier::sigmoid_lenet(side, classes.len())?;
        Ok(Self { model, classes: classes.to_vec() })
    }

    /// With the light CNN.
    ///
    /// # Errors
    /// [`LearnError::Model`] when `side` is no multiple of 16 or there are fewer than two classes.
    pub fn light(side: usize, classes: &[String]) -> Result<Self, LearnError> {
        Self::new(ModelName::CnnLight, side, classes)
    }

    fn class(&self, label: u32) -> String {
        self.classes.get(label as usize).cloned().unwrap_or_default()
    }

    /// Refuses sites that were chosen by their size where most of a class went with the others.
    fn check_left_out(
        &self,
        dataset: &Dataset,
        kept: &BTreeMap<u32, usize>,
    ) -> Result<(), LearnError> {
        let smaller = |part: &&LeftOut| matches!(part.reason, LeftOutReason::Smaller(_));
        let mut gone = BTreeMap::new();
        let labels = dataset.left_out.iter().filter(smaller).flat_map(|part| &part.labels);
        labels.for_each(|(label, count)| *gone.entry(*label).or_insert(0) += count);
        for (label, gone) in gone {
            let kept = kept.get(&label).copied().unwrap_or(0);
            if gone > kept {
                let (class, sites) = (self.class(label), dataset.sites.len());
                return Err(DataError::ClassLeftOut { class, sites, kept, all: kept + gone }.into());
            }
        }
        Ok(())
    }

    fn label(&self, sample: &Sample) -> Result<u32, LearnError> {
        let refuse = |found| LearnError::Sample {
            sample: sample.name.clone(),
            task: TASK.name(),
            expected: format!("a label of {} classes", self.classes.len()),
            found,
        };
        match sample.label {
            Some(label) if (label as usize) < self.classes.len() => Ok(label),
            Some(label) => Err(refuse(format!("class number {label}"))),
            None => Err(refuse("no label".to_string())),
        }
    }
}

impl Task for Classification {
    fn name(&self) -> &'static str {
        TASK.name()
    }

    fn initial_weights(&self, seed: u64) -> Result<Weights, LearnError> {
        self.model.initial_weights(seed)
    }

    fn check_sample(&self, sample: &Sample) -> Result<(), LearnError> {
        check_shape(TASK, sample, (self.model.channels(), self.model.side()))?;
        self.label(sample).map(|_| ())
    }

    fn check(&self, dataset: &Dataset) -> Result<(), LearnError> {
        let mut seen = BTreeMap::new();
        for (_, sample) in dataset.sites.iter().flat_map(|site| site.samples()) {
            self.check_sample(sample)?;
            *seen.entry(self.label(sample)?).or_insert(0) += 1;
        }
        if seen.len() < 2 {
            let found = seen.keys().map(|class| self.class(*class)).collect();
            let others = dataset
                .left_out
                .iter()
                .filter(|part| part.labels.keys().any(|label| !seen.contains_key(label)));
            let others: Vec<_> = others.cloned().collect();
            let lost = left_out_summary(&others).filter(|_| !others.is_empty());
            return Err(DataError::OneClass { found, sites: dataset.sites.len(), lost }.into());
        }
        self.check_left_out(dataset, &seen)
    }

    fn one_class(&self, samples: &[Sample]) -> Option<String> {
        let first = samples.first()?.label?;
        let all = samples.iter().all(|sample| sample.label == Some(first));
        all.then(|| self.class(first))
    }

    fn check_image(&self, sample: &Sample) -> Result<(), LearnError> {
        check_shape(TASK, sample, (self.model.channels(), self.model.side()))
    }

    fn prediction(&self, logits: &[f32]) -> Prediction {
        let shares = softmax(logits);
        Prediction {
            class: self.classes.get(highest(logits)).cloned(),
            values: self.classes.iter().cloned().zip(shares).collect(),
            mask: None,
        }
    }

    fn logits(&self, parameters: &Parameters, images: &Tensor) -> candle_core::Result<Tensor> {
        self.model.logits(parameters, images)
    }

    fn last_block(
        &self,
        parameters: &Parameters,
        images: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        self.model.last_block(parameters, images)
    }

    fn logits_after(&self, parameters: &Parameters, block: &Tensor) -> candle_core::Result<Tensor> {
        self.model.logits_after(parameters, block)
    }

    fn loss(&self, logits: &Tensor, samples: &[&Sample]) -> Result<Tensor, LearnError> {
        let labels =
            samples.iter().map(|sample| self.label(sample)).collect::<Result<Vec<_>, _>>()?;
        let labels = Tensor::from_vec(labels, samples.len(), logits.device())?;
        Ok(cross_entropy(logits, &labels)?)
    }

    // All models normalise within an image, and none uses a tensor twice.
    fn images_are_independent(&self) -> bool {
        true
    }

    fn scores(&self, samples: &[Sample], logits: &[Vec<f32>]) -> Result<Scores, LearnError> {
        let mut counts = vec![Counts::default(); self.classes.len()];
        let mut right = 0;
        for (sample, logits) in samples.iter().zip(logits) {
            let (truth, named) = (self.label(sample)? as usize, highest(logits));
            if truth == named {
                right += 1;
                counts[truth].true_positive += 1;
            } else {
                counts[truth].false_negative += 1;
                counts[named].false_positive += 1;
            }
        }
        let f1: Vec<f64> = counts.iter().filter_map(Counts::f1).collect();
        let one_class = self.one_class(samples);
        let told_apart = |value: f64| Some(value).filter(|_| one_class.is_none());
        let macro_f1 = ratio(f1.iter().sum(), f1.len() as f64, 0.0);
        let accuracy = ratio(f64::from(right), samples.len() as f64, 0.0);
        let mut others = vec![Score { name: "accuracy", value: Some(accuracy) }];
        if let [_, finding] = counts.as_slice() {
            others.push(Score { name: "F1", value: finding.f1().and_then(told_apart) });
        }
        let truths: Vec<u32> = samples.iter().filter_map(|sample| sample.label).collect();
        let shares: Vec<Vec<f64>> = logits.iter().map(|logits| softmax(logits)).collect();
        others.push(Score { name: "AUC", value: mean_auc(&truths, &shares, self.classes.len()) });
        let primary = Score { name: "macro-F1", value: told_apart(macro_f1) };
        Ok(Scores::new(primary, others).of_one_class(one_class))
    }

    fn picture(&self, sample: &Sample, logits: Option<&[f32]>) -> Result<Panel, LearnError> {
        let truth = self.label(sample)? as usize;
        let panel =
            |caption, right| Panel { picture: None, caption: Caption::Text(caption), right };
        let Some(logits) = logits else { return Ok(panel(self.classes[truth].clone(), None)) };
        let named = highest(logits);
        let share = softmax(logits)[named];
        let caption = format!("{} {:.0} %", self.classes[named], 100.0 * share);
        Ok(panel(caption, Some(named == truth)))
    }
}

/// Probabilities of the classes: `exp(z) / sum(exp(z))`, shifted so that nothing overflows.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|logit| f64::from(logit - top).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

/// Index of the highest value, the first of equals.
fn highest(logits: &[f32]) -> usize {
    let better = |best: usize, (index, logit): (usize, &f32)| {
        if *logit > logits[best] { index } else { best }
    };
    logits.iter().enumerate().fold(0, better)
}

/// Samples of one class by truth and prediction.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    true_positive: u32,
    false_positive: u32,
    false_negative: u32,
}

impl Counts {
    /// `None` where the class neither occurs nor is predicted.
    fn f1(&self) -> Option<f64> {
        let all = 2 * self.true_positive + self.false_positive + self.false_negative;
        (all > 0).then(|| f64::from(2 * self.true_positive) / f64::from(all))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::data::dataset::SiteData;
    use crate::task::score::mean_for_choice;

    fn sample(label: Option<u32>) -> Sample {
        let (name, group) = ("a".into(), "p".into());
        Sample { name, group, image: vec![0.5; 256], label, mask: None, own_mask: None }
    }

    fn task(classes: &[&str]) -> Classification {
        let classes: Vec<String> = classes.iter().map(ToString::to_string).collect();
        Classification::light(16, &classes).unwrap()
    }

    #[test]
    fn scores_by_hand() {
        let two = task(&["normal", "lesion"]);
        let samples = [0, 0, 0, 1].map(|label| sample(Some(label)));
        let logits =
            [0, 0, 1, 1].map(|class| if class == 1 { vec![-1.0, 1.0] } else { vec![1.0, -1.0] });
        let scores = two.scores(&samples, &logits).unwrap();
        // normal: TP 2, FN 1: 4/5; lesion: TP 1, FP 1: 2/3.
        assert!((scores.get("macro-F1").unwrap() - (0.8 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!(scores.get("accuracy"), Some(0.75));
        assert!((scores.get("F1").unwrap() - 2.0 / 3.0).abs() < 1e-12);
        // Of the three pairs of a lesion and a normal image two are in order, one is a tie.
        assert!((scores.get("AUC").unwrap() - 2.5 / 3.0).abs() < 1e-12);

        let three = task(&["a", "b", "c"]);
        let samples = [0, 1].map(|label| sample(Some(label)));
        let scores = three.scores(&samples, &[vec![1.0, 0.0, 0.0], vec![1.0, 0.0, 0.0]]).unwrap();
        // a: TP 1, FP 1: 2/3; b: FN 1: 0; c is nowhere and does not count.
        assert!((scores.primary().value.unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(scores.get("F1"), None);
    }

    #[test]
    fn one_class_leaves_undefined_how_well_classes_are_told_apart() {
        let two = task(&["normal", "lesion"]);
        for (label, class) in [(0, "normal"), (1, "lesion")] {
            let samples = [label; 3].map(|label| sample(Some(label)));
            // Always the class that there is; always the other.
            for (named, right) in [(label, 1.0), (1 - label, 0.0)] {
                let logits = [named; 3].map(|named| [[1.0, 0.0], [0.0, 1.0]][named as usize]);
                let scores = two.scores(&samples, &logits.map(|l| l.to_vec())).unwrap();
                assert_eq!(scores.one_class(), Some(class));
                assert_eq!((scores.get("macro-F1"), scores.get("F1")), (None, None));
                assert_eq!(scores.get("AUC"), None);
                assert_eq!(scores.get("accuracy"), Some(right));
                assert_eq!(scores.leading(), Some(("accuracy", right)));
                assert_eq!(scores.pairs()[0], ("macro-F1".to_string(), None));
            }
        }
        let mixed = [0, 1].map(|label| sample(Some(label)));
        let scores = two.scores(&mixed, &[vec![1.0, 0.0], vec![1.0, 0.0]]).unwrap();
        assert_eq!((scores.one_class(), scores.get("F1")), (None, Some(0.0)));
    }

    #[test]
    fn models_are_chosen_by_the_sites_where_the_primary_score_is_defined() {
        let scores = |primary, accuracy| {
            let accuracy = Score { name: "accuracy", value: Some(accuracy) };
            Scores::new(Score { name: "macro-F1", value: primary }, vec![accuracy])
        };
        let (one, other) = (scores(Some(0.25), 1.0), scores(Some(0.75), 0.0));
        let one_class = scores(None, 1.0);
        assert_eq!(mean_for_choice(&[one.clone(), one_class.clone(), other]), 0.5);
        assert_eq!(mean_for_choice(&[one, one_class.clone()]), 0.25);
        assert_eq!(mean_for_choice(&[one_class, scores(None, 0.5)]), 0.75);
    }

    #[test]
    fn the_largest_sites_are_refused_where_most_of_a_class_goes_with_the_others() {
        let task = task(&["normal", "lesion"]);
        let (train, test) = (vec![sample(Some(0)); 4], vec![sample(Some(1)); 3]);
        let site = SiteData { site: "s".into(), train, validation: vec![], test };
        let left_out = |lesions, reason| LeftOut {
            site: Some("t".into()),
            images: lesions,
            labels: BTreeMap::from([(1, lesions)]),
            reason,
        };
        let check = |left_out| {
            let (classes, sites) = (task.classes.clone(), vec![site.clone()]);
            let (side, unused_columns, remarks, names_patients) = (16, vec![], vec![], false);
            task.check(&Dataset {
                side,
                classes,
                sites,
                left_out,
                unused_columns,
                remarks,
                names_patients,
            })
        };
        check(vec![left_out(3, LeftOutReason::Smaller(1))]).unwrap();
        check(vec![left_out(9, LeftOutReason::OneGroup)]).unwrap();
        let two =
            vec![left_out(3, LeftOutReason::Smaller(1)), left_out(1, LeftOutReason::Smaller(1))];
        let error = check(two).unwrap_err().to_string();
        assert!(
            error.starts_with("the largest site has 3 of the 7 images of class `lesion`"),
            "{error}"
        );
    }

    #[test]
    fn loss_is_the_mean_negative_log_likelihood() {
        let task = task(&["normal", "lesion"]);
        let logits = Tensor::new(&[[0.0_f32, 0.0], [2.0, 0.0]], &Device::Cpu).unwrap();
        let loss = task.loss(&logits, &[&sample(Some(1)), &sample(Some(0))]).unwrap();
        let expected = (std::f32::consts::LN_2 + (1.0 + (-2.0_f32).exp()).ln()) / 2.0;
        assert!((loss.to_scalar::<f32>().unwrap() - expected).abs() < 1e-6);
    }

    #[test]
    fn one_class_or_no_label_is_refused_before_training() {
        let task = task(&["normal", "lesion"]);
        let site = SiteData {
            site: "s".into(),
            train: vec![sample(Some(1))],
            validation: vec![],
            test: vec![sample(Some(1))],
        };
        let mut data = Dataset {
            side: 16,
            classes: vec![],
            sites: vec![site],
            left_out: vec![],
            unused_columns: vec![],
            remarks: vec![],
            names_patients: false,
        };
        let error = task.check(&data).unwrap_err().to_string();
        assert!(error.contains("found `lesion` only, at the only site"), "{error}");
        data.sites[0].train.push(sample(Some(0)));
        task.check(&data).unwrap();
        data.sites[0].train.push(sample(None));
        assert!(task.check(&data).unwrap_err().to_string().contains("no label"));
        data.sites[0].train[2].label = Some(2);
        assert!(task.check(&data).unwrap_err().to_string().contains("class number 2"));
    }
}
