//! What a model says of an image, and how it is shown.

use image::{Rgb, RgbImage};

use crate::data::dataset::Sample;
use crate::data::raster::bytes;

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

/// What a prediction sheet shows of a sample's truth, or of a prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// A picture of `side * side` pixels, where it shows more than the image itself.
    pub picture: Option<RgbImage>,
    /// A short text.
    pub caption: Caption,
    /// Whether the prediction is right, where that is a question of yes or no.
    pub right: Option<bool>,
}

/// A panel's text.
#[derive(Clone, Debug, PartialEq)]
pub enum Caption {
    /// As it stands.
    Text(String),
    /// Percent of the pixels inside: of what, the sheet says.
    Inside(f64),
}

/// A sample's image as a picture, empty where it is no square.
pub(crate) fn shown(sample: &Sample) -> RgbImage {
    let (channels, side) = sample.shape().unwrap_or_default();
    let side = u32::try_from(side).unwrap_or(0);
    let pixels = rgb_pixels(&sample.image, channels).into_iter().flat_map(|Rgb(pixel)| pixel);
    RgbImage::from_raw(side, side, pixels.collect()).unwrap_or_default()
}

/// The pixels of an image of values in `[0, 1]`: of one channel, or of red, green and blue one after
/// the other.
#[must_use]
pub fn rgb_pixels(values: &[f32], channels: usize) -> Vec<Rgb<u8>> {
    let bytes = bytes(values, channels);
    let rgb = |pixel: &[u8]| match *pixel {
        [red, green, blue] => Rgb([red, green, blue]),
        _ => Rgb([pixel.first().copied().unwrap_or_default(); 3]),
    };
    bytes.chunks_exact(channels.max(1)).map(rgb).collect()
}

/// Whose mask lies over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tint {
    /// The data's.
    Truth,
    /// A model's.
    Prediction,
}

impl Tint {
    /// Its colour: blue and red as people with any colour vision tell apart.
    #[must_use]
    pub fn colour(self) -> Rgb<u8> {
        match self {
            Self::Truth => Rgb([40, 150, 255]),
            Self::Prediction => Rgb([255, 64, 48]),
        }
    }
}

/// Strength of a mask over its image.
const OVERLAY: f32 = 0.45;

/// A pixel, tinted where it is inside a mask.
#[must_use]
pub fn tinted(Rgb(pixel): Rgb<u8>, inside: bool, tint: Tint) -> Rgb<u8> {
    if !inside {
        return Rgb(pixel);
    }
    let mix = |channel: u8, tint: u8| {
        (f32::from(channel) * (1.0 - OVERLAY) + f32::from(tint) * OVERLAY) as u8
    };
    let ([red, green, blue], Rgb([r, g, b])) = (pixel, tint.colour());
    Rgb([mix(red, r), mix(green, g), mix(blue, b)])
}
