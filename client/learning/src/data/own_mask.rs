//! A mask at its image's own size, as small as it can be kept.

/// What is inside, at the size that an image has in its file: one bit a pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMask {
    width: usize,
    height: usize,
    /// Row-major, the lowest bit of a byte first; bits beyond the last pixel are 0.
    bits: Vec<u8>,
}

impl OwnMask {
    /// Of `width * height` values, row-major, inside where they are at least one half. Pixels that
    /// lack a value are outside.
    #[must_use]
    pub fn new((width, height): (usize, usize), values: &[f32]) -> Self {
        let byte = |pixels: &[f32]| {
            let bit = |(place, value): (usize, &f32)| u8::from(*value >= 0.5) << place;
            pixels.iter().enumerate().map(bit).sum()
        };
        let pixels = width.saturating_mul(height);
        let mut bits: Vec<u8> =
            values.get(..pixels).unwrap_or(values).chunks(8).map(byte).collect();
        bits.resize(pixels.div_ceil(8), 0);
        Self { width, height, bits }
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Bytes that the bits take.
    pub(super) fn bytes(&self) -> usize {
        self.bits.len()
    }

    /// Whether each of the `width * height` pixels is inside, row-major.
    pub fn pixels(&self) -> impl Iterator<Item = bool> + '_ {
        let bits = self.bits.iter().flat_map(|byte| (0..8).map(move |place| byte >> place & 1));
        bits.take(self.width * self.height).map(|bit| bit == 1)
    }

    /// Share of the pixels that are inside, in `[0, 1]`; 0 where there is no pixel.
    #[must_use]
    pub fn share_inside(&self) -> f64 {
        let inside: u64 = self.bits.iter().map(|byte| u64::from(byte.count_ones())).sum();
        inside as f64 / (self.width * self.height).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_comes_back_and_takes_a_bit() {
        for size in [(0, 0), (1, 1), (8, 1), (5, 3), (16, 16), (31, 7)] {
            let pixels = size.0 * size.1;
            let values: Vec<f32> = (0..pixels).map(|i| f32::from(i % 3 == 0)).collect();
            let mask = OwnMask::new(size, &values);
            let inside: Vec<bool> = values.iter().map(|value| *value == 1.0).collect();
            assert_eq!(mask.pixels().collect::<Vec<_>>(), inside, "{size:?}");
            assert_eq!((mask.size(), mask.bits.len()), (size, pixels.div_ceil(8)));
            let share = inside.iter().filter(|inside| **inside).count() as f64;
            assert_eq!(mask.share_inside(), share / pixels.max(1) as f64);
        }
        let short = OwnMask::new((4, 2), &[1.0; 3]);
        assert_eq!(short.pixels().filter(|inside| *inside).count(), 3);
        assert_eq!(short.pixels().count(), 8);
    }
}
