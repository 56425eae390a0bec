//! Whether a study's samples fit into memory, asked before any of them is decoded.

use std::path::Path;

use super::error::DataError;
use super::options::DataOptions;
use crate::memory::free;

/// Bytes of a pixel for each channel: an image and a mask, or an image and its copy in a batch, as
/// 32-bit floats.
const BYTES: u64 = 8;

/// Checks that so many samples fit into what is free, as far as that is known.
///
/// # Errors
/// [`DataError::Memory`] when they do not.
pub(super) fn check(path: &Path, samples: usize, options: &DataOptions) -> Result<(), DataError> {
    let Some(free) = options.memory.or_else(free) else { return Ok(()) };
    let side = options.side as u64;
    let channels = options.imaging.channels.count() as u64;
    let needed = (samples as u64).saturating_mul(side * side * channels * BYTES);
    if needed <= free {
        return Ok(());
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
    }
}
