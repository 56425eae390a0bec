//! How a batch is divided among threads.

use std::borrow::Borrow;

use crate::compute::device;
use crate::data::dataset::Sample;

/// Units of a step's batch at most, which run at once: what is summed in which order must not
/// depend on how many threads there are. Threads beyond that share the images within a unit.
const UNITS: usize = 4;

/// Pixels of the images in a unit at most: few enough for the caches.
const UNIT_PIXELS: usize = 1 << 15;

/// Images in a unit on a GPU.
const GPU_UNIT: usize = 64;

/// Images whose forward and backward pass run as one unit, of so many. Both losses are means over
/// images, so that this changes speed and rounding only. Large units save packing kernels and
/// adding up gradients, small ones keep all threads busy.
///
/// A GPU wants many images at once, and runs one unit after the other anyway.
pub(super) fn unit(samples: &[impl Borrow<Sample>]) -> usize {
    let shape = samples.first().and_then(|sample| sample.borrow().shape());
    let side = shape.map_or(1, |(_, side)| side);
    unit_of(samples.len(), side * side)
}

/// The same for `images` images of `pixels` pixels.
fn unit_of(images: usize, pixels: usize) -> usize {
    if !device().is_cpu() {
        return GPU_UNIT;
    }
    (images / UNITS).clamp(1, (UNIT_PIXELS / pixels.max(1)).max(1))
}

/// Images in a unit and units in a batch of `batch` images.
pub(super) fn units(batch: usize, pixels: usize) -> (usize, usize) {
    let unit = unit_of(batch, pixels);
    (unit, batch.div_ceil(unit))
}
