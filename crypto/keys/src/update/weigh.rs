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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_site_weighs_by_its_own_count_and_a_stranger_not_at_all() {
        let (mut study, identities) = testing::study(3);
        let update = [0.5f32, -0.25];
        let [first, second, _] = &identities[..] else { panic!("three sites") };
        assert!(matches!(weigh(&update, &study, first.site()), Ok(Cow::Borrowed(_))));
        study.weighting = Weighting::SampleCounts(vec![30, 60, 15]);
        assert_eq!(*weigh(&update, &study, first.site()).unwrap(), [0.25, -0.125]);
        assert_eq!(*weigh(&update, &study, second.site()).unwrap(), update);
        let stranger = "elsewhere".parse().unwrap();
        let error = weigh(&update, &study, &stranger).unwrap_err().to_string();
        assert!(error.contains("site elsewhere is not on the study's roster"), "{error}");
    }
}
