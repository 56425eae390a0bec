//! Fast operations of convolutional networks for candle on the CPU, closed under differentiation.
#![doc = ""]

mod conv;
mod norm;
mod pool;
mod resample;
mod storage;
mod vector;

pub use conv::Conv2d;
pub use norm::GroupNorm;
pub use pool::max_pool2;
pub use resample::{join_upsampled, mean_pool2, sum_to_channels, upsample2};
pub mod reference;
