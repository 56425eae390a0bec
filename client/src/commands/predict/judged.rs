//! How good predictions are, where a table says what is true.

use std::path::Path;

use ringfence_learning::data::{Picture, Split};
use ringfence_learning::task::{
    DICE_AT_OWN_SIZE, JACCARD_AT_OWN_SIZE, Overlap, Prediction, inside_at_own_size,
};
use ringfence_learning::{LearnError, Sample, Task, TaskName};
use ringfence_options::score::line;
use ringfence_words::counted;

/// The mask that a prediction stands for, at its image's own size: whether each pixel is inside.
/// `None` where classes are predicted.
pub(super) fn inside(
    prediction: &Prediction,
    picture: &Picture,
    side: usize,
) -> Result<Option<Vec<bool>>, LearnError> {
    let size = (picture.width, picture.height);
    let inside = |probabilities: &Vec<f32>| inside_at_own_size(probabilities, side, size);
    prediction.mask.as_ref().map(inside).transpose()
}

/// Predictions beside what is true, image by image. Of each image with a class its numbers are kept,
/// of masks four counts.
#[derive(Debug)]
pub(super) struct Judged {
    task: TaskName,
    /// The classes by name, as the model has them.
    classes: Vec<String>,
    images: Vec<Image>,
    samples: Vec<Sample>,
    logits: Vec<Vec<f32>>,
}

/// One image.
#[derive(Debug)]
struct Image {
    /// What is true of it; `None` where nobody says, or it cannot be compared.
    truth: Option<Truth>,
    /// Whether the table says what is true of it.
    is_labelled: bool,
    /// Whether the table has it in the split for training.
    is_of_training: bool,
}

#[derive(Debug)]
struct Truth {
    /// The fields of [`Judged::columns`].
    fields: Vec<String>,
    /// Of masks.
    overlap: Option<Overlap>,
}

impl Judged {
    pub(super) fn new(task: TaskName, classes: &[String]) -> Self {
        let (images, samples, logits) = (Vec::new(), Vec::new(), Vec::new());
        Self { task, classes: classes.to_vec(), images, samples, logits }
    }

    /// The columns of `predictions.csv` that hold what is true of an image and how good its
    /// prediction is.
    pub(super) fn columns(&self) -> &'static [&'static str] {
        match self.task {
            TaskName::Segmentation => {
                &["true share of pixels", DICE_AT_OWN_SIZE, JACCARD_AT_OWN_SIZE]
            }
            TaskName::Classification => &["label"],
        }
    }

    /// Counts an image.
    pub(super) fn add(&mut self, picture: &Picture, logits: &[f32], inside: Option<&[bool]>) {
        let (sample, stated) = (&picture.sample, &picture.stated);
        let truth = match self.task {
            TaskName::Segmentation => inside.zip(sample.own_mask.as_ref()).map(|(inside, mask)| {
                let overlap = Overlap::of(mask.pixels().zip(inside.iter().copied()));
                // Dice is undefined where nothing is inside.
                let scores = match overlap.one_class() {
                    None => [overlap.dice(), overlap.jaccard()].map(number),
                    Some(_) => [String::new(), String::new()],
                };
                let fields = [vec![number(mask.share_inside())], scores.to_vec()].concat();
                Truth { fields, overlap: Some(overlap) }
            }),
            TaskName::Classification => sample.label.map(|label| {
                self.samples.push(Sample { image: Vec::new(), mask: None, ..sample.clone() });
                self.logits.push(logits.to_vec());
                let fields = vec![self.classes.get(label as usize).cloned().unwrap_or_default()];
                Truth { fields, overlap: None }
            }),
        };
        let is_labelled = truth.is_some() || stated.mask.is_some();
        let split = stated.split.as_deref().unwrap_or_default();
        let is_of_training = split.eq_ignore_ascii_case(Split::Train.name());
        self.images.push(Image { truth, is_labelled, is_of_training });
    }

    /// Takes the truth away from an image, counted from 0, whose mask means something else than others.
    pub(super) fn leave_out(&mut self, number: usize) {
        if let Some(image) = self.images.get_mut(number) {
            image.truth = None;
        }
    }

    /// The fields of [`Self::columns`] of an image, counted from 0: empty where its truth is unknown, or
    /// a score undefined.
    pub(super) fn fields(&self, number: usize) -> Vec<String> {
        let truth = self.images.get(number).and_then(|image| image.truth.as_ref());
        truth.map_or_else(|| vec![String::new(); self.columns().len()], |of| of.fields.clone())
    }

    /// The scores over all images that were compared, and of how many of all predicted ones it is; what
    /// keeps others from it, and what the scores are worth. `list` is the table with the reasons.
    pub(super) fn summary(&self, task: &dyn Task, list: &Path) -> Result<String, LearnError> {
        let truth = match self.task {
            TaskName::Segmentation => "mask",
            TaskName::Classification => "label",
        };
        let count = |is: fn(&Image) -> bool| self.images.iter().filter(|image| is(image)).count();
        let (labelled, compared) =
            (count(|image| image.is_labelled), count(|image| image.truth.is_some()));
        let have = if self.images.len() == 1 { "has" } else { "have" };
        let images = counted(self.images.len() as u64, "image");
        let mut said = format!("{labelled} of {images} {have} a {truth} in labels.csv");
        if compared < labelled {
            let of_these = match compared {
                0 => "none of them could be compared".to_owned(),
                _ => format!("{compared} of them could be compared"),
            };
            said += &format!(", and {of_these} (why not is in {})", list.display());
        }
        if compared == 0 {
            return Ok(said);
        }
        let overlaps = || self.images.iter().filter_map(|image| image.truth.as_ref()?.overlap);
        let scores = match self.task {
            TaskName::Segmentation => {
                let mut all = Overlap::default();
                overlaps().for_each(|overlap| all.add(overlap));
                all.scores_at_own_size()
            }
            TaskName::Classification => task.scores(&self.samples, &self.logits)?,
        };
        said += &format!(": {}", line(&scores.pairs(), scores.one_class()));
        // A large lesion counts for more in all pixels together than in the mean of the images.
        let dice = overlaps().filter(|overlap| overlap.one_class().is_none());
        let dice: Vec<f64> = dice.map(|overlap| overlap.dice()).collect();
        if !dice.is_empty() {
            let images = counted(dice.len() as u64, "image");
            let mean = dice.iter().sum::<f64>() / dice.len() as f64;
            said += &format!("; mean {DICE_AT_OWN_SIZE} of {images} {mean:.3}");
        }
        let trained = count(|image| image.truth.is_some() && image.is_of_training);
        if trained > 0 {
            let is = if trained == 1 { "is" } else { "are" };
            said += &format!(
                "\n{trained} of the {compared} compared {is} in the split `train` of labels.csv: of images that a model was trained on, scores say little (predictions.csv has each image's split)"
            );
        }
        Ok(said)
    }
}

/// As other numbers of the table.
fn number(value: f64) -> String {
    format!("{value:.4}")
}
