//! A study's images by site: read from a folder, read from a MedMNIST file, or generated.
//!
//! Everything is checked before training starts: every image is decoded, every mask has its
//! image's size, and no patient is in two splits.

pub(super) mod device;
mod divide;
mod error;
mod folder;
mod grey;
mod medmnist;
mod memory;
pub mod phantom;
mod skew;
mod stack;
mod table;

use std::collections::BTreeSet;
use std::path::Path;

pub use device::Device;
pub use error::DataError;
pub use folder::write as write_folder;
pub use ringfence_imaging::ReadOptions;
pub use stack::{Picture, read_pictures};

/// One image of one site.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name of the sample: its path in the folder (with `#` and the slice of a volume), or its
    /// number in the file.
    pub name: String,
    /// The patient or volume it belongs to. A group is never in two splits.
    pub group: String,
    /// Grey values in `[0, 1]`, row-major, `side * side` of them.
    pub image: Vec<f32>,
    /// Index into [`Dataset::classes`].
    pub label: Option<u32>,
    /// 0 outside and 1 inside what is to be segmented; as many values as `image`.
    pub mask: Option<Vec<f32>>,
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
    /// Sites that cannot take part, each with the reason.
    pub left_out: Vec<(String, String)>,
    /// Sites that take part, but with data that classification can learn less from than it may
    /// seem, each with what to know of them.
    pub notes: Vec<(String, String)>,
}

impl Dataset {
    /// The site of this name.
    #[must_use]
    pub fn site(&self, name: &str) -> Option<&SiteData> {
        self.sites.iter().find(|site| site.site == name)
    }

    /// Sites whose training images are all of one class, unless that is so of the whole study,
    /// which [`Task::check`](super::Task::check) refuses.
    fn one_class_sites(&self) -> Vec<(String, String)> {
        let labels = |samples: &mut dyn Iterator<Item = &Sample>| -> BTreeSet<u32> {
            samples.filter_map(|sample| sample.label).collect()
        };
        let all = labels(
            &mut self.sites.iter().flat_map(|site| site.samples()).map(|(_, sample)| sample),
        );
        if all.len() < 2 {
            return Vec::new();
        }
        let only = |site: &SiteData| {
            let found = labels(&mut site.train.iter());
            let label = found.first().filter(|_| found.len() == 1)?;
            let class = self.classes.get(*label as usize).cloned().unwrap_or_default();
            let text = format!(
                "has training images of the class `{class}` only: alone it learns to name nothing else; give it others, or expect little of its local model"
            );
            Some((site.site.clone(), text))
        };
        self.sites.iter().filter_map(only).collect()
    }
}

/// How data are read and divided.
#[derive(Clone, Debug, PartialEq)]
pub struct DataOptions {
    /// Height and width to bring every image to, in pixels.
    pub side: usize,
    /// How many sites there shall be; `None` leaves the data's own sites as they are (and makes
    /// five where the data name none).
    pub sites: Option<usize>,
    /// Fixes every division that is drawn by chance.
    pub seed: u64,
    /// Keeps at most this many samples a site (of which each split keeps its share, and no split
    /// becomes empty), so that training stays short. Which ones is drawn with `seed`.
    pub max_per_site: Option<usize>,
    /// Concentration of the Dirichlet distribution by which classes are spread over sites where the
    /// data name none, as in MedMNIST files and tables without a column `site`: near 0 each class
    /// sits at one site, large values make all sites alike.
    pub dirichlet_alpha: f64,
    /// Divides by group anew even if there is a `split` column: for data whose split was made by
    /// site, so that no site has both training and test images.
    pub ignore_split: bool,
    /// The study's classes, in the order of their labels. Empty takes them from the data, which is
    /// right only where all sites' data are at hand: one site may not have every class. A label
    /// that is a number and no class's name counts as an index into this list.
    pub classes: Vec<String>,
    /// Strength, in `[0, 1]`, at which every site's images are made anew by a device of its own (see
    /// [`Device::of_site`]), those for testing too: a hospital's scanner
    /// makes its test images as well. `None` leaves them as they are.
    pub devices: Option<f32>,
    /// Bytes that the samples may take; `None` asks the system what is free, where it tells (Linux).
    pub memory: Option<u64>,
    /// How the files of a folder are read: the window of NIfTI and DICOM images, and which slices
    /// along which axis are taken of a volume whose row in `labels.csv` names none.
    pub imaging: ReadOptions,
}

impl Default for DataOptions {
    /// 64 px, the data's own sites, everything kept, Dirichlet 0.5 (the usual choice for label
    /// skew since Li et al., "Federated Learning on Non-IID Data Silos", 2022).
    fn default() -> Self {
        Self {
            side: 64,
            sites: None,
            seed: 1,
            max_per_site: None,
            dirichlet_alpha: 0.5,
            ignore_split: false,
            classes: Vec::new(),
            devices: None,
            memory: None,
            imaging: ReadOptions::default(),
        }
    }
}

/// Sites that are made where the data name none.
pub(crate) const DEFAULT_SITES: usize = 5;

/// Reads a folder with `labels.csv`, or a MedMNIST `.npz` file.
///
/// # Errors
/// [`DataError`], naming the file and, where there is one, the line, site or group at fault.
pub fn load(path: &Path, options: &DataOptions) -> Result<Dataset, DataError> {
    options.check()?;
    let mut dataset = if path.is_dir() {
        folder::load(path, options)?
    } else if path.extension().is_some_and(|extension| extension == "npz") {
        medmnist::load(path, options)?
    } else if path.exists() {
        return Err(DataError::Unknown { path: path.to_path_buf() });
    } else {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(DataError::File { path: path.to_path_buf(), source });
    };
    dataset.notes = dataset.one_class_sites();
    Ok(dataset)
}

/// The class a label means in a study's list of classes: by the class's name, else by the label
/// itself, as a name or as an index.
pub(crate) fn class_number(classes: &[String], name: &str, label: &str) -> Option<usize> {
    let named = |wanted: &str| classes.iter().position(|class| class == wanted);
    let index = || label.parse::<usize>().ok().filter(|index| *index < classes.len());
    named(name).or_else(|| named(label)).or_else(index)
}

impl DataOptions {
    /// The device of the site at `position` among the sorted sites.
    fn device(&self, position: usize) -> Device {
        Device::of_site(self.seed, position, self.devices.unwrap_or(0.0))
    }

    fn check(&self) -> Result<(), DataError> {
        let refuse =
            |option, expected, found: String| Err(DataError::Option { option, expected, found });
        if self.side < 8 || self.side > 1024 {
            return refuse("side", "8 to 1024 pixels", self.side.to_string());
        }
        if self.sites == Some(0) {
            return refuse("sites", "at least one site", "0".to_string());
        }
        if self.max_per_site.is_some_and(|max| max < 3) {
            return refuse(
                "max_per_site",
                "at least 3 samples",
                format!("{:?}", self.max_per_site),
            );
        }
        if !(self.dirichlet_alpha.is_finite() && self.dirichlet_alpha > 0.0) {
            return refuse(
                "dirichlet_alpha",
                "a positive number",
                self.dirichlet_alpha.to_string(),
            );
        }
        let strengths = 0.0..=device::MOST_STRENGTH;
        if let Some(strength) = self.devices.filter(|strength| !strengths.contains(strength)) {
            return refuse("devices", "a strength from 0 to 3", strength.to_string());
        }
        Ok(())
    }
}
