//! What a model says of an image, and how it is shown.

use image::{Rgb, RgbImage};

use crate::data::dataset::Sample;

/// What a model says of one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// The class, where classes are learnt.
    pub class: Option<String>,
    /// Named numbers: the probability of each class, or the share of the image that is segmented.
    pub values: Vec<(String, f64)>,
    /// The probability of each pixel, `side * side`, where pixels are learnt.
    pub mask: Option<Vec<f32>>,
}

/// One picture of a prediction sheet.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// The picture, `side * side` pixels.
    pub picture: RgbImage,
    /// A short line below it.
    pub caption: String,
    /// Whether the prediction is right, where that is a question of yes or no.
    pub right: Option<bool>,
}

/// A sample's grey picture.
pub(crate) fn grey_picture(sample: &Sample, side: usize) -> RgbImage {
    let side = u32::try_from(side).unwrap_or(0);
    let grey = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    let pixels = sample.image.iter().flat_map(|value| [grey(*value); 3]).collect();
    RgbImage::from_raw(side, side, pixels).unwrap_or_default()
}

/// Colour and strength of a mask over its image.
const MASK: [f32; 3] = [255.0, 64.0, 48.0];
const OVERLAY: f32 = 0.45;

/// A grey pixel, tinted where it is inside a mask.
#[must_use]
pub fn tinted(grey: u8, inside: bool) -> Rgb<u8> {
    let mix = |colour: f32| (f32::from(grey) * (1.0 - OVERLAY) + colour * OVERLAY) as u8;
    Rgb(if inside { MASK.map(mix) } else { [grey; 3] })
}
