//! Where networks run.

use ringfence_learning::LearnError;
use ringfence_learning::compute::{self, Compute};

/// The argument that says where networks run.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct DeviceArgs {
    /// Where to train and predict: cpu, cuda, or cuda:NUMBER (in a build with `--features cuda`).
    #[arg(long, value_name = "DEVICE", default_value_t = Compute::Cpu)]
    device: Compute,
}

impl DeviceArgs {
    /// Makes this process compute there.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn choose(self) -> Result<(), LearnError> {
        compute::choose(self.device)
    }
}
