//! What memory is free, and what a step of training takes: asked before any time is spent on it.

use std::fs;
use std::path::Path;

use super::compute::device;
use super::train::units;
use super::{LearnError, ModelName, TrainOptions, TrainingPlan};

/// Copies of the model's values beside one gradient for each unit that runs at once: the start, the
/// first weights, the variables, the optimiser's two moments, the step's direction and temporaries.
const COPIES: u64 = 10;

/// Bytes of a pixel of an image that waits for its turn, and of its mask.
const SAMPLE_BYTES: u64 = 8;

/// Heap in bytes for each pixel of each image in work, at the peak of a step forward and back:
/// up to twice what a step was measured to take (`client/tests/learning_memory.rs` measures it
/// again).
fn bytes_a_pixel(model: ModelName) -> u64 {
    match model {
        ModelName::UnetLight => 1000,
        ModelName::Unet => 2000,
        ModelName::CnnLight => 400,
        ModelName::Cnn => 640,
        ModelName::Residual => 700,
        ModelName::Dense => 32,
    }
}

/// Heap in bytes that a step of this plan takes with so many threads on the CPU.
pub(super) fn of_step(plan: &TrainingPlan, values: usize, threads: usize) -> u64 {
    let TrainOptions { algorithm, batch, .. } = &plan.training;
    let pixels = plan.side.saturating_mul(plan.side);
    let (unit, units) = units(*batch, pixels);
    let at_once = (unit * units.min(threads.max(1))) as u64;
    let waiting = (batch.saturating_mul(algorithm.batches())) as u64;
    let a_pixel = at_once.saturating_mul(bytes_a_pixel(plan.model));
    let a_pixel = a_pixel.saturating_add(waiting.saturating_mul(SAMPLE_BYTES));
    let a_value = 4 * (COPIES + units as u64);
    (pixels as u64).saturating_mul(a_pixel).saturating_add(a_value.saturating_mul(values as u64))
}

/// Checks that a step of training fits into what is free, as far as that is known; a GPU's memory is
/// not.
///
/// # Errors
/// [`LearnError::Memory`] when it does not.
pub(super) fn check(plan: &TrainingPlan, free: Option<u64>) -> Result<(), LearnError> {
    let Some(free) = free.filter(|_| device().is_cpu()) else { return Ok(()) };
    let needed = plan.memory()?;
    if needed <= free {
        return Ok(());
    }
    Err(LearnError::Memory {
        model: plan.model,
        side: plan.side,
        batch: plan.training.batch,
        needed: needed.div_ceil(1 << 20),
        free: free >> 20,
    })
}

/// Bytes that can be had without swapping, on Linux; nobody is asked elsewhere. A container's limit
/// counts (control groups, version 2, as the container sees its own).
pub(super) fn free() -> Option<u64> {
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
