//! Which of all noises do guesses refute? The bound on epsilon that follows.

use anyhow::Context;
use ringfence_learning::private::PrivateOptions;
use ringfence_privacy::{Accountant, Mechanism, epsilon, gaussian};

use super::curve::{Curve, Point};
use super::guesses::Guesses;

/// The training that was declared, with other noise: from much less, level by level, to much more.
/// Guesses that refute a level refute all of more noise, and epsilon is at least that level's.
pub(super) struct Family {
    /// By falling noise, so by rising epsilon.
    levels: Vec<Level>,
    /// What is reported for the declared options.
    pub(super) declared: f64,
}

struct Level {
    epsilon: f64,
    curve: Curve,
}

/// Levels a factor of two in noise.
const FULL_LEVELS: u32 = 48;
/// The same with sampling, where a curve takes a second and not a millisecond.
const SAMPLED_LEVELS: u32 = 8;

impl Family {
    /// Of the noise that was declared times 8 to a quarter, at a delta.
    ///
    /// # Errors
    /// Options that the accountant refuses.
    pub(super) fn of(declared: &PrivateOptions, delta: f64) -> anyhow::Result<Self> {
        let (fine, most, least) =
            if declared.rate < 1.0 { (SAMPLED_LEVELS, 4, 1) } else { (FULL_LEVELS, 3, 2) };
        let steps = -i64::from(fine * most)..=i64::from(fine * least);
        let levels = steps.map(|step| {
            let noise = declared.noise_multiplier * (-step as f64 / f64::from(fine)).exp2();
            Level::of(&PrivateOptions { noise_multiplier: noise, ..*declared }, delta)
        });
        let levels = levels.collect::<anyhow::Result<_>>()?;
        Ok(Self { levels, declared: reported(declared, delta)? })
    }

    /// The largest epsilon that these guesses refute at the confidence; 0 where they refute none.
    pub(super) fn lower_bound(&self, guesses: &Guesses, confidence: f64) -> f64 {
        let refuted =
            self.levels.partition_point(|level| !level.curve.allows(guesses, 1.0 - confidence));
        let last = refuted.checked_sub(1).and_then(|index| self.levels.get(index));
        last.map_or(0.0, |level| level.epsilon)
    }
}

impl Level {
    fn of(options: &PrivateOptions, delta: f64) -> anyhow::Result<Self> {
        let points = if options.rate < 1.0 { sampled(options) } else { full(options) };
        Ok(Self { epsilon: reported(options, delta)?, curve: Curve(points?) })
    }
}

/// The epsilon that `ringfence_privacy` reports for a training.
pub(super) fn reported(options: &PrivateOptions, delta: f64) -> anyhow::Result<f64> {
    let step = Mechanism::gaussian(options.noise_multiplier, options.rate);
    let releases = [(step, u64::from(options.steps))];
    epsilon(&releases, delta, Accountant::Pld).context("cannot account for the audited training")
}

/// The curve where every unit takes part in every step: exact.
fn full(options: &PrivateOptions) -> anyhow::Result<Vec<Point>> {
    let noise = options.noise_multiplier / f64::from(options.steps).sqrt();
    let most = gaussian::epsilon(noise, 1e-7)?;
    let points = (0..=48).map(|index| {
        let epsilon = most * f64::from(index) / 48.0;
        Ok(Point { epsilon, delta: gaussian::delta(noise, epsilon)? })
    });
    points.collect()
}

/// The curve with sampling: upper bounds of the accountant.
fn sampled(options: &PrivateOptions) -> anyhow::Result<Vec<Point>> {
    let deltas = [1e-6, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.2, 0.3];
    deltas
        .map(|delta| Ok(Point { epsilon: reported(options, delta)?, delta }))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use ringfence_learning::private::PrivacyUnit;

    use super::*;

    fn options(rate: f64, steps: u32) -> PrivateOptions {
        let unit = PrivacyUnit::Record;
        let (clip, noise_multiplier, normaliser) = (1.0, 1.0, 1.0);
        PrivateOptions { unit, clip, noise_multiplier, rate, steps, normaliser }
    }

    #[test]
    fn bounds_rise_with_right_guesses_up_to_what_they_can_show() {
        let family = Family::of(&options(1.0, 1), 1e-5).unwrap();
        let bound = |right| family.lower_bound(&Guesses { canaries: 1000, made: 200, right }, 0.95);
        assert_eq!(bound(100), 0.0);
        let bounds: Vec<f64> = (100..=200).map(bound).collect();
        assert!(bounds.is_sorted(), "{bounds:?}");
        // Of one release with noise 1, `gaussian::epsilon` at 1e-5.
        assert!((family.declared - 4.3774).abs() < 5e-3, "{}", family.declared);
        // A level is at the declared noise itself.
        let nearest =
            family.levels.iter().map(|level| (level.epsilon / family.declared - 1.0).abs());
        assert!(nearest.fold(1.0, f64::min) < 1e-9);
        // 88 % right is what is seen of noise 1 at best; all right refutes it.
        assert!(bound(176) < family.declared && bound(200) > family.declared);
    }

    #[test]
    fn confidence_and_sampling_cost() {
        let guesses = Guesses { canaries: 1000, made: 200, right: 180 };
        let family = Family::of(&options(1.0, 1), 1e-5).unwrap();
        assert!(family.lower_bound(&guesses, 0.99) < family.lower_bound(&guesses, 0.95));
        let sampled = reported(&options(0.25, 1), 1e-5).unwrap();
        assert!(sampled < 0.8 * family.declared, "{sampled}");
    }
}
