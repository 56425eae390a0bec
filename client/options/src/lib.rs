//! Arguments that several commands take.

mod algorithm;
mod data;
mod device;
mod federation;
mod plan;

pub(crate) use algorithm::{AlgorithmChoice, AlgorithmName, AlgorithmSettings, ServerName, name};
pub(crate) use data::DataArgs;
pub(crate) use device::DeviceArgs;
pub(crate) use federation::FederationArgs;
pub(crate) use plan::PlanArgs;
