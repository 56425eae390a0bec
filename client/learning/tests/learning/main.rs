//! Reading, dividing and learning from images, as a caller of the library sees it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exception for tests does not reach the helper functions"
)]

mod algorithms;
mod bad_data;
mod colour;
mod data;
mod folders;
mod medmnist;
mod models;
mod own_size;
mod personal;
mod private;
mod private_gradients;
mod records;
mod scanners;
mod shadow;
mod skew;
mod tables;
mod train;
mod volumes;
