//! How images are read and divided.

use ringfence_imaging::{Axis, Intensity, ReadOptions, SliceOptions, Slices};
use ringfence_learning::DataOptions;

use crate::retired::{Retired, renamed};

/// The anatomical axis across which a volume is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AxisName {
    Axial,
    Coronal,
    Sagittal,
}

/// Arguments that say how a data folder or MedMNIST file is read.
#[derive(Clone, Debug, clap::Args)]
pub struct DataArgs {
    /// Number of sites: the data's own are divided, or the largest kept as long as these have half
    /// of every class.
    #[arg(long)]
    pub sites: Option<usize>,
    /// Most images a site; all unless given.
    #[arg(long)]
    pub max_per_site: Option<usize>,
    /// Concentration of the Dirichlet distribution that spreads classes over sites where the data
    /// name none: near 0 each class sits at one site.
    #[arg(long, default_value_t = 0.5)]
    dirichlet: f64,
    /// Divide by patient anew even if the data have a `split` column.
    #[arg(long)]
    ignore_split: bool,
    /// Simulate scanners: each site's images as another scanner takes them, at this strength (1.0
    /// is the documented range; 0 leaves them as they are; up to 3).
    #[arg(long, value_name = "STRENGTH")]
    scanners: Option<f32>,
    /// Window of NIfTI and DICOM images: CENTER,WIDTH in the file's own units; the lung window is
    /// -600,1500. The file's own unless given.
    #[arg(long, value_name = "CENTER,WIDTH", value_parser = window, allow_hyphen_values = true)]
    window: Option<Intensity>,
    /// Axis across which volumes are cut into slices.
    #[arg(long, value_enum, default_value_t = AxisName::Axial)]
    axis: AxisName,
    /// Take every K-th slice of a volume.
    #[arg(long, value_name = "K", default_value_t = 1)]
    every: usize,
    /// Labels of the masks that are inside, where they have more than one: stored values, or
    /// numbers of segments.
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    mask_label: Vec<u32>,
    /// Channel that holds the mask, counted from 0, where a mask file has several: of a picture red,
    /// green, blue and alpha, of a four-dimensional file the volume.
    #[arg(long, value_name = "CHANNEL")]
    mask_channel: Option<usize>,
    /// The name that --scanners had.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "",
        value_parser = renamed("--devices", "--scanners"))]
    devices: Option<Retired>,
}

fn window(text: &str) -> Result<Intensity, String> {
    let wrong =
        || format!("expected CENTER,WIDTH with a width above 0, as in -600,1500; got {text}");
    let (center, width) = text.split_once(',').ok_or_else(wrong)?;
    match (center.trim().parse::<f64>(), width.trim().parse::<f64>()) {
        (Ok(center), Ok(width)) if center.is_finite() && width.is_finite() && width > 0.0 => {
            Ok(Intensity::Window { center, width })
        }
        _ => Err(wrong()),
    }
}

impl DataArgs {
    /// How files are read, without a table beside them.
    #[must_use]
    pub fn imaging(&self) -> ReadOptions {
        let axis = match self.axis {
            AxisName::Axial => Axis::Axial,
            AxisName::Coronal => Axis::Coronal,
            AxisName::Sagittal => Axis::Sagittal,
        };
        let which = if self.every == 1 { Slices::All } else { Slices::Every(self.every) };
        let slices = SliceOptions { axis, which, time: 0 };
        let intensity = self.window.unwrap_or_default();
        ReadOptions { slices, intensity, ..ReadOptions::default() }
    }

    /// How the data are read and divided.
    #[must_use]
    pub fn options(&self, side: usize, seed: u64, classes: &[String]) -> DataOptions {
        DataOptions {
            side,
            seed,
            sites: self.sites,
            max_per_site: self.max_per_site,
            dirichlet_alpha: self.dirichlet,
            ignore_split: self.ignore_split,
            classes: classes.to_vec(),
            scanners: self.scanners,
            imaging: self.imaging(),
            mask: MaskOptions { labels: self.mask_label.clone(), channel: self.mask_channel },
            ..DataOptions::default()
        }
    }
}
