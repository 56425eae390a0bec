//! Weighing an update: its site's factor, before clipping and quantizing.
//!
//! The sum is weighted already then, and everyone divides by the factors of the sites in it
//! ([`Weighting::correction`]).

use std::borrow::Cow;

use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::{Study, Weighting};

/// An update that no factor is known for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "site {0} is not on the study's roster, so its updates have no weight; use the identity whose public half the study's author was given"
)]
pub struct WeighError(SiteId);

/// The update that a site quantizes: each value times the site's factor, in double precision, and
/// rounded to float32.
///
/// # Errors
/// [`WeighError`] when the site is not on the study's roster.
pub fn weigh<'a>(
    update: &'a [f32],
    study: &Study,
    site: &SiteId,
) -> Result<Cow<'a, [f32]>, WeighError> {
    let place = study.position(site).ok_or_else(|| WeighError(site.clone()))?;
    Ok(match &study.weighting {
        Weighting::Equal => Cow::Borrowed(update),
        weighting @ Weighting::SampleCounts(_) => {
            let factor = weighting.factor(place);
            let weigh = |value: &f32| (f64::from(*value) * factor) as f32;
            Cow::Owned(update.iter().map(weigh).collect())
        }
    })
}
