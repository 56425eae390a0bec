//! Images of any size to squares of one size, and back to a file.

use std::io::Cursor;
use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, RgbImage};

use super::error::DataError;

/// Brings values in `[0, 1]`, row-major, to `side * side` of them; of a colour image each channel,
/// which stand one after the other.
///
/// An image that is not square is squeezed to a square. The triangle filter spans all source
/// pixels of a target pixel, so that shrinking averages and does not alias.
pub(super) fn square(values: &[f32], size: (usize, usize), side: usize) -> Vec<f32> {
    let pixels = size.0.saturating_mul(size.1).max(1);
    values.chunks_exact(pixels).flat_map(|channel| resize(channel, size, side)).collect()
}

/// Brings a mask of 0 and 1 to `side * side` of them: a pixel is inside when at least half of it is.
pub(super) fn square_mask(mask: &[f32], size: (usize, usize), side: usize) -> Vec<f32> {
    square(mask, size, side).into_iter().map(|value| f32::from(value >= 0.5)).collect()
}

/// Brings a square image to another side; 28 px are first padded by two black pixels on each edge
/// to 32, which halves evenly.
pub(super) fn fit(values: &[f32], from: usize, side: usize) -> Vec<f32> {
    if from == 28 && side.is_multiple_of(32) {
        let padded = values.chunks_exact(from * from).flat_map(|channel| pad(channel, from, 2));
        return square(&padded.collect::<Vec<f32>>(), (32, 32), side);
    }
    square(values, (from, from), side)
}

fn pad(values: &[f32], side: usize, edge: usize) -> Vec<f32> {
    let wide = side + 2 * edge;
    let mut padded = vec![0.0; wide * wide];
    for (row, values) in values.chunks_exact(side).enumerate() {
        padded[(row + edge) * wide + edge..][..side].copy_from_slice(values);
    }
    padded
}

/// Pixels of 8 bits for values in `[0, 1]`, channels last: of one channel, or of red, green and blue
/// one after the other.
pub(crate) fn bytes(values: &[f32], channels: usize) -> Vec<u8> {
    let byte = |value: &f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    let pixels = values.len() / channels.max(1);
    let pixel = |place: usize| values.iter().skip(place).step_by(pixels).map(byte);
    (0..pixels).flat_map(pixel).collect()
}

/// Writes `side * side` values in `[0, 1]`, or three times as many in colour, as an 8-bit PNG.
pub(super) fn write(path: &Path, values: &[f32], side: usize) -> Result<(), DataError> {
    let channels = if values.len() == 3 * side * side { 3 } else { 1 };
    let pixels = bytes(values, channels);
    let side = u32::try_from(side).unwrap_or(u32::MAX);
    let image = if channels == 3 {
        DynamicImage::from(RgbImage::from_raw(side, side, pixels).unwrap_or_default())
    } else {
        DynamicImage::from(GrayImage::from_raw(side, side, pixels).unwrap_or_default())
    };
    let mut file = Cursor::new(Vec::new());
    let encoded = image.write_to(&mut file, ImageFormat::Png);
    encoded.map_err(|source| DataError::Image { path: path.to_path_buf(), source })?;
    let written = ringfence_durable::write_result(path, file.get_ref());
    written.map_err(|source| DataError::File { path: path.to_path_buf(), source })
}

fn resize(channel: &[f32], (width, height): (usize, usize), side: usize) -> Vec<f32> {
    let length = |side: usize| u32::try_from(side).unwrap_or(0);
    let target = length(side);
    let image = ImageBuffer::<Luma<f32>, &[f32]>::from_raw(length(width), length(height), channel);
    let values = match image {
        Some(image) if image.dimensions() != (target, target) => {
            image::imageops::resize(&image, target, target, FilterType::Triangle).into_raw()
        }
        _ => channel.to_vec(),
    };
    values.into_iter().map(|value| value.clamp(0.0, 1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_averages_and_masks_stay_binary() {
        let stripes: Vec<f32> = (0..64 * 32).map(|index| f32::from(index % 2_u16) * 0.8).collect();
        let values = square(&stripes, (64, 32), 16);
        assert_eq!(values.len(), 256);
        assert!(values.iter().all(|value| (value - 0.4).abs() < 0.05), "{values:?}");
        let halves = |inside: f32| -> Vec<f32> {
            (0..64 * 64).map(|index| if index % 64 >= 32 { inside } else { 0.0 }).collect()
        };
        for row in square_mask(&halves(1.0), (64, 64), 16).chunks_exact(16) {
            assert_eq!(row, [[0.0; 8], [1.0; 8]].concat());
        }
    }

    #[test]
    fn channels_are_resized_each_on_its_own_and_written_pixel_by_pixel() {
        let channels = [0.2, 0.5, 0.9];
        let image = channels.map(|value| [value; 28 * 28]).concat();
        let seen = fit(&image, 28, 32);
        for (channel, value) in seen.chunks_exact(32 * 32).zip(channels) {
            assert_eq!((channel[0], channel[16 * 32 + 16]), (0.0, value));
            assert_eq!(channel.iter().filter(|found| **found == value).count(), 28 * 28);
        }
        let pixels = bytes(&[0.0, 1.0, 0.2, 0.4, 0.6, 2.0], 3);
        assert_eq!(pixels, [0, 51, 153, 255, 102, 255]);
        assert_eq!(bytes(&[0.0, 1.0, 0.2], 1), [0, 255, 51]);
    }
}
