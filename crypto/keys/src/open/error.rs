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
    /// A slot out of what the set can sum to, or padding that is not zero.
    #[error(
        "value {index} sums to {sum}, expected {least} to {most} for these {sites} sites: a contribution was not encoded as the study says"
    )]
    Slot {
        /// Index over all slots; 0 is the count.
        index: usize,
        /// What came.
        sum: u64,
        /// Least allowed.
        least: u64,
        /// Largest allowed.
        most: u64,
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
    /// The sum's check words are not the sum of those in the headers.
    #[error(
        "the sum's check words are not those of the certified headers: it is not the sum of the bodies that they name; add up the bodies to find out who is at fault"
    )]
    Check,
}
