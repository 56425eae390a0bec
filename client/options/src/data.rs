//! How images are read and divided.

use anyhow::ensure;
use ringfence_imaging::{Axis, Intensity, MaskOptions, ReadOptions, SliceOptions, Slices};
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
    /// name none: near 0 each class sits at one site. 0.5 unless given.
    #[arg(long)]
    dirichlet: Option<f64>,
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
    /// Axis across which volumes are cut into slices; axial unless given.
    #[arg(long, value_enum)]
    axis: Option<AxisName>,
    /// Take every K-th slice of a volume; all unless given.
    #[arg(long, value_name = "K")]
    every: Option<usize>,
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
            None | Some(AxisName::Axial) => Axis::Axial,
            Some(AxisName::Coronal) => Axis::Coronal,
            Some(AxisName::Sagittal) => Axis::Sagittal,
        };
        let which = match self.every {
            None | Some(1) => Slices::All,
            Some(every) => Slices::Every(every),
        };
        let slices = SliceOptions { axis, which, time: 0 };
        let intensity = self.window.unwrap_or_default();
        ReadOptions { slices, intensity, ..ReadOptions::default() }
    }

    /// Refuses what says how files are read where none are: generated images would not heed it.
    ///
    /// # Errors
    /// With the options that were given.
    pub fn check_without_data(&self) -> anyhow::Result<()> {
        let given = [
            ("--dirichlet", self.dirichlet.is_some()),
            ("--ignore-split", self.ignore_split),
            ("--scanners", self.scanners.is_some()),
            ("--window", self.window.is_some()),
            ("--axis", self.axis.is_some()),
            ("--every", self.every.is_some()),
            ("--mask-label", !self.mask_label.is_empty()),
            ("--mask-channel", self.mask_channel.is_some()),
        ];
        let given: Vec<&str> =
            given.iter().filter_map(|(option, given)| given.then_some(*option)).collect();
        ensure!(
            given.is_empty(),
            "{} would change nothing: the images are generated; name some with --data, or leave it out",
            given.join(", ")
        );
        Ok(())
    }

    /// How the data are read and divided.
    #[must_use]
    pub fn options(&self, side: usize, seed: u64, classes: &[String]) -> DataOptions {
        let unless_told = DataOptions::default();
        DataOptions {
            side,
            seed,
            sites: self.sites,
            max_per_site: self.max_per_site,
            dirichlet_alpha: self.dirichlet.unwrap_or(unless_told.dirichlet_alpha),
            ignore_split: self.ignore_split,
            classes: classes.to_vec(),
            scanners: self.scanners,
            imaging: self.imaging(),
            mask: MaskOptions { labels: self.mask_label.clone(), channel: self.mask_channel },
            ..unless_told
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        data: DataArgs,
    }

    #[test]
    fn without_data_nothing_is_said_of_how_they_are_read() {
        let check = |words: &[&str]| {
            let words = ["demo"].iter().chain(words);
            Only::try_parse_from(words).unwrap().data.check_without_data()
        };
        check(&["--sites", "5", "--max-per-site", "8"]).unwrap();
        for words in [
            &["--dirichlet", "0"][..],
            &["--ignore-split"],
            &["--scanners", "4"],
            &["--window", "-600,1500"],
            &["--axis", "axial"],
            &["--every", "1"],
        ] {
            let error = check(words).unwrap_err().to_string();
            assert!(error.contains(words[0]) && error.contains("--data"), "{error}");
        }
        let both = check(&["--scanners", "1", "--axis", "coronal"]).unwrap_err().to_string();
        assert!(both.contains("--scanners, --axis"), "{both}");
    }
}
