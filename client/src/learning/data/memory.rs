//! Whether a study's samples fit into memory, asked before any of them is decoded.

use std::fs;
use std::path::Path;

use super::{DataError, DataOptions};

/// Bytes of a pixel: an image and a mask, or an image and its copy in a batch, as 32-bit floats.
const BYTES: u64 = 8;

/// Checks that so many samples fit into what is free, as far as that is known.
///
/// # Errors
/// [`DataError::Memory`] when they do not.
pub(super) fn check(path: &Path, samples: usize, options: &DataOptions) -> Result<(), DataError> {
    let Some(free) = options.memory.or_else(free) else { return Ok(()) };
    let side = options.side as u64;
    let needed = (samples as u64).saturating_mul(side * side * BYTES);
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

/// Bytes that can be had without swapping, on Linux; nobody is asked elsewhere. A container's limit
/// counts (control groups, version 2, as the container sees its own).
fn free() -> Option<u64> {
    let system = available(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let group = |file: &str| fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok();
    let container =
        || left(&group("memory.max")?, &group("memory.current")?, &group("memory.stat")?);
    Some(container().map_or(system, |container| container.min(system)))
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What a control group may still take: its limit less its use, of which the page cache that is
/// not in use can be had back.
fn left(max: &str, current: &str, stat: &str) -> Option<u64> {
    let inactive = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let cache: u64 = inactive.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
    let used = current.trim().parse::<u64>().ok()?.saturating_sub(cache);
    // No limit is written `max`.
    Some(max.trim().parse::<u64>().ok()?.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_read_from_the_systems_files() {
        let meminfo = "MemTotal:  100 kB\nMemFree:  10 kB\nMemAvailable:    60 kB\n";
        assert_eq!(available(meminfo), Some(60 * 1024));
        assert_eq!(available("MemTotal: 100 kB\n"), None);
        assert_eq!(left("1000\n", "700\n", "anon 5\ninactive_file 200\n"), Some(500));
        assert_eq!(left("1000\n", "1700\n", ""), Some(0));
        assert_eq!(left("max\n", "700\n", ""), None);
    }

    #[test]
    fn the_limit_is_the_number_of_bytes_that_samples_take() {
        let options =
            |memory| DataOptions { side: 16, memory: Some(memory), ..DataOptions::default() };
        let path = Path::new("data");
        // Ten images of 256 pixels and their masks, 4 bytes each.
        check(path, 10, &options(20_480)).unwrap();
        assert!(check(path, 10, &options(20_479)).is_err());
        assert!(check(path, usize::MAX, &options(u64::MAX - 1)).is_err());
    }
}
