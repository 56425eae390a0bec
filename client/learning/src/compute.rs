//! Where networks run: on the CPU, or on a GPU in a build with the feature `cuda`.
//!
//! That is a property of this process, like its number of threads, and of no plan or study: sites
//! with and without GPUs train together. Nothing but training and prediction goes there; keys never
//! do.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use candle_core::Device;

use crate::error::LearnError;

/// A device by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compute {
    /// This machine's processors: `cpu`.
    #[default]
    Cpu,
    /// The GPU of this number: `cuda`, which is number 0, or `cuda:1`.
    Cuda(usize),
}

impl FromStr for Compute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().map(Self::Cuda);
        let found = match text {
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(number),
        };
        found.ok_or_else(|| format!("expected cpu, cuda or cuda:NUMBER, found {text}"))
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

static DEVICE: OnceLock<Device> = OnceLock::new();

/// Makes this process train and predict there. Once, before anything else of this
/// library.
///
/// # Errors
/// [`LearnError::Option`] when this build has no GPU code or a device was in use already,
/// [`LearnError::Device`] when there is no such GPU.
pub fn choose(compute: Compute) -> Result<(), LearnError> {
    let refuse = |expected, found| Err(LearnError::Option { option: "device", expected, found });
    let chosen = match compute {
        Compute::Cpu => Device::Cpu,
        Compute::Cuda(_) if !cfg!(feature = "cuda") => {
            let expected = "cpu: this build has no GPU code (build with `--features cuda`)";
            return refuse(expected, compute.to_string());
        }
        Compute::Cuda(number) => Device::new_cuda(number)
            .map_err(|error| LearnError::Device { number, reason: error.to_string() })?,
    };
    match DEVICE.set(chosen) {
        Err(chosen) if !chosen.same_device(device()) => {
            refuse("the device that this process has computed on so far", compute.to_string())
        }
        _ => Ok(()),
    }
}

/// The device of this process.
pub(crate) fn device() -> &'static Device {
    DEVICE.get_or_init(|| Device::Cpu)
}

/// Its kind, for a report: runs on another kind of device differ by rounding.
#[must_use]
pub fn kind() -> &'static str {
    if device().is_cpu() { "cpu" } else { "cuda" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices() {
        for (name, compute) in
            [("cpu", Compute::Cpu), ("cuda", Compute::Cuda(0)), ("cuda:3", Compute::Cuda(3))]
        {
            assert_eq!(name.parse(), Ok(compute));
            assert_eq!(compute.to_string().parse(), Ok(compute));
        }
        for name in ["gpu", "cuda:", "cuda:-1", "cuda:x", ""] {
            assert!(name.parse::<Compute>().unwrap_err().contains("cuda:NUMBER"), "{name}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_gpu_code_says_so() {
        let error = choose(Compute::Cuda(0)).unwrap_err().to_string();
        assert!(error.contains("--features cuda") && error.contains("cuda:0"), "{error}");
        assert!(choose(Compute::Cpu).is_ok());
        assert!(choose(Compute::Cpu).is_ok());
    }
}
