//! Masks: which channel and which values are inside, and where they lie on their image.

mod drawn;
mod inside;
mod place;

use std::path::Path;

use crate::detect::detect;
use crate::error::{Fault, ImagingError};
use crate::format::Format;
use crate::options::{Axis, Limits};
use crate::read::load;
use crate::stack::Stack;
use crate::{dicom, nifti, picture};

pub(crate) use drawn::{Drawn, Meaning, Part, Source, single_channel};
use inside::Decided;
pub(crate) use inside::check_blurred;

/// What of a mask file is taken for inside, where it holds more than inside and outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskOptions {
    /// The labels that are inside: stored values of pictures and volumes (of a palette the indices,
    /// unless `channel` chooses a channel of its colours), numbers of segments in DICOM
    /// segmentations. Empty where there is only one.
    pub labels: Vec<u32>,
    /// The channel that holds the mask, from 0: of a picture red, green, blue and alpha (or grey and
    /// alpha), of a four-dimensional NIfTI file the volume. `None` where there is only one.
    pub channel: Option<usize>,
}

/// The mask of an image, and what it was drawn with.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    /// For each plane of the image, in its order, `width * height` values that are 1 inside and 0
    /// outside.
    pub planes: Vec<Vec<f32>>,
    /// The one label, beside 0, of a mask of two levels: it was taken for inside because there is no
    /// other. Of a palette it is the grey, not the index. `None` where labels were chosen, or where
    /// the values say nothing of the kind.
    pub only_label: Option<u32>,
    /// Where labels were chosen and none of them stands anywhere in the file: the values that stand
    /// there, in words. One such mask may show nothing of what was chosen; where all are such, the
    /// choice was another one than was meant.
    pub without_chosen: Option<String>,
}

/// Reads the mask of an image.
///
/// Where image and mask both say where they lie in the patient, they are brought together by that,
/// else by the order of slices and pixels. `axis` is the one across which `image` was cut.
///
/// # Errors
/// [`ImagingError`] if the mask cannot be read, holds more than two values and none is chosen, or
/// does not lie on its image.
pub fn read_mask(
    path: &Path,
    image: &Stack,
    axis: Axis,
    options: &MaskOptions,
    limits: Limits,
) -> Result<Mask, ImagingError> {
    let read = || {
        let drawn = draw(path, image, axis, options, limits)?;
        let Decided { drawn, only_label, without_chosen } = inside::decide(drawn, &options.labels)?;
        Ok(Mask { planes: place::on(image, drawn)?, only_label, without_chosen })
    };
    read().map_err(|fault| ImagingError { path: path.to_path_buf(), fault })
}

/// The mask as stored, cut as its image is.
fn draw(
    path: &Path,
    image: &Stack,
    axis: Axis,
    options: &MaskOptions,
    limits: Limits,
) -> Result<Drawn, Fault> {
    if path.is_dir() {
        let series = dicom::Volume::of_series(path, limits)?;
        return series.mask(options, limits);
    }
    let bytes = load(path, limits)?;
    match detect(&bytes)? {
        Format::Nifti => {
            let directions = match &image.geometry {
                Some(geometry) => [geometry.across, geometry.down, geometry.normal()],
                None => nifti::directions(axis),
            };
            nifti::mask(&bytes, directions, options.channel, limits)
        }
        Format::Dicom => dicom::Volume::of_file(&bytes, limits)?.mask(options, limits),
        picture => picture::mask(&bytes, picture, options, limits),
    }
}
