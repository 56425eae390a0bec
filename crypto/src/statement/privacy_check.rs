//! Which privacy policies a study may have.

use super::privacy_policy::{PrivacyUnit, RecordLevel, SiteLevel};
use super::study::Study;
use super::training::Training;
use super::weighting::Weighting;

/// A privacy policy that no study can have, or not this one.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// A number that must be above 0.
    #[error("the privacy policy's {name} is {got}, expected a finite number above 0")]
    Positive {
        /// Which.
        name: &'static str,
        /// As stated.
        got: f32,
    },
    /// A chance that is none.
    #[error(
        "the privacy policy's rate is {0}, expected above 0 and at most 1: the chance of each unit to be in a step"
    )]
    Rate(f32),
    /// A delta outside its range.
    #[error("the privacy policy's delta is {0}, expected between 0 and 1 (both excluded)")]
    Delta(f32),
    /// A delta with which the guarantee would say nothing.
    #[error(
        "the privacy policy's delta is {delta}, expected below 1/{records}, since a site of the study has {records} records: a mechanism that publishes one record in {records} would meet it; choose a smaller delta, such as {}",
        0.1 / f64::from(*records)
    )]
    DeltaOfRecords {
        /// As stated.
        delta: f32,
        /// The largest sample count.
        records: u32,
    },
    /// Nothing would be done.
    #[error("the privacy policy's {name} is 0, expected at least 1")]
    Zero {
        /// Which.
        name: &'static str,
    },
    /// Nothing sees to it that sites clip and add noise.
    #[error(
        "privacy for each record needs a pinned training plan, since the noise is added in training: with another framework nobody would see to it; pin a plan, or protect whole sites (site_level), which needs none"
    )]
    Training,
    /// The sensitivity would differ from site to site.
    #[error(
        "privacy for each site needs sites that count alike: a sum weighted by sample counts would protect the largest site less than is stated; weight the sites equally"
    )]
    Weighting,
    /// No room for the noise.
    #[error(
        "privacy for each site needs room for noise in every slot, and the packing's noise_bound is 0; draft the study anew"
    )]
    NoRoom,
    /// Room for noise that no site adds.
    #[error(
        "the packing's noise_bound is {noise_bound}, expected 0: only a policy for each site (site_level) adds noise to quantized values"
    )]
    NoiseBound {
        /// As stated.
        noise_bound: u32,
    },
}

fn positive(numbers: &[(&'static str, f32)]) -> Result<(), PolicyError> {
    let wrong = numbers.iter().find(|(_, got)| !(got.is_finite() && *got > 0.0));
    wrong.map_or(Ok(()), |&(name, got)| Err(PolicyError::Positive { name, got }))
}

fn check_delta(delta: f32) -> Result<(), PolicyError> {
    match delta > 0.0 && delta < 1.0 {
        true => Ok(()),
        false => Err(PolicyError::Delta(delta)),
    }
}

impl RecordLevel {
    pub(super) fn check(&self, study: &Study) -> Result<(), PolicyError> {
        let Self { unit, clip, noise_multiplier, rate, steps, normaliser, delta, epsilon } = *self;
        if matches!(unit, PrivacyUnit::Patient { records_per_step: 0 }) {
            return Err(PolicyError::Zero { name: "records_per_step" });
        }
        positive(&[
            ("clip", clip),
            ("noise_multiplier", noise_multiplier),
            ("normaliser", normaliser),
            ("epsilon", epsilon),
        ])?;
        if !(rate > 0.0 && rate <= 1.0) {
            return Err(PolicyError::Rate(rate));
        }
        if steps == 0 {
            return Err(PolicyError::Zero { name: "steps" });
        }
        check_delta(delta)?;
        // How many patients there are is not public: their sites check.
        if let (PrivacyUnit::Record, Weighting::SampleCounts(counts)) = (unit, &study.weighting) {
            let records = counts.iter().copied().max().unwrap_or(1).max(1);
            if f64::from(delta) * f64::from(records) >= 1.0 {
                return Err(PolicyError::DeltaOfRecords { delta, records });
            }
        }
        match study.training {
            Training::Plan(_) => Ok(()),
            Training::None => Err(PolicyError::Training),
        }
    }
}

impl SiteLevel {
    pub(super) fn check(&self, study: &Study) -> Result<(), PolicyError> {
        let Self { clip, noise_multiplier, delta, epsilon } = *self;
        positive(&[("clip", clip), ("noise_multiplier", noise_multiplier), ("epsilon", epsilon)])?;
        check_delta(delta)?;
        if study.weighting != Weighting::Equal {
            return Err(PolicyError::Weighting);
        }
        match study.packing.noise_bound {
            0 => Err(PolicyError::NoRoom),
            _ => Ok(()),
        }
    }
}
