//! What of a file is read, and how its values become grey.

use crate::error::Fault;

/// How a file is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOptions {
    /// Which slices.
    pub slices: SliceOptions,
    /// How the values of NIfTI and monochrome DICOM files become grey values. Pictures, and DICOM
    /// files in colour, are always scaled by their bits.
    pub intensity: Intensity,
    /// What of colour is read.
    pub channels: Channels,
    /// How much may be allocated.
    pub limits: Limits,
}

impl ReadOptions {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.intensity.check()?;
        let is_scaled = !matches!(self.intensity, Intensity::Auto | Intensity::Stored);
        if self.channels == Channels::Colour && is_scaled {
            return Err(Fault::Option {
                option: "window",
                expected: "none for images in colour, which are scaled by their bits",
                found: format!("{:?}", self.intensity),
            });
        }
        Ok(())
    }
}

/// Which channels a plane has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// One: colour becomes grey by the weights of Rec. ITU-R BT.709.
    #[default]
    Grey,
    /// Red, green and blue. Files in grey are refused; those that say that they hold colour may be
    /// grey all over.
    Colour,
}

impl Channels {
    /// How many there are.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Colour => 3,
        }
    }
}

/// Which slices of a volume are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliceOptions {
    /// The anatomical axis across which a NIfTI volume is cut; axial unless given. A
    /// multi-frame DICOM file is always cut into its frames.
    pub axis: Option<Axis>,
    /// Which slices along that axis.
    pub which: Slices,
    /// Which volume of a four-dimensional NIfTI file, from 0.
    pub time: usize,
}

/// An anatomical axis, and the orientation of the slices across it: always that in which a
/// radiologist sees them, whatever the order in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axis {
    /// Slices from inferior to superior; the patient's right at the left edge, anterior at the top.
    #[default]
    Axial,
    /// Slices from posterior to anterior; the patient's right at the left edge, superior at the
    /// top.
    Coronal,
    /// Slices from left to right; anterior at the left edge, superior at the top.
    Sagittal,
}

/// Which slices along the axis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Slices {
    /// Each.
    #[default]
    All,
    /// Slice 0 and every so many after it; at least 1.
    Every(usize),
    /// These, in this order.
    At(Vec<usize>),
}

impl Slices {
    /// The indices asked for, of `count`.
    ///
    /// # Errors
    /// [`Fault::Index`] for a slice that there is not, [`Fault::Option`] for a step of 0.
    pub fn of(&self, count: usize) -> Result<Vec<usize>, Fault> {
        match self {
            Self::All => Ok((0..count).collect()),
            Self::Every(0) => Err(Fault::Option {
                option: "every",
                expected: "at least 1",
                found: "0".to_string(),
            }),
            Self::Every(step) => Ok((0..count).step_by(*step).collect()),
            Self::At(indices) => match indices.iter().find(|index| **index >= count) {
                Some(&asked) => Err(Fault::Index { what: "slice", asked, count }),
                None => Ok(indices.clone()),
            },
        }
    }
}

/// How a file's values become grey values in `[0, 1]`. Values outside a range are clamped.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Intensity {
    /// DICOM: the file's first window; without one its bits, if they are at most 8 and mean
    /// nothing else, or its least and greatest value. NIfTI: the display range of the header;
    /// without one the percentiles 0.5 and 99.5 of the volume, to which nnU-Net clips CT
    /// (Isensee et al., Nature Methods 18, 2021).
    #[default]
    Auto,
    /// `center - width / 2` is black and `center + width / 2` is white, in the file's own units
    /// (Hounsfield units in CT). The lung window is -600 and 1500.
    Window {
        /// The middle of the window.
        center: f64,
        /// Its width, above 0.
        width: f64,
    },
    /// The least value of the file is black and the greatest white.
    MinMax,
    /// Two percentiles of the file, `0 <= low < high <= 100`.
    Percentiles {
        /// The percentile that is black.
        low: f64,
        /// The percentile that is white.
        high: f64,
    },
    /// No scaling: the file's own values, after its rescale slope and intercept. For masks.
    Stored,
}

impl Intensity {
    pub(crate) fn check(self) -> Result<(), Fault> {
        let (option, expected, good) = match self {
            Self::Auto | Self::MinMax | Self::Stored => return Ok(()),
            Self::Window { center, width } => (
                "window",
                "a finite center and a width above 0",
                center.is_finite() && width.is_finite() && width > 0.0,
            ),
            Self::Percentiles { low, high } => (
                "percentiles",
                "0 <= low < high <= 100",
                (0.0..100.0).contains(&low) && low < high && high <= 100.0,
            ),
        };
        let found = format!("{self:?}");
        if good { Ok(()) } else { Err(Fault::Option { option, expected, found }) }
    }
}

/// What may be allocated for one file. Checked against headers before anything is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the file, and of what is inflated from it.
    pub bytes: u64,
    /// Most values: of a picture, of a frame, of a volume, and of all slices asked for. Each takes
    /// 4 bytes, and decoding up to 12 more for those of one frame or of one volume.
    pub values: u64,
}

impl Default for Limits {
    /// 1 GiB, and 2^27 values: a CT volume of 512 x 512 x 512, or a picture of 134 megapixels.
    fn default() -> Self {
        Self { bytes: 1 << 30, values: 1 << 27 }
    }
}
