//! Ringfence at a hospital: train, encrypt, contribute, hold keys, open the mean.
//!
//! [`learning`] trains models on plain data that never leaves the site. [`site`] takes part in the
//! rounds of a study: it encrypts updates, keeps what must be durable, checks everything that the
//! aggregator shows, and opens the mean together with the other sites. [`demo`] runs a whole study
//! on one machine. What the two sides share is [`weights`]: named tensors.

pub mod cli;
pub mod demo;
pub mod experiment;
pub mod join;
pub mod learning;
pub mod model;
pub mod site;
pub mod transport;
pub mod weights;
