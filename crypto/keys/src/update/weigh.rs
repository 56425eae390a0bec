//! Clipping and weighing an update: what comes before quantizing.
//!
//! A value `x` of a tensor with clip bound `C`, at a site with factor `f` in `(0, 1]`, becomes
//! `min(max(x, -C), C) * f`, in double precision, rounded to float32. Clipping comes first, so that
//! an honest site's part of the sum lies in `[-f C, f C]`: over whatever set is opened it moves the
//! mean by its share of the clip bound, `f / sum f`, and no more. (Were values weighed first, a
//! site that counts little could move it by `C / sum f`.)
//!
//! The sum is weighted already then, and everyone divides by the factors of the sites in it
//! ([`Weighting::correction`]).

use std::borrow::Cow;

use ringfence_crypto::id::SiteId;
use ringfence_crypto::layout::Layout;
use ringfence_crypto::statement::{Study, Weighting};

/// An update that no factor is known for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "site {0} is not on the study's roster, so its updates have no weight; use the identity whose public half the study's author was given"
)]
pub struct WeighError(SiteId);

/// The update that a site quantizes: each value clipped to its tensor's bound and multiplied by the
/// site's factor. With equal weights it is the update itself, which the quantizer clips.
///
/// Values that are not finite, and those beyond the layout, are left as they are: the quantizer
/// refuses them and says where they stand.
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
            let mut weighed = update.to_vec();
            clip_and_weigh(&mut weighed, &study.layout, weighting.factor(place));
            Cow::Owned(weighed)
        }
    })
}

