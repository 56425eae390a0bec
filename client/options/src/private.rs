//! A study's policy as private training takes it.

use ringfence_crypto::statement::{PrivacyUnit, RecordLevel};
use ringfence_learning::private;
use ringfence_learning::private::PrivateOptions;

/// What a policy for records or patients says of training. Its numbers are single precision: as
/// doubles they are the same numbers, which is what accountants reckon with.
#[must_use]
pub fn private_options(policy: &RecordLevel) -> PrivateOptions {
    let RecordLevel { unit, clip, noise_multiplier, rate, steps, normaliser, .. } = *policy;
    PrivateOptions {
        unit: match unit {
            PrivacyUnit::Record => private::PrivacyUnit::Record,
            PrivacyUnit::Patient { records_per_step } => {
                private::PrivacyUnit::Patient { records_per_step: records_per_step.into() }
            }
        },
        clip: clip.into(),
        noise_multiplier: noise_multiplier.into(),
        rate: rate.into(),
        steps,
        normaliser: normaliser.into(),
    }
}
