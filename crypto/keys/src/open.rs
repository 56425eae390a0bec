//! Opening the sum, at the sites: unseal the holders' openings, reconstruct the key sum, decrypt,
//! check everything, and only then have a mean.

mod decode;
mod error;
mod opening;
mod recount;
mod sum;

pub use decode::{NoiseReport, SumContext};
pub use error::OpenError;
pub use opening::{CheckedPart, SealOpeningError, UnusableOpening};
pub use recount::{Evidence, Recount, RecountError};
pub use ringfence_crypto::api::OpeningContext;
pub use sum::{OpenedMean, OpenedSum};

pub(crate) use opening::seal_opening;
