//! A study's images, by site and by what they are for.

use std::collections::BTreeSet;

use ringfence_words::listed;

use super::left_out::LeftOut;
use super::own_mask::OwnMask;

/// One image of one site.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name of the sample: its path in the folder (with `#` and the slice of a volume), or its
    /// number in the file.
    pub name: String,
    /// The patient or volume it belongs to. A group is never in two splits.
    pub group: String,
    /// Grey values in `[0, 1]`, row-major, `side * side` of them; in colour three times as many, all
    /// of red, then green, then blue.
    pub image: Vec<f32>,
    /// Index into [`Dataset::classes`].
    pub label: Option<u32>,
    /// 0 outside and 1 inside what is to be segmented, for each of the `side * side` pixels.
    pub mask: Option<Vec<f32>>,
    /// The mask at the size of the image's file, where predictions are scored at that, too: of test
    /// images only, and of data in which any of these has another size than `side`.
    pub own_mask: Option<OwnMask>,
}

impl Sample {
    /// Channels and side of the image, by the number of its values: one channel where that is a
    /// square, three where it is three times a square, which no square is. `None` for others.
    #[must_use]
    pub fn shape(&self) -> Option<(usize, usize)> {
        let values = self.image.len();
        [1, 3].into_iter().find_map(|channels| {
            let side = (values / channels).isqrt();
            (channels * side * side == values).then_some((channels, side))
        })
    }
}

/// What a sample is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// Weights are learnt from it.
    Train,
    /// Checkpoints and settings are chosen by it.
    Validation,
    /// The final score is taken on it, and nothing else.
    Test,
}

impl Split {
    /// The three of them.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// As written in `labels.csv`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "val",
            Self::Test => "test",
        }
    }
}

/// One site's samples. `train` and `test` are never empty; `validation` may be.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteData {
    /// Name of the site.
    pub site: String,
    /// Samples to learn from.
    pub train: Vec<Sample>,
    /// Samples to choose checkpoints by.
    pub validation: Vec<Sample>,
    /// Samples to score on.
    pub test: Vec<Sample>,
}

impl SiteData {
    /// The samples of one split.
    #[must_use]
    pub fn split(&self, split: Split) -> &[Sample] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }

    /// The samples by which models are chosen: validation, or training where there is none.
    #[must_use]
    pub fn choosing(&self) -> &[Sample] {
        if self.validation.is_empty() { &self.train } else { &self.validation }
    }

    /// Share of the pixels of this site's masks that are inside, in `[0, 1]`; `None` without masks.
    /// An inverted mask shows here before it is learnt.
    #[must_use]
    pub fn share_inside(&self) -> Option<f64> {
        let masks = || self.samples().filter_map(|(_, sample)| sample.mask.as_ref());
        let pixels: usize = masks().map(Vec::len).sum();
        let inside: f64 = masks().flatten().map(|value| f64::from(*value)).sum();
        (pixels > 0).then(|| inside / pixels as f64)
    }

    /// The patients or volumes that there are to learn from.
    #[must_use]
    pub fn training_groups(&self) -> BTreeSet<&str> {
        self.train.iter().map(|sample| sample.group.as_str()).collect()
    }

    /// How many images there are to train, choose and test with, what of the masks is inside, and how
    /// many images there are of each of the classes: one that is misspelt shows here.
    #[must_use]
    pub fn summary(&self, classes: &[String]) -> String {
        let Self { train, validation, test, .. } = self;
        let counts = format!(
            "{:>4} training, {:>3} validation, {:>3} test images",
            train.len(),
            validation.len(),
            test.len()
        );
        let share = self.share_inside();
        let share = share.map(|share| format!("{:.1}% of the pixels inside", 100.0 * share));
        let parts = [Some(counts), share, self.by_class(classes)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// How many images there are of each class and without one; `None` where none has a class.
    fn by_class(&self, classes: &[String]) -> Option<String> {
        let mut counts = vec![0; classes.len()];
        let mut without = 0;
        for (_, sample) in self.samples() {
            match sample.label.and_then(|label| counts.get_mut(label as usize)) {
                Some(count) => *count += 1,
                None => without += 1,
            }
        }
        let any = counts.iter().any(|count| *count > 0);
        let counts = classes.iter().zip(counts).map(|(class, count)| format!("{count} `{class}`"));
        let without = (without > 0).then(|| format!("{without} without a class"));
        any.then(|| listed(counts.chain(without)))
    }

    /// All samples with their splits.
    pub fn samples(&self) -> impl Iterator<Item = (Split, &Sample)> {
        Split::ALL
            .into_iter()
            .flat_map(|split| self.split(split).iter().map(move |sample| (split, sample)))
    }
}

/// A study's data, by site.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Height and width of every image, in pixels.
    pub side: usize,
    /// Names of the classes; labels index into it. Empty when nothing is labelled.
    pub classes: Vec<String>,
    /// The sites, sorted by name.
    pub sites: Vec<SiteData>,
    /// What of the data takes no part, sites by name.
    pub left_out: Vec<LeftOut>,
    /// Columns of the table that mean nothing here.
    pub unused_columns: Vec<String>,
    /// What a person should know of how the files were read, a sentence each.
    pub remarks: Vec<String>,
    /// Whether groups are patients by the data's own word. Otherwise they are volumes or files, of
    /// which one patient may have several.
    pub names_patients: bool,
}

impl Dataset {
    /// The site of this name.
    #[must_use]
    pub fn site(&self, name: &str) -> Option<&SiteData> {
        self.sites.iter().find(|site| site.site == name)
    }
}
