//! What a normalisation leaves: each image's gradients of scale and shift, which it has anyway.

use std::ops::Range;

/// Gradients of scale and shift, for each image.
#[derive(Debug)]
pub(crate) struct ImageRows(Vec<(Vec<f32>, Vec<f32>)>);

impl ImageRows {
    /// From each image's gradients of shift and of scale.
    pub(crate) fn new(images: Vec<(Vec<f32>, Vec<f32>)>) -> Self {
        Self(images)
    }

    pub(super) fn images(&self) -> usize {
        self.0.len()
    }

    pub(super) fn scales(&self, units: &[Range<usize>]) -> Vec<Vec<f32>> {
        self.sums(units, |(_, scale)| scale)
    }

    pub(super) fn shifts(&self, units: &[Range<usize>]) -> Vec<Vec<f32>> {
        self.sums(units, |(shift, _)| shift)
    }

    fn sums(
        &self,
        units: &[Range<usize>],
        part: impl Fn(&(Vec<f32>, Vec<f32>)) -> &Vec<f32>,
    ) -> Vec<Vec<f32>> {
        let width = self.0.first().map_or(0, |image| part(image).len());
        let sum = |unit: &Range<usize>| {
            let mut sum = vec![0.0; width];
            for image in self.0.get(unit.clone()).unwrap_or_default() {
                sum.iter_mut().zip(part(image)).for_each(|(sum, value)| *sum += value);
            }
            sum
        };
        units.iter().map(sum).collect()
    }
}
