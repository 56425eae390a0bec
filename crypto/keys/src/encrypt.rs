//! Encryption under a key for one round, and the contribution that comes of it.

pub(crate) mod blocks;
pub mod check;
pub mod contribution;
pub mod one_time_key;
pub(crate) mod rlwe_noise;
pub mod self_check;
pub(crate) mod transform;
