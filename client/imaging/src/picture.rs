//! PNG, JPEG, TIFF and GIF, by the `image` crate.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader};

use crate::error::Fault;
use crate::format::Format;
use crate::options::ReadOptions;
use crate::stack::{Info, Plane, Scale, Stack};

/// Reads a picture as one plane, scaled by its bits to `[0, 1]`.
///
/// Colour becomes grey by the weights of Rec. ITU-R BT.709 (0.2126, 0.7152, 0.0722); alpha is
/// ignored, a palette resolved. Of an animation or a file of several pages the first is read.
pub(crate) fn read(bytes: &[u8], format: Format, options: &ReadOptions) -> Result<Stack, Fault> {
    options.slices.which.of(1)?;
    let known = match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Tiff => ImageFormat::Tiff,
        Format::Gif => ImageFormat::Gif,
        _ => ImageFormat::Png,
    };
    if format == Format::Jpeg && !ends_after_its_scans(bytes) {
        return Err(Fault::damaged(
            format,
            "expected an end marker after the last scan, found none",
        ));
    }
    let fault = |error| image_fault(format, error);
    let mut limits = image::Limits::default();
    // Decoders hold up to 8 bytes a pixel (16-bit RGBA), with a buffer of their own.
    limits.max_alloc = Some(options.limits.values.saturating_mul(12));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), known);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    Fault::limit("pixels", options.limits.values, u64::from(width) * u64::from(height))?;
    let stored = decoder.original_color_type();
    let channels = u16::from(stored.channel_count());
    let bits = stored.bits_per_pixel() / channels.max(1);
    limits.reserve(decoder.total_bytes()).map_err(fault)?;
    decoder.set_limits(limits).map_err(fault)?;
    let image = DynamicImage::from_decoder(decoder).map_err(fault)?;
    if matches!(image, DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_)) {
        return Err(Fault::Unsupported {
            format,
            what: "32-bit floats, whose range is unknown".to_string(),
            advice: "save it with 8 or 16 bits a channel",
        });
    }
    let high = if image.color().bytes_per_pixel() / image.color().channel_count() > 1 {
        f64::from(u16::MAX)
    } else {
        f64::from(u8::MAX)
    };
    // The weights of white add up to a little more than 1 in 32 bits.
    let values = image.to_luma32f().into_raw().into_iter().map(|value| value.min(1.0)).collect();
    Ok(Stack {
        info: Info {
            format,
            bits,
            channels,
            slices: 1,
            transfer_syntax: None,
            scale: Scale::Unit { low: 0.0, high },
        },
        width: width as usize,
        height: height as usize,
        planes: vec![Plane { index: 0, values }],
    })
}

/// Decoders fill up what is missing of a truncated JPEG in grey, so it is looked for here: the end
/// marker comes after the last start of a scan. Neither can stand within a scan's data (ITU T.81,
/// B.1.1.5), but the end of a thumbnail stands before.
pub(crate) fn ends_after_its_scans(bytes: &[u8]) -> bool {
    let last = |marker| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) > last(0xda)
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
