//! Why a sum could not be opened.

use std::io;

use ringfence_crypto::ring::packing::PackingError;
use ringfence_crypto::statement::CertificateError;

use crate::share::reconstruct::ReconstructError;

/// The sum could not be opened. The details stay at the site: what is posted says nothing but that
/// it failed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing certified.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Too few openings, or too many lies.
    #[error(transparent)]
    Reconstruct(#[from] ReconstructError),
    /// The sum of the bodies could not be read.
    #[error("could not read the sum of the bodies: {0}")]
    Io(#[from] io::Error),
    /// The study's own numbers.
    #[error(transparent)]
    Packing(#[from] PackingError),
    /// Noise beyond its bound: the sum does not belong to the keys.
    #[error(
        "coefficient {coefficient} has noise {noise}, expected at most {bound} for {sites} sites: sum and keys do not belong together (was a site shown another manifest?)"
    )]
    Noise {
        /// Index over all blocks.
        coefficient: usize,
        /// What came.
        noise: i64,
        /// Largest allowed.
        bound: u64,
        /// Contributions in the set.
        sites: usize,
    },
    /// A block whose noise is too large on average.
    #[error(
        "block {block} has a noise mean square of {mean_square:.1}, expected at most {bound:.1} for {sites} sites"
    )]
    NoiseMeanSquare {
        /// The block.
        block: usize,
        /// What came.
        mean_square: f64,
        /// Largest allowed.
        bound: f64,
        /// Contributions in the set.
        sites: usize,
    },
    /// A slot beyond what the set can sum to, or padding that is not zero.
    #[error(
        "value {index} sums to {sum}, expected at most {limit} for {sites} sites: a contribution was not encoded as the study says"
    )]
    Slot {
        /// Index over all slots; 0 is the count.
        index: usize,
        /// What came.
        sum: u64,
        /// Largest allowed.
        limit: u64,
        /// Contributions in the set.
        sites: usize,
    },
    /// Another number of sites was counted.
    #[error("the sum counts {counted} sites, the certified set has {expected}")]
    Count {
        /// Counted by the sum.
        counted: u64,
        /// In the set.
        expected: usize,
    },
    /// The check words do not match.
    #[error("the check words do not match the sum: the sum of the bodies was altered on the way")]
    Check,
}
