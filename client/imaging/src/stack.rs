//! What is read of a file.

use crate::format::Format;
use crate::geometry::Geometry;

/// What was read of a file: one plane or several, all of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// What the file is.
    pub info: Info,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The slices asked for, in the order asked for.
    pub planes: Vec<Plane>,
    /// Where all slices of the file lie in the patient, also those that were not asked for; `None`
    /// where the file does not say.
    pub geometry: Option<Geometry>,
}

/// One slice.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// Its index along the axis; 0 in a picture.
    pub index: usize,
    /// Row-major values, `width * height` of them; see [`Info::scale`]. In colour three times as
    /// many: all of red, then all of green, then all of blue.
    pub values: Vec<f32>,
    /// DICOM: the SOP Instance UID of the file that holds it, where the file says.
    pub instance: Option<String>,
    /// DICOM: which frame of that file it is, from 0.
    pub frame: usize,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// Its format.
    pub format: Format,
    /// Bits a channel that are used.
    pub bits: u16,
    /// Channels: 1 for grey or a palette, 3 for colour, one more with alpha.
    pub channels: u16,
    /// How many slices it has along the axis.
    pub slices: usize,
    /// DICOM: UID and name of the transfer syntax, `None` where the file does not say.
    pub transfer_syntax: Option<(String, String)>,
    /// What the values mean.
    pub scale: Scale,
}

/// What a plane's values mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Values in `[0, 1]`: 0 stands for `low` in the file's own units, and 1 for `high`
    /// (exchanged in MONOCHROME1, where low values are shown bright). Of a multi-frame file whose
    /// frames have windows of their own, the first plane's.
    Unit {
        /// What is black.
        low: f64,
        /// What is white.
        high: f64,
    },
    /// The file's own values.
    Stored,
}
