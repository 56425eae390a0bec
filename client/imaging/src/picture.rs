//! PNG, JPEG, TIFF and GIF, by the `image` crate.

pub(crate) mod marks;

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader};

use crate::error::Fault;
use crate::format::Format;
use crate::options::{Limits, ReadOptions};
use crate::stack::{Info, Plane, Scale, Stack};

/// Reads a picture as one plane, scaled by its bits to `[0, 1]` and turned as it is shown.
///
/// Colour becomes grey by the weights of Rec. ITU-R BT.709 (0.2126, 0.7152, 0.0722); alpha is
/// ignored, a palette resolved. Of an animation or a file of several pages the first is read.
pub(crate) fn read(bytes: &[u8], format: Format, options: &ReadOptions) -> Result<Stack, Fault> {
    options.slices.which.of(1)?;
    let Picture { image, bits, channels } = Picture::decode(bytes, format, options.limits)?;
    let high = if wide(&image) { f64::from(u16::MAX) } else { f64::from(u8::MAX) };
    let (width, height) = (image.width() as usize, image.height() as usize);
    // The weights of white add up to a little more than 1 in 32 bits.
    let values = image.to_luma32f().into_raw().into_iter().map(|value| value.min(1.0)).collect();
    let scale = Scale::Unit { low: 0.0, high };
    let info = Info { format, bits, channels, slices: 1, transfer_syntax: None, scale };
    Ok(Stack { info, width, height, planes: vec![Plane { index: 0, values }] })
}

/// Whether a channel has 16 bits.
fn wide(image: &DynamicImage) -> bool {
    let colour = image.color();
    colour.bytes_per_pixel() / colour.channel_count() > 1
}

/// A decoded picture, turned as it is shown.
struct Picture {
    image: DynamicImage,
    /// Bits a channel in the file.
    bits: u16,
    /// Channels in the file.
    channels: u16,
}

impl Picture {
    fn decode(bytes: &[u8], format: Format, limits: Limits) -> Result<Self, Fault> {
        let known = match format {
            Format::Jpeg => ImageFormat::Jpeg,
            Format::Tiff => ImageFormat::Tiff,
            Format::Gif => ImageFormat::Gif,
            _ => ImageFormat::Png,
        };
        marks::check(bytes, format, limits)?;
        let fault = |error| image_fault(format, error);
        let mut allowed = image::Limits::default();
        // Decoders hold up to 8 bytes a pixel (16-bit RGBA), with a buffer of their own.
        allowed.max_alloc = Some(limits.values.saturating_mul(12));
        let mut reader = ImageReader::with_format(Cursor::new(bytes), known);
        reader.limits(allowed.clone());
        let mut decoder = reader.into_decoder().map_err(fault)?;
        let (width, height) = decoder.dimensions();
        Fault::limit("pixels", limits.values, u64::from(width) * u64::from(height))?;
        let stored = decoder.original_color_type();
        let channels = u16::from(stored.channel_count());
        let bits = stored.bits_per_pixel() / channels.max(1);
        allowed.reserve(decoder.total_bytes()).map_err(fault)?;
        decoder.set_limits(allowed).map_err(fault)?;
        let orientation = match format {
            // Anywhere in the file; the decoder knows what stands before the pixels.
            Format::Png => {
                let exif = marks::png_chunk(bytes, *b"eXIf");
                exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
            }
            _ => decoder.orientation().map_err(fault)?,
        };
        let mut image = DynamicImage::from_decoder(decoder).map_err(fault)?;
        if matches!(image, DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_)) {
            return Err(Fault::Unsupported {
                format,
                what: "32-bit floats, whose range is unknown".to_string(),
                advice: "save it with 8 or 16 bits a channel",
            });
        }
        image.apply_orientation(orientation);
        Ok(Self { image, bits, channels })
    }
}

fn image_fault(format: Format, error: ImageError) -> Fault {
    match error {
        ImageError::Unsupported(error) => Fault::Unsupported {
            format,
            what: format!("an unusual encoding ({error})"),
            advice: "save it as an ordinary 8- or 16-bit PNG",
        },
        ImageError::Limits(error) => {
            Fault::damaged(format, format!("its header asks for more memory than allowed: {error}"))
        }
        error => Fault::damaged(format, error.to_string()),
    }
}
