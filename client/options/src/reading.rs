//! How image and mask files are read.

use anyhow::ensure;
use ringfence_imaging::{
    Axis, Channels, Intensity, MaskOptions, ReadOptions, SliceOptions, Slices,
};

use crate::counts::each_once;

/// The anatomical axis across which a volume is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AxisName {
    Axial,
    Coronal,
    Sagittal,
}

/// Arguments that say how the files of a folder are read.
#[derive(Clone, Debug, clap::Args)]
pub struct ReadArgs {
    /// Window of NIfTI and DICOM images: CENTER,WIDTH in the file's own units; the lung window is
    /// -600,1500. The file's own unless given.
    #[arg(long, value_name = "CENTER,WIDTH", value_parser = window, allow_hyphen_values = true)]
    window: Option<Intensity>,
    /// Axis across which volumes are cut into slices; axial unless given.
    #[arg(long, value_enum)]
    axis: Option<AxisName>,
    /// Take every K-th slice of a volume, K 2 or more; all unless given.
    #[arg(long, value_name = "K", value_parser = step)]
    every: Option<usize>,
    /// Labels of the masks that are inside, where they have more than one: stored values, indices
    /// of palettes, or numbers of segments.
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    mask_label: Vec<u32>,
    /// Channel that holds the mask, counted from 0, where a mask file has several: of a picture red,
    /// green, blue and alpha, of a four-dimensional file the volume.
    #[arg(long, value_name = "CHANNEL")]
    mask_channel: Option<usize>,
}

fn step(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(step @ 2..) => Ok(step),
        Ok(1) => Err("expected 2 or more, got 1, which would change nothing: every slice is taken unless --every is given; leave it out".into()),
        _ => Err(format!("expected a whole number of 2 or more, got {text}")),
    }
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

impl ReadArgs {
    /// How images are read, with these channels.
    ///
    /// # Errors
    /// Where a window is given for images in colour, or a label twice.
    pub fn imaging(&self, channels: Channels) -> anyhow::Result<ReadOptions> {
        ensure!(
            self.window.is_none() || channels == Channels::Grey,
            "--window would change nothing: images in colour are scaled by their bits; leave it out"
        );
        each_once("--mask-label", &self.mask_label)?;
        let axis = self.axis.map(|axis| match axis {
            AxisName::Axial => Axis::Axial,
            AxisName::Coronal => Axis::Coronal,
            AxisName::Sagittal => Axis::Sagittal,
        });
        // Also the axial ones: what is given is to be heeded by some file.
        let which = self.every.map_or(Slices::All, Slices::Every);
        let slices = SliceOptions { axis, which, time: 0 };
        let intensity = self.window.unwrap_or_default();
        Ok(ReadOptions { slices, intensity, channels, ..ReadOptions::default() })
    }

    /// What of a mask file is inside.
    #[must_use]
    pub fn mask(&self) -> MaskOptions {
        MaskOptions { labels: self.mask_label.clone(), channel: self.mask_channel }
    }

    /// The options for images that were given.
    pub(crate) fn given_for_images(&self) -> Vec<&'static str> {
        given(&[
            ("--window", self.window.is_some()),
            ("--axis", self.axis.is_some()),
            ("--every", self.every.is_some()),
        ])
    }

    /// The options for masks that were given.
    #[must_use]
    pub fn given_for_masks(&self) -> Vec<&'static str> {
        given(&[
            ("--mask-label", !self.mask_label.is_empty()),
            ("--mask-channel", self.mask_channel.is_some()),
        ])
    }
}

/// The options that were given.
pub(crate) fn given(options: &[(&'static str, bool)]) -> Vec<&'static str> {
    options.iter().filter_map(|(option, given)| given.then_some(*option)).collect()
}
