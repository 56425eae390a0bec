//! Arguments that the commands of `ringfence` and `ringfence-lab` share, and the progress bar that
//! they show.

mod algorithm;
mod counts;
mod data;
mod defence;
mod device;
mod federation;
mod names;
mod object;
mod pin;
mod plan;
mod private;
mod progress;
mod reading;
pub mod retired;
pub mod score;

pub use algorithm::{AlgorithmChoice, AlgorithmName, AlgorithmSettings, MeanStepName, UsualEpochs};
pub use counts::{at_least_one, each_once, number};
pub use data::DataArgs;
pub use defence::{DefenceArg, DefenceName};
pub use device::DeviceArgs;
pub use federation::FederationArgs;
pub use names::name;
pub use object::ObjectArg;
pub use pin::{check_pinned, pinned};
pub use plan::{PlanArgs, USUAL_SEED};
pub use private::private_options;
pub use progress::{duration, progress_bar, train_round};
pub use reading::ReadArgs;
