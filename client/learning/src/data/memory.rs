//! Whether a study's samples fit into memory, asked before any of them is decoded.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::DataError;
use super::options::DataOptions;
use crate::memory::free;

/// Bytes of a pixel for each channel: an image and a mask, or an image and its copy in a batch, as
/// 32-bit floats.
const BYTES: u64 = 8;

/// Checks that so many samples fit into what is free, as far as that is known, and says what is left.
///
/// # Errors
/// [`DataError::Memory`] when they do not.
pub(super) fn check(path: &Path, samples: usize, options: &DataOptions) -> Result<Left, DataError> {
    let Some(free) = options.memory.or_else(free) else { return Ok(Left::new(u64::MAX)) };
    let side = options.side as u64;
    let channels = options.imaging.channels.count() as u64;
    let needed = (samples as u64).saturating_mul(side * side * channels * BYTES);
    if needed <= free {
        return Ok(Left::new(free - needed));
    }
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    Err(DataError::Memory {
        path: path.to_path_buf(),
        samples,
        side: options.side,
        needed: mebibytes(needed),
        free: free >> 20,
    })
}

/// What is left for what grows with the files: the test images' masks at their own size.
#[derive(Debug)]
pub(super) struct Left {
    all: u64,
    bytes: AtomicU64,
}

impl Left {
    fn new(bytes: u64) -> Self {
        Self { all: bytes, bytes: AtomicU64::new(bytes) }
    }

    /// Takes bytes for the mask of this image.
    ///
    /// # Errors
    /// [`DataError::OwnMasks`] where there are not as many.
    pub(super) fn take(&self, path: &Path, bytes: usize) -> Result<(), DataError> {
        let rest = |left: u64| left.checked_sub(bytes as u64);
        // Nothing else is ordered by this count.
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        let path = || path.to_path_buf();
        taken.map(|_| ()).map_err(|_| DataError::OwnMasks { path: path(), free: self.all >> 20 })
    }
}

#[cfg(test)]
mod tests {
    use ringfence_imaging::Channels;

    use super::*;

    #[test]
    fn the_limit_is_the_number_of_bytes_that_samples_take() {
        let options =
            |memory| DataOptions { side: 16, memory: Some(memory), ..DataOptions::default() };
        let path = Path::new("data");
        // Ten images of 256 pixels and their masks, 4 bytes each.
        check(path, 10, &options(20_480)).unwrap();
        let mut colour = options(61_440);
        colour.imaging.channels = Channels::Colour;
        check(path, 10, &colour).unwrap();
        assert!(check(path, 11, &colour).is_err());
        assert!(check(path, 10, &options(20_479)).is_err());
        assert!(check(path, usize::MAX, &options(u64::MAX - 1)).is_err());
        // What they leave is for masks, to the last byte.
        let left = check(path, 10, &options(20_580)).unwrap();
        left.take(path, 60).unwrap();
        left.take(path, 40).unwrap();
        let error = left.take(path, 1).unwrap_err().to_string();
        assert!(error.contains("data: expected free memory for the masks"), "{error}");
    }
}
