//! The least noise that keeps a study's rounds within its budget.

use ringfence_crypto::statement::{Budget, RecordLevel, SiteLevel, StudyError};

use super::Spending;
use super::error::SpendingError;
use crate::study::draft::{DraftError, StudyDraft};
use crate::update::site_noise::discrete_gaussian::{LARGEST_SIGMA, SMALLEST_SIGMA, SigmaError};
use crate::update::site_noise::parameters::{SiteNoise, SiteNoiseError};

/// Less noise than this costs an accountant minutes, and anybody else nothing: one step spends an
/// epsilon beyond 10^7.
pub const LEAST_NOISE: f32 = 1.0 / 8192.0;

/// More noise than this is not looked at for a budget.
const MOST_NOISE: f32 = 1_048_576.0;

/// The least noise multiplier, at least [`LEAST_NOISE`], with which so many rounds of a policy that
/// is otherwise this one keep within its epsilon. What the policy says of noise is not looked at.
///
/// # Errors
/// [`SpendingError::Strict`] where none does, or where no epsilon can be given.
pub fn least_noise(policy: &RecordLevel, rounds: u32) -> Result<f32, SpendingError> {
    let RecordLevel { epsilon: most, delta, .. } = *policy;
    let budget = Budget { epsilon: most, delta };
    let spent = |noise_multiplier| -> Result<f32, SpendingError> {
        let policy = RecordLevel { noise_multiplier, ..*policy };
        Spending::of_records(&policy)?.epsilon(rounds, budget)
    };
    let reached = spent(MOST_NOISE)?;
    if reached.is_nan() || reached > most {
        return Err(SpendingError::Strict { rounds, budget, reached, noise: MOST_NOISE });
    }
    if spent(LEAST_NOISE)? <= most {
        return Ok(LEAST_NOISE);
    }
    bisect(LEAST_NOISE, MOST_NOISE, |noise| Ok(spent(noise)? <= most))
}

/// The like for whole sites: the draft says of how many sites and values. What draft and policy say
/// of noise is not looked at.
///
/// # Errors
/// [`SpendingError::Strict`] where none does, or where the draft makes no study whatever the noise.
pub fn least_site_noise(
    draft: &StudyDraft,
    policy: &SiteLevel,
    rounds: u32,
) -> Result<f32, DraftError> {
    let SiteLevel { epsilon, delta, .. } = *policy;
    let of = |noise_multiplier| draft.site_noise(SiteLevel { noise_multiplier, ..*policy });
    least_of_sites(Budget { epsilon, delta }, rounds, of)
}

/// The like, for noise of whatever sites: `of` makes it at a noise multiplier.
///
/// # Errors
/// As [`least_site_noise`].
pub fn least_of_sites(
    budget: Budget,
    rounds: u32,
    of: impl Fn(f32) -> Result<SiteNoise, DraftError>,
) -> Result<f32, DraftError> {
    let most = budget.epsilon;
    let spent = |noise_multiplier| -> Result<f32, DraftError> {
        Ok(Spending::of_sites(&of(noise_multiplier)?).epsilon(rounds, budget)?)
    };
    let (probe, at_one) = probe(&of)?;
    // Off the ends by more than single precision is.
    let narrowest = (1.0001 * SMALLEST_SIGMA / at_one) as f32;
    let mut widest = (0.9999 * LARGEST_SIGMA / at_one) as f32;
    while of(widest).is_err() && widest > probe {
        widest = (0.9 * widest).max(probe);
    }
    let reached = spent(widest)?;
    if reached.is_nan() || reached > most {
        return Err(SpendingError::Strict { rounds, budget, reached, noise: widest }.into());
    }
    if spent(narrowest)? <= most {
        return Ok(narrowest);
    }
    bisect(narrowest, widest, |noise| Ok(spent(noise)? <= most))
}

/// A multiplier of which the study has noise, and the width of each site's noise at a multiplier of 1.
fn probe(of: impl Fn(f32) -> Result<SiteNoise, DraftError>) -> Result<(f32, f64), DraftError> {
    let (mut probe, mut tries) = (1.0, 0..24);
    loop {
        let factor = match of(probe) {
            Ok(noise) => return Ok((probe, noise.sampler().sigma() / f64::from(probe))),
            Err(error) if tries.next().is_none() => return Err(error),
            Err(DraftError::SiteNoise(SiteNoiseError::Sigma(SigmaError(sigma))))
                if sigma < SMALLEST_SIGMA =>
            {
                8.0
            }
            Err(DraftError::SiteNoise(SiteNoiseError::Sigma(_))) => 0.25,
            // Slots have no room for it.
            Err(DraftError::Study(StudyError::Packing(_))) => 0.25,
            Err(error) => return Err(error),
        };
        probe *= factor;
    }
}

/// The least number that is enough, between one that is not and one that is.
fn bisect<E>(less: f32, enough: f32, keeps: impl Fn(f32) -> Result<bool, E>) -> Result<f32, E> {
    // The bits of positive floats are in the order of the floats.
    let (mut less, mut enough) = (less.to_bits(), enough.to_bits());
    while enough - less > 1 {
        let middle = less + (enough - less) / 2;
        let keeps = keeps(f32::from_bits(middle))?;
        *(if keeps { &mut enough } else { &mut less }) = middle;
    }
    Ok(f32::from_bits(enough))
}
