//! All that precedes encryption: see what clipping takes from an update, clip and weigh it, quantize
//! it. And how precise the mean of such updates is.

pub mod clipped;
pub mod precision;
pub mod quantize;
pub mod site_noise;
pub mod weigh;
