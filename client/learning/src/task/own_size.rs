//! A prediction at its image's own size.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma};

use crate::error::LearnError;

/// Names of the scores at the images' own size.
pub const DICE_AT_OWN_SIZE: &str = "Dice at own size";
/// The same for Jaccard's index.
pub const JACCARD_AT_OWN_SIZE: &str = "Jaccard at own size";

/// Which of the `width * height` pixels of an image are predicted inside, row-major, from the
/// probabilities of the `side * side` pixels that the model saw: these are resized by the triangle
/// filter, which interpolates linearly where it enlarges, and count from one half on.
///
/// # Errors
/// [`LearnError::Model`] where there are not `side * side` probabilities, or the size is none.
pub fn inside_at_own_size(
    probabilities: &[f32],
    side: usize,
    (width, height): (usize, usize),
) -> Result<Vec<bool>, LearnError> {
    let wrong = || {
        LearnError::Model(format!(
            "expected a probability for each of {side} x {side} pixels and an image of at least \
             one pixel, found {} for {width} x {height}",
            probabilities.len()
        ))
    };
    let length = |length: usize| u32::try_from(length).ok().filter(|length| *length > 0);
    let (Some(seen), Some(width), Some(height)) = (length(side), length(width), length(height))
    else {
        return Err(wrong());
    };
    let map = ImageBuffer::<Luma<f32>, _>::from_raw(seen, seen, probabilities.to_vec());
    let map = map.filter(|_| probabilities.len() == side * side).ok_or_else(wrong)?;
    let map = imageops::resize(&map, width, height, FilterType::Triangle);
    Ok(map.into_raw().into_iter().map(|probability| probability >= 0.5).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_stays_a_half_and_wrong_sizes_are_refused() {
        let half: Vec<f32> = (0..64).map(|i| f32::from(i % 8 >= 4)).collect();
        for (width, height) in [(8, 8), (32, 16), (4, 100), (2, 2)] {
            let inside = inside_at_own_size(&half, 8, (width, height)).unwrap();
            let expected: Vec<bool> = (0..width * height).map(|i| i % width >= width / 2).collect();
            assert_eq!(inside, expected, "{width} x {height}");
        }
        for (side, size) in [(8, (0, 8)), (7, (8, 8)), (9, (8, 8)), (0, (8, 8))] {
            assert!(inside_at_own_size(&half, side, size).is_err(), "{side} {size:?}");
        }
    }
}
