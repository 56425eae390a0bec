//! How good predictions are, where a table says what is true.

use ringfence_learning::data::Picture;
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
/// of masks four counts in all and the sum of their Dice coefficients.
#[derive(Debug)]
pub(super) struct Judged {
    task: TaskName,
    /// The classes by name, as the model has them.
    classes: Vec<String>,
    /// Images whose truth is known.
    count: usize,
    overlap: Overlap,
    /// Sum and number of the Dice coefficients of the images that have one.
    dice: (f64, usize),
    samples: Vec<Sample>,
    logits: Vec<Vec<f32>>,
}

impl Judged {
    pub(super) fn new(task: TaskName, classes: &[String]) -> Self {
        Self {
            task,
            classes: classes.to_vec(),
            count: 0,
            overlap: Overlap::default(),
            dice: (0.0, 0),
            samples: Vec::new(),
            logits: Vec::new(),
        }
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

    /// Counts an image, and gives the fields of these columns: empty where its truth is unknown, or
    /// a score undefined, as Dice is where nothing is inside.
    pub(super) fn add(
        &mut self,
        picture: &Picture,
        logits: &[f32],
        inside: Option<&[bool]>,
    ) -> Vec<String> {
        let sample = &picture.sample;
        let fields = match self.task {
            TaskName::Segmentation => inside.zip(sample.own_mask.as_ref()).map(|(inside, mask)| {
                let overlap = Overlap::of(mask.pixels().zip(inside.iter().copied()));
                self.overlap.add(overlap);
                let mut scores = vec![String::new(); 2];
                if overlap.one_class().is_none() {
                    self.dice = (self.dice.0 + overlap.dice(), self.dice.1 + 1);
                    scores = [overlap.dice(), overlap.jaccard()].map(number).to_vec();
                }
                [vec![number(mask.share_inside())], scores].concat()
            }),
            TaskName::Classification => sample.label.map(|label| {
                self.samples.push(Sample { image: Vec::new(), mask: None, ..sample.clone() });
                self.logits.push(logits.to_vec());
                vec![self.classes.get(label as usize).cloned().unwrap_or_default()]
            }),
        };
        self.count += usize::from(fields.is_some());
        fields.unwrap_or_else(|| vec![String::new(); self.columns().len()])
    }

    /// The scores over all images whose truth is known, and of how many of all predicted ones it is.
    pub(super) fn summary(&self, predicted: usize, task: &dyn Task) -> Result<String, LearnError> {
        let truth = match self.task {
            TaskName::Segmentation => "a mask",
            TaskName::Classification => "a label",
        };
        let have = if predicted == 1 { "has" } else { "have" };
        let images = counted(predicted as u64, "image");
        let known = format!("{} of {images} {have} {truth} in labels.csv", self.count);
        if self.count == 0 {
            return Ok(known);
        }
        let scores = match self.task {
            TaskName::Segmentation => self.overlap.scores_at_own_size(),
            TaskName::Classification => task.scores(&self.samples, &self.logits)?,
        };
        // A large lesion counts for more in all pixels together than in the mean of the images.
        let mean = match self.dice {
            (_, 0) => String::new(),
            (sum, count) => {
                let images = counted(count as u64, "image");
                format!("; mean {DICE_AT_OWN_SIZE} of {images} {:.3}", sum / count as f64)
            }
        };
        Ok(format!("{known}: {}{mean}", line(&scores.pairs(), scores.one_class())))
    }
}

/// As other numbers of the table.
fn number(value: f64) -> String {
    format!("{value:.4}")
}
