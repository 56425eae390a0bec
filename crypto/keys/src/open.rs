//! Opening the sum, at the sites: unseal the holders' openings, reconstruct the key sum, decrypt,
//! check everything, and only then have a mean.
//!
//! A sum that breaks its bounds does so at a first position ([`first_failure`]). There each body is
//! held against the format ([`judge_coefficient`]), and the bodies and keys of sites that broke it
//! are taken out ([`Recount::remove`], [`KeySum::without`](crate::share::reconstruct::KeySum)).

mod coefficient;
mod culprit;
mod decode;
mod error;
mod opening;
mod position;
mod recount;
mod sum;
#[cfg(test)]
mod tests;

pub use coefficient::{CoefficientFault, Position};
pub use culprit::{judge_coefficient, wire_word};
pub use decode::{NoiseReport, SumContext, failure_in_words};
pub use error::OpenError;
pub use opening::{CheckedPart, SealOpeningError, UnusableOpening, seal_opening};
pub use position::first_failure;
pub use recount::{Evidence, Recount, RecountError};
pub use ringfence_crypto::api::OpeningContext;
pub use sum::{OpenedMean, OpenedSum};
