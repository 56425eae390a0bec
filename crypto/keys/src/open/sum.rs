//! The opened sum and its mean: decrypted, and checked before there is a result.

use std::io::Read;

use super::decode::{NoiseReport, SumContext, decode};
use super::error::OpenError;
use crate::update::quantize::Means;

/// The opened sum: the integers that the quantized updates of the certified set add up to.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenedSum {
    /// Contributions in it.
    pub sites: usize,
    /// The noise that was taken off.
    pub noise: NoiseReport,
    sums: Vec<u64>,
}

impl OpenedSum {
    /// One sum for each value of the layout.
    pub fn sums(&self) -> &[u64] {
        &self.sums
    }

    /// Decrypts the sum of the bodies with the sum of their keys, on the threads of the current
    /// rayon pool.
    ///
    /// Noise, slots, count and check words are all verified before anything is returned: a wrong
    /// sum is an error, never a result.
    ///
    /// # Errors
    /// [`OpenError`] with the first thing that is out of bounds.
    pub fn open(context: SumContext<'_>, sum: &mut impl Read) -> Result<Self, OpenError> {
        let SumContext { study, summands, .. } = context;
        let mut sums = Vec::with_capacity(study.layout.values());
        let take = |part: &[u64]| sums.extend_from_slice(part);
        let noise = decode(context, sum, take)?;
        Ok(Self { sites: summands.sites, noise, sums })
    }
}

/// The mean update of the certified set, without the sums that it comes from: a third of their
/// memory.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenedMean {
    /// Contributions in it.
    pub sites: usize,
    /// The noise that was taken off.
    pub noise: NoiseReport,
    mean: Vec<f32>,
}

impl OpenedMean {
    /// One value for each of the layout: [`mean`](crate::update::quantize::mean()) of the opened
    /// sum.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The same, taken out: a large mean is needed once.
    pub fn take_mean(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.mean)
    }

    /// Decrypts and verifies as [`OpenedSum::open`].
    ///
    /// # Errors
    /// As [`OpenedSum::open`].
    pub fn open(context: SumContext<'_>, sum: &mut impl Read) -> Result<Self, OpenError> {
        let SumContext { study, summands, .. } = context;
        let mut means = Means::new(summands.sites, &study.layout, &study.packing);
        let noise = decode(context, sum, |part| means.extend(part))?;
        Ok(Self { sites: summands.sites, noise, mean: means.finish() })
    }
}
