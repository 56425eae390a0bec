//! Image files to grey values of one size, and back.

use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, ImageBuffer, ImageError, ImageReader, Luma};

use super::DataError;

type Grey = ImageBuffer<Luma<f32>, Vec<f32>>;

/// Reads a PNG, JPEG or TIFF file (8 or 16 bit, grey or colour) as `side * side` grey values in
/// `[0, 1]`, and its original width and height.
///
/// An image that is not square is squeezed to a square. The triangle filter spans all source
/// pixels of a target pixel, so that shrinking averages and does not alias.
pub(super) fn read_image(path: &Path, side: usize) -> Result<(Vec<f32>, (u32, u32)), DataError> {
    let grey = read(path)?;
    let size = grey.dimensions();
    Ok((resize(grey, side), size))
}

/// Reads a mask of the given width and height as `side * side` values, 0 or 1.
///
/// A pixel is inside when it is above half of the mask's brightest one: masks come as 0 and 1,
/// as 0 and 255, and as JPEG with ringing. After resizing it is inside when at least half of it is.
pub(super) fn read_mask(path: &Path, size: (u32, u32), side: usize) -> Result<Vec<f32>, DataError> {
    let mut mask = read(path)?;
    if mask.dimensions() != size {
        let found = mask.dimensions();
        return Err(DataError::MaskSize { path: path.to_path_buf(), expected: size, found });
    }
    let half = mask.iter().copied().fold(0.0, f32::max) / 2.0;
    mask.iter_mut().for_each(|value| *value = f32::from(*value > half));
    Ok(resize(mask, side).into_iter().map(|value| f32::from(value >= 0.5)).collect())
}

/// Brings a square grey image to another side; 28 px are first padded by two black pixels on
/// each edge to 32, which halves evenly.
pub(super) fn fit(values: &[f32], from: usize, side: usize) -> Vec<f32> {
    let (values, from) = if from == 28 && side.is_multiple_of(32) {
        (pad(values, from, 2), 32)
    } else {
        (values.to_vec(), from)
    };
    let from = u32::try_from(from).unwrap_or(0);
    resize(Grey::from_raw(from, from, values).unwrap_or_default(), side)
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
    image.save(path).map_err(|source| image_error(path, source))
}

fn read(path: &Path) -> Result<Grey, DataError> {
    let file = |source| DataError::File { path: path.to_path_buf(), source };
    let reader = ImageReader::open(path).map_err(file)?.with_guessed_format().map_err(file)?;
    let image = reader.decode().map_err(|source| image_error(path, source))?;
    if matches!(image, DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_)) {
        let text = "expected 8 or 16 bits a channel, found 32-bit floats, whose range is unknown";
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, text);
        return Err(DataError::File { path: path.to_path_buf(), source });
    }
    Ok(image.to_luma32f())
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

fn image_error(path: &Path, source: ImageError) -> DataError {
    match source {
        ImageError::IoError(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => {
            DataError::File { path: path.to_path_buf(), source }
        }
        source => DataError::Image { path: path.to_path_buf(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_and_sixteen_bits_in_three_formats_read_alike() {
        let folder = tempfile::tempdir().unwrap();
        let eight = ImageBuffer::from_fn(16, 16, |x, y| Luma([(x * 10 + y) as u8]));
        let sixteen = ImageBuffer::from_fn(16, 16, |x, y| Luma([(x * 10 + y) as u16 * 257]));
        for name in ["a.png", "a.tiff", "a.jpeg"] {
            eight.save(folder.path().join(name)).unwrap();
        }
        for name in ["b.png", "b.tiff"] {
            sixteen.save(folder.path().join(name)).unwrap();
        }
        for (name, most) in
            [("a.png", 1e-6), ("a.tiff", 1e-6), ("b.png", 1e-6), ("b.tiff", 1e-6), ("a.jpeg", 0.05)]
        {
            let (values, size) = read_image(&folder.path().join(name), 16).unwrap();
            assert_eq!(size, (16, 16));
            for (index, value) in values.iter().enumerate() {
                let expected = (index % 16 * 10 + index / 16) as f32 / 255.0;
                assert!((value - expected).abs() <= most, "{name}: {value} and {expected}");
            }
        }
    }

    #[test]
    fn shrinking_averages_and_masks_stay_binary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stripes.png");
        ImageBuffer::from_fn(64, 32, |x, _| Luma([if x % 2 == 0 { 0_u8 } else { 200 }]))
            .save(&path)
            .unwrap();
        let (values, size) = read_image(&path, 16).unwrap();
        assert_eq!(size, (64, 32));
        assert!(values.iter().all(|value| (value - 100.0 / 255.0).abs() < 0.05));
        ImageBuffer::from_fn(64, 64, |x, _| Luma([u8::from(x >= 32)])).save(&path).unwrap();
        let mask = read_mask(&path, (64, 64), 16).unwrap();
        for row in mask.chunks_exact(16) {
            assert_eq!(row, [[0.0; 8], [1.0; 8]].concat());
        }
        let error = read_mask(&path, (64, 32), 16).unwrap_err().to_string();
        assert!(error.contains("64 x 32") && error.contains("found 64 x 64"), "{error}");
    }
}
