//! PNG, JPEG, TIFF and GIF, by the `image` crate.

mod directory;
mod huffman;
pub(crate) mod marks;
mod pages;
mod palette;
pub(crate) mod scans;
mod tags;
mod xmp;

use std::io::Cursor;

use image::metadata::Orientation;
use image::{
    DynamicImage, GenericImageView as _, ImageBuffer, ImageDecoder as _, ImageError, ImageFormat,
    ImageReader,
};

use crate::error::Fault;
use crate::format::Format;
use crate::mask::{Drawn, MaskOptions, Meaning, check_blurred, single_channel};
use crate::options::{Channels, Limits, ReadOptions};
use crate::stack::{Info, Plane, Scale, Stack};
use palette::Indexed;

/// Reads a picture as one plane, scaled by its bits to `[0, 1]` and turned as it is shown.
///
/// Unless it is asked for, colour becomes grey by the weights of Rec. ITU-R BT.709 (0.2126, 0.7152,
/// 0.0722); alpha is ignored, a palette resolved to colours. Files of several pages or frames are refused.
pub(crate) fn read(bytes: &[u8], format: Format, options: &ReadOptions) -> Result<Stack, Fault> {
    options.slices.which.of(1)?;
    check(bytes, format, options.limits)?;
    let Picture { mut image, orientation, bits, channels } =
        Picture::decode(bytes, format, options.limits)?;
    let count = options.channels.count() as u64;
    let pixels = u64::from(image.width()) * u64::from(image.height());
    Fault::limit("values of the picture", options.limits.values, pixels.saturating_mul(count))?;
    image.apply_orientation(orientation);
    let high = if wide(&image) { f64::from(u16::MAX) } else { f64::from(u8::MAX) };
    let (width, height) = (image.width() as usize, image.height() as usize);
    let values = match options.channels {
        // The weights of white add up to a little more than 1 in 32 bits.
        Channels::Grey => {
            image.to_luma32f().into_raw().into_iter().map(|value| value.min(1.0)).collect()
        }
        Channels::Colour if !image.color().has_color() => return Err(Fault::Grey { format }),
        Channels::Colour => {
            let pixels = image.to_rgb32f().into_raw();
            let channel = |first: usize| pixels.iter().skip(first).step_by(3).copied();
            (0..3).flat_map(channel).collect()
        }
    };
    let scale = Scale::Unit { low: 0.0, high };
    let info = Info { format, bits, channels, slices: 1, transfer_syntax: None, scale };
    let planes = vec![Plane { index: 0, values, instance: None, frame: 0 }];
    Ok(Stack { info, width, height, planes, geometry: None })
}

/// Reads a picture as a mask, with its stored values: of a palette the indices, where labels choose
/// among them. Of a TIFF in which 0 is white it has those that are shown.
pub(crate) fn mask(
    bytes: &[u8],
    format: Format,
    options: &MaskOptions,
    limits: Limits,
) -> Result<Drawn, Fault> {
    check(bytes, format, limits)?;
    if let Some(picture) = Indexed::decode(bytes, format, limits)? {
        let (values, meaning) = (picture.values(options)?, Meaning::Levels);
        return Ok(shown(format, picture.size, values, tags::orientation(bytes, format)?, meaning));
    }
    let Picture { image, orientation, bits, .. } = Picture::decode(bytes, format, limits)?;
    let (width, height) = image.dimensions();
    let count = usize::from(image.color().channel_count());
    let has_alpha = image.color().has_alpha();
    // Channels of less than 8 bits have been spread over 8.
    let spread = if bits < 8 { 255 / ((1 << bits) - 1) } else { 1 };
    let stored: Vec<u16> = match &image {
        image if wide(image) => image
            .as_bytes()
            .as_chunks::<2>()
            .0
            .iter()
            .map(|word| u16::from_ne_bytes(*word))
            .collect(),
        image => image.as_bytes().iter().map(|byte| u16::from(*byte) / spread).collect(),
    };
    let channels = (0..count).map(|channel| stored.iter().skip(channel).step_by(count));
    let channels = channels.map(|channel| channel.map(|value| f32::from(*value)).collect());
    let values = single_channel(channels.collect(), has_alpha, options.channel)?;
    let mut meaning = Meaning::Levels;
    if format == Format::Jpeg {
        meaning = Meaning::Blurred;
        check_blurred(&values, width as usize, if count == 1 { 8 } else { 16 })?;
    }
    let values = values.into_iter().map(|value| value as u16).collect();
    let mut drawn = shown(format, (width, height), values, orientation, meaning);
    if format == Format::Png && marks::png_bits(bytes).is_some_and(|bits| bits < 8) {
        drawn.counted = " (a grey PNG of fewer than 8 bits counts from 0 to 255)";
    } else if tags::stores_white_as_0(bytes, format) {
        drawn.counted = " (a TIFF in which 0 is white counts as it is shown)";
    }
    Ok(drawn)
}

/// A mask of one channel, turned as it is shown.
fn shown(
    format: Format,
    (width, height): (u32, u32),
    values: Vec<u16>,
    orientation: Orientation,
    meaning: Meaning,
) -> Drawn {
    let buffer = ImageBuffer::from_raw(width, height, values).unwrap_or_default();
    let mut shown = DynamicImage::ImageLuma16(buffer);
    shown.apply_orientation(orientation);
    let size = (shown.width() as usize, shown.height() as usize);
    let values = shown.into_luma16().into_raw().into_iter().map(f32::from).collect();
    Drawn::plain(format, size, vec![values], meaning)
}

/// What has to be so before a file is decoded: it is whole, of one page, and its bits in order.
fn check(bytes: &[u8], format: Format, limits: Limits) -> Result<(), Fault> {
    marks::check(bytes, format, limits)?;
    pages::check(bytes, format)?;
    tags::check_fill_order(bytes, format)
}

/// Whether a channel has 16 bits.
fn wide(image: &DynamicImage) -> bool {
    let colour = image.color();
    colour.bytes_per_pixel() / colour.channel_count() > 1
}

/// A decoded picture.
struct Picture {
    image: DynamicImage,
    /// How it is turned to be shown.
    orientation: Orientation,
    /// Bits a channel in the file.
    bits: u16,
    /// Channels in the file.
    channels: u16,
}

impl Picture {
    /// Marks have been checked.
    fn decode(bytes: &[u8], format: Format, limits: Limits) -> Result<Self, Fault> {
        let known = match format {
            Format::Jpeg => ImageFormat::Jpeg,
            Format::Tiff => ImageFormat::Tiff,
            Format::Gif => ImageFormat::Gif,
            _ => ImageFormat::Png,
        };
        let orientation = tags::orientation(bytes, format)?;
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
        let image = DynamicImage::from_decoder(decoder).map_err(fault)?;
        if matches!(image, DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_)) {
            return Err(Fault::Unsupported {
                format,
                what: "32-bit floats, whose range is unknown".to_string(),
                advice: "save it with 8 or 16 bits a channel",
            });
        }
        Ok(Self { image, orientation, bits, channels })
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
