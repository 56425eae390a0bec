//! All that precedes encryption: weigh an update, see what clipping takes from it, quantize it.

pub mod clipped;
pub mod quantize;
pub mod weigh;
