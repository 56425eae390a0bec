//! How data are read and divided.

use ringfence_imaging::{MaskOptions, ReadOptions};

use super::error::DataError;
use super::scanner::{MOST_STRENGTH, Scanner};

/// How data are read and divided.
#[derive(Clone, Debug, PartialEq)]
pub struct DataOptions {
    /// Height and width to bring every image to, in pixels.
    pub side: usize,
    /// How many sites there shall be; `None` leaves the data's own sites as they are (and makes
    /// five where the data name none).
    pub sites: Option<usize>,
    /// How many sites there shall be at least where `sites` does not say: fewer of the data's own
    /// are cut.
    pub least_sites: usize,
    /// Reads the images of one site alone; `sites` means nothing then.
    pub one_site: Option<OneSite>,
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
    /// right only where all sites' data are at hand: one site may not have every class. A table's
    /// labels are names of these; a MedMNIST file's are numbers of their places, from 0.
    pub classes: Vec<String>,
    /// Strength, in `[0, 3]`, at which every site's images are made anew by a scanner of its own
    /// (see [`Scanner::of_site`]), those for testing too: a hospital's scanner makes its test
    /// images as well. `None` leaves them as they are.
    pub scanners: Option<f32>,
    /// Bytes that the samples may take; `None` asks the system what is free, where it tells
    /// (Linux).
    pub memory: Option<u64>,
    /// How the files of a folder are read: the window of NIfTI and DICOM images, and which slices
    /// along which axis are taken of a volume whose row in `labels.csv` names none.
    pub imaging: ReadOptions,
    /// Which channel and which labels of the masks of a folder are inside. None are chosen where
    /// masks have two levels.
    pub mask: MaskOptions,
}

/// Which site's images are read, where it is one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OneSite {
    /// The only one that the data name, or all of data that name none. Several are refused.
    Only,
    /// The one of this name.
    Named(String),
}

impl Default for DataOptions {
    /// 64 px, the data's own sites, everything kept, Dirichlet 0.5 (the usual choice for label
    /// skew since Li et al., "Federated Learning on Non-IID Data Silos", 2022).
    fn default() -> Self {
        Self {
            side: 64,
            sites: None,
            least_sites: 1,
            one_site: None,
            seed: 1,
            max_per_site: None,
            dirichlet_alpha: 0.5,
            ignore_split: false,
            classes: Vec::new(),
            scanners: None,
            memory: None,
            imaging: ReadOptions::default(),
            mask: MaskOptions::default(),
        }
    }
}

impl DataOptions {
    /// The scanner of the site at `position` among the sorted sites.
    pub(super) fn scanner(&self, position: usize) -> Scanner {
        Scanner::of_site(self.seed, position, self.scanners.unwrap_or(0.0))
    }

    pub(super) fn check(&self) -> Result<(), DataError> {
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
        let strengths = 0.0..=MOST_STRENGTH;
        if let Some(strength) = self.scanners.filter(|strength| !strengths.contains(strength)) {
            return refuse("scanners", "a strength from 0 to 3", strength.to_string());
        }
        Ok(())
    }
}
