//! Grey values of any size to values of one size, and back to a file.

use std::path::Path;

use image::imageops::FilterType;
use image::{ImageBuffer, ImageError, Luma};

use super::error::DataError;

type Grey = ImageBuffer<Luma<f32>, Vec<f32>>;

/// Brings grey values in `[0, 1]`, row-major, to `side * side` of them.
///
/// An image that is not square is squeezed to a square. The triangle filter spans all source
/// pixels of a target pixel, so that shrinking averages and does not alias.
pub(super) fn square(values: Vec<f32>, (width, height): (usize, usize), side: usize) -> Vec<f32> {
    let length = |side: usize| u32::try_from(side).unwrap_or(0);
    resize(Grey::from_raw(length(width), length(height), values).unwrap_or_default(), side)
}

/// Brings a mask of 0 and 1 to `side * side` of them: a pixel is inside when at least half of it is.
pub(super) fn square_mask(mask: Vec<f32>, size: (usize, usize), side: usize) -> Vec<f32> {
    square(mask, size, side).into_iter().map(|value| f32::from(value >= 0.5)).collect()
}

/// Brings a square grey image to another side; 28 px are first padded by two black pixels on
/// each edge to 32, which halves evenly.
pub(super) fn fit(values: &[f32], from: usize, side: usize) -> Vec<f32> {
    let (values, from) = if from == 28 && side.is_multiple_of(32) {
        (pad(values, from, 2), 32)
    } else {
        (values.to_vec(), from)
    };
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

/// Writes `side * side` grey values in `[0, 1]` as an 8-bit PNG.
pub(super) fn write(path: &Path, values: &[f32], side: usize) -> Result<(), DataError> {
    let pixels = values.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
    let side = u32::try_from(side).unwrap_or(u32::MAX);
    let image = ImageBuffer::<Luma<u8>, Vec<u8>>::from_raw(side, side, pixels).unwrap_or_default();
    image.save(path).map_err(|source| match source {
        ImageError::IoError(source) => DataError::File { path: path.to_path_buf(), source },
        source => DataError::Image { path: path.to_path_buf(), source },
    })
}

fn resize(grey: Grey, side: usize) -> Vec<f32> {
    let target = u32::try_from(side).unwrap_or(u32::MAX);
    let grey = if grey.dimensions() == (target, target) {
        grey
    } else {
        image::imageops::resize(&grey, target, target, FilterType::Triangle)
    };
    grey.into_raw().into_iter().map(|value| value.clamp(0.0, 1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_averages_and_masks_stay_binary() {
        let stripes = (0..64 * 32).map(|index| f32::from(index % 2_u16) * 0.8).collect();
        let values = square(stripes, (64, 32), 16);
        assert_eq!(values.len(), 256);
        assert!(values.iter().all(|value| (value - 0.4).abs() < 0.05), "{values:?}");
        let halves = |inside: f32| -> Vec<f32> {
            (0..64 * 64).map(|index| if index % 64 >= 32 { inside } else { 0.0 }).collect()
        };
        for row in square_mask(halves(1.0), (64, 64), 16).chunks_exact(16) {
            assert_eq!(row, [[0.0; 8], [1.0; 8]].concat());
        }
    }
}
