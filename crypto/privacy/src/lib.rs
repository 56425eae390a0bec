//! Differential privacy as pure numbers: which epsilon a list of noisy releases has, and which noise
//! a target needs.
//!
//! No files, no randomness, no other package of ours: sites, aggregators, auditors and experiments
//! compute the same epsilon from the same list.
//!
//! - [`Mechanism`] says what was done to the data once; a list of them, each with a number of times,
//!   is a [composition](Release).
//! - [`epsilon`] answers for a list, by Rényi divergences ([`rdp`]) or by the distribution of the
//!   privacy loss ([`pld`]). Both answers are upper bounds; the second is tighter.
//! - [`Account`] answers for many lists of the same mechanisms, in the time of one.
//! - [`gaussian`] has the exact answer where a plain Gaussian is all that was done.
//! - [`calibrate`] goes the other way: the least noise, the most steps.
//!
//! # The unit and the adjacency
//!
//! Two data sets are neighbours when one **unit** is added or removed ("add or remove one"). The unit
//! is whatever was sampled and clipped: an image, a patient, a site. These numbers do not know it:
//! whoever prints an epsilon prints the unit beside it. For the mechanisms without sampling, adding
//! or removing means that the unit's (clipped) value is replaced by zero ("zero-out").
#![forbid(unsafe_code)]

mod accountant;
pub mod calibrate;
pub mod error;
pub mod gaussian;
pub mod mechanism;
mod numbers;
pub mod pld;
pub mod rdp;

pub use accountant::{Account, Accountant, delta_below_one_over_records, epsilon};
pub use error::Error;
pub use mechanism::{Mechanism, Release};