pub(crate) fn clip_and_weigh(update: &mut [f32], layout: &Layout, factor: f64) {
    let mut rest = update;
    for tensor in &layout.tensors {
        let values = tensor.values().unwrap_or(0).min(rest.len());
        let (here, after) = rest.split_at_mut(values);
        let clip = f64::from(tensor.clip);
        for value in here {
            // A clipped infinity would be an honest-looking number.
            if value.is_finite() {
                *value = (f64::from(*value).clamp(-clip, clip) * factor) as f32;
            }
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use ringfence_crypto::layout::TensorLayout;
    use ringfence_crypto::ring::packing::Packing;

    use super::*;
    use crate::testing;
    use crate::update::quantize::{QuantizedUpdate, mean};

    #[test]
    fn a_site_weighs_by_its_own_count_and_a_stranger_not_at_all() {
        let (mut study, identities) = testing::study(3);
        let update = [0.25f32, -0.125];
        let [first, second, _] = &identities[..] else { panic!("three sites") };
        assert!(matches!(weigh(&update, &study, first.site()), Ok(Cow::Borrowed(_))));
        study.weighting = Weighting::SampleCounts(vec![30, 60, 15]);
        assert_eq!(*weigh(&update, &study, first.site()).unwrap(), [0.125, -0.0625]);
        assert_eq!(*weigh(&update, &study, second.site()).unwrap(), update);
        let stranger = "elsewhere".parse().unwrap();
        let error = weigh(&update, &study, &stranger).unwrap_err().to_string();
        assert!(error.contains("site elsewhere is not on the study's roster"), "{error}");
    }

    #[test]
    fn clipping_comes_first_each_tensor_by_its_own_bound() {
        let (mut study, identities) = testing::study(3);
        let tensor = |name: &str, clip| TensorLayout { name: name.into(), shape: vec![2], clip };
        study.layout = Layout { tensors: vec![tensor("a", 0.5), tensor("b", 2.0)] };
        study.weighting = Weighting::SampleCounts(vec![25, 100, 100]);
        let weighed =
            |update: &[f32]| weigh(update, &study, identities[0].site()).unwrap().into_owned();
        assert_eq!(weighed(&[40.0, -0.75, 40.0, -0.75]), [0.125, -0.125, 0.5, -0.1875]);
        // What the quantizer refuses, it is still shown.
        let [one, two, three] = weighed(&[f32::INFINITY, f32::NEG_INFINITY, f32::NAN])[..] else {
            panic!("three values")
        };
        assert!(one == f32::INFINITY && two == f32::NEG_INFINITY && three.is_nan());
        assert_eq!(weighed(&[0.5; 5]).len(), 5, "a length that does not fit is seen");
    }

    /// The weighted mean over some sites of updates that hold one value each, by the shipped steps.
    fn opened(counts: &[u32], clip: f32, updates: &[(usize, f32)]) -> f32 {
        let (mut study, identities) = testing::study(counts.len());
        let tensor = TensorLayout { name: "w".into(), shape: vec![1000], clip };
        study.layout = Layout { tensors: vec![tensor] };
        study.packing = Packing::derive(24, 0, counts.len(), 1).unwrap();
        study.weighting = Weighting::SampleCounts(counts.to_vec());
        let (mut rng, mut sums) = (testing::rng(1), vec![0u64; 1000]);
        for (place, value) in updates {
            let update = [*value; 1000];
            let weighed = weigh(&update, &study, identities[*place].site()).unwrap();
            let Study { layout, packing, .. } = &study;
            let quantized = QuantizedUpdate::quantize(&weighed, layout, packing, &mut rng).unwrap();
            sums.iter_mut().zip(quantized.expose()).for_each(|(sum, q)| *sum += u64::from(*q));
        }
        let mean = mean(&sums, updates.len(), &study.layout, &study.packing);
        let correction = study.weighting.correction(updates.iter().map(|(place, _)| *place));
        let values = mean.iter().map(|value| f64::from(*value) * correction);
        (values.sum::<f64>() / 1000.0) as f32
    }

    fn close(found: f32, expected: f32) {
        assert!((found - expected).abs() < 1e-3, "{found}, expected {expected}");
    }

    #[test]
    fn a_site_that_counts_little_moves_the_mean_by_its_share() {
        // Weighed first and clipped afterwards, the mean was 0.2985.
        let counts = [10, 1000, 1000];
        let updates = [(0, 40.0), (1, 0.1), (2, 0.1)];
        close(opened(&counts, 0.5, &updates), (0.5 * 10.0 + 0.1 * 2000.0) / 2010.0);
    }

    #[test]
    fn a_drop_out_of_the_largest_multiplies_nothing() {
        // The largest is missing; weighed first, the mean was 116.75. Such counts make no study.
        let counts = [40, 60, 50, 30, 60_000];
        let updates = [(0, 0.1), (1, 0.1), (2, 0.1), (3, 700.0)];
        let mean = opened(&counts, 0.5, &updates);
        close(mean, (0.5 * 30.0 + 0.1 * 150.0) / 180.0);
        let (mut study, _) = testing::study(5);
        study.weighting = Weighting::SampleCounts(counts.to_vec());
        let error = study.check().unwrap_err().to_string();
        assert!(error.contains("the largest sample count, 60000, is over 256 times"), "{error}");
    }

    /// Whatever the counts, the drop-outs and the update, an honest site moves the mean by no more
    /// than the share that the study states.
    #[test]
    fn an_honest_site_stays_within_its_share_whoever_drops_out() {
        let mut rng = testing::rng(7);
        for _ in 0..50 {
            let counts: Vec<u32> = (0..5).map(|_| 10 + rng.next_u32() % 1000).collect();
            let there: Vec<usize> =
                (0..5).filter(|k| *k < 2 || rng.next_u32().is_multiple_of(2)).collect();
            let with = |value| there.iter().map(move |k| (*k, if *k == 0 { value } else { 0.0 }));
            let moved = |value| opened(&counts, 0.5, &with(value).collect::<Vec<_>>());
            let total: u32 = there.iter().map(|place| counts[*place]).sum();
            let share = counts[0] as f32 / total as f32 * 0.5;
            let value = if rng.next_u32().is_multiple_of(2) { 1e6 } else { -1e6 };
            assert!(moved(value).abs() < share + 1e-3, "{counts:?} {there:?}");
        }
    }
}
