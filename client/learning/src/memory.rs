//! What memory is free.

use std::fs;
use std::path::Path;

/// Bytes that can be had without swapping, on Linux; nobody is asked elsewhere. A container's limit
/// counts (control groups, version 2, as the container sees its own).
pub(crate) fn free() -> Option<u64> {
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
}
