//! What a release must show beside its epsilon: as much noise as declared, as much in every step,
//! and units that take part each by itself. Each check errs in one of a hundred faultless
//! trainings.

use std::fmt;

use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use rand_distr::{Binomial, ChiSquared, Distribution};
use ringfence_learning::private::PrivateOptions;
use ringfence_weights::Weights;

use super::audit::{DELTA, Setting};
use super::canaries::{Canaries, HIDDEN, PIXELS};
use super::family::reported;
use super::faulty::Fault;
use super::statistics::{chi_square_below, chi_square_quantile, normal_below, normal_quantile};
use super::training::Audited;

/// Faultless trainings in which a check finds a fault.
pub(super) const FALSE_ALARMS: f64 = 0.01;

/// A check of releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// No less noise than declared, in the coordinates that no gradient reaches.
    Deviation,
    /// The same noise in every step, whoever takes part.
    Constancy,
    /// Units take part in as many steps of a pass as chance has it: one in each pass, neither more
    /// nor less, is what a shuffled list does.
    Participation,
}

impl Check {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Deviation, Self::Constancy, Self::Participation];
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deviation => "too little noise",
            Self::Constancy => "noise that varies",
            Self::Participation => "units in turn",
        })
    }
}

/// The checks, ready to run.
pub(super) struct Checkup {
    pub(super) setting: Setting,
    /// What is reported for the declared options.
    pub(super) declared: f64,
    canaries: Canaries,
}

impl Checkup {
    /// # Errors
    /// Options that the accountant refuses.
    pub(super) fn new(setting: Setting) -> anyhow::Result<Self> {
        let canaries = Canaries::new(setting.classes, setting.images)?;
        Ok(Self { setting, declared: reported(&setting.options(), DELTA)?, canaries })
    }

    /// Trains once, all units at hand.
    ///
    /// # Errors
    /// Those of training.
    pub(super) fn run(&self, seed: u64, fault: Option<Fault>) -> anyhow::Result<Seen> {
        let (canaries, declared) = (&self.canaries, &self.setting.options());
        let present = &vec![true; self.setting.canaries()];
        let releases = Audited { canaries, present, declared, fault, seed }.releases()?;
        Seen::of(canaries, declared, &releases)
    }

    /// How often a check finds the fault that it is for, computed before anything is trained: by
    /// formula for noise of 0.8 times the deviation and for shuffled lists; for divisions by the
    /// sampled size by 4,000 draws of sizes and of noise.
    pub(super) fn power(&self, check: Check) -> f64 {
        let private = &self.setting.options();
        let (units, steps) = (self.setting.canaries(), private.steps as usize);
        let free = HIDDEN * PIXELS - units;
        match check {
            Check::Deviation => {
                let degrees = (free * steps) as f64;
                chi_square_below(degrees, chi_square_quantile(degrees, FALSE_ALARMS) / 0.64)
            }
            Check::Participation => {
                let sums = units * (steps / pass(private));
                let noise = pass(private) as f64 * private.noise_multiplier.powi(2);
                let deviation = noise * (2.0 / sums as f64).sqrt();
                normal_below((least_spread(private, sums) - noise) / deviation)
            }
            Check::Constancy => {
                let mut rng = ChaCha20Rng::seed_from_u64(1);
                let found = (0..4000).filter(|_| {
                    let squares = by_sampled_size(private, (units, free), &mut rng);
                    squares.is_some_and(|all| inconstancy(&all, free) > most_inconstancy(steps))
                });
                found.count() as f64 / 4000.0
            }
        }
    }
}

/// What was seen of one training in which all units may take part.
pub(super) struct Seen {
    /// Units, and coordinates of noise alone.
    units: usize,
    free: usize,
    private: PrivateOptions,
    /// Mean square of the noise in each step, over the declared one.
    squares: Vec<f64>,
    /// Variance of how much a unit adds in a pass, over all units and passes.
    spread: f64,
}

/// Share of a canary's clipped gradient that is in its coordinate; the rest is in the biases.
const SHARE: f64 = 0.992;

impl Seen {
    /// # Errors
    /// Releases of another model.
    fn of(
        canaries: &Canaries,
        private: &PrivateOptions,
        releases: &[Weights],
    ) -> anyhow::Result<Self> {
        let (mut squares, mut free) = (Vec::new(), 0);
        let mut steps = Vec::new();
        for release in releases {
            let noise = canaries.untouched(release)?;
            free = noise.len();
            let square = noise.iter().map(|value| value * value).sum::<f64>() / free as f64;
            squares.push(square / private.noise_multiplier.powi(2));
            steps.push(canaries.coordinates(release)?);
        }
        let units = canaries.units.len();
        let sums = steps.chunks_exact(pass(private)).flat_map(|pass| {
            (0..units).map(|unit| pass.iter().filter_map(|step| step.get(unit)).sum::<f64>())
        });
        let sums: Vec<f64> = sums.collect();
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        let spread = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / sums.len() as f64;
        Ok(Self { units, free, private: *private, squares, spread })
    }

    /// Deviation of the noise over the declared one, over all steps.
    pub(super) fn deviation(&self) -> f64 {
        (self.squares.iter().sum::<f64>() / self.squares.len() as f64).sqrt()
    }

    /// Whether a check finds a fault.
    pub(super) fn alarms(&self, check: Check) -> bool {
        match check {
            Check::Deviation => {
                let degrees = (self.free * self.squares.len()) as f64;
                self.deviation().powi(2) * degrees < chi_square_quantile(degrees, FALSE_ALARMS)
            }
            Check::Constancy => {
                inconstancy(&self.squares, self.free) > most_inconstancy(self.squares.len())
            }
            Check::Participation => {
                let passes = self.squares.len() / pass(&self.private);
                self.spread < least_spread(&self.private, self.units * passes)
            }
        }
    }
}

/// Steps in which a unit takes part once, on average.
fn pass(private: &PrivateOptions) -> usize {
    (1.0 / private.rate).round() as usize
}

/// How far the steps' mean squares of noise are apart: of the law chi square with one degree less
/// than there are steps, where all noise has one deviation (each mean square has a variance of `2 /
/// n`).
fn inconstancy(squares: &[f64], coordinates: usize) -> f64 {
    let mean = squares.iter().sum::<f64>() / squares.len() as f64;
    let apart = squares.iter().map(|square| (square / mean - 1.0).powi(2)).sum::<f64>();
    apart * coordinates as f64 / 2.0
}

fn most_inconstancy(steps: usize) -> f64 {
    chi_square_quantile(steps as f64 - 1.0, 1.0 - FALSE_ALARMS)
}

/// Variance of what a unit adds in a pass of `k` steps: `k q (1 - q)` of taking part, and the
/// noise's.
fn spread(private: &PrivateOptions) -> f64 {
    let (steps, coin) = (pass(private) as f64, private.rate * (1.0 - private.rate));
    steps * (SHARE.powi(2) * coin + private.noise_multiplier.powi(2))
}

/// The spread below which units take part too evenly, of so many sums. A variance of sums with the
/// fourth cumulant `c` has itself the variance `(2 v^2 + c) / n`.
fn least_spread(private: &PrivateOptions, sums: usize) -> f64 {
    let (mean, coin) = (spread(private), private.rate * (1.0 - private.rate));
    let fourth = pass(private) as f64 * SHARE.powi(4) * coin * (1.0 - 6.0 * coin);
    let deviation = ((2.0 * mean * mean + fourth) / sums as f64).sqrt();
    mean + normal_quantile(FALSE_ALARMS) * deviation
}

/// Mean squares of noise that is divided by the sampled size.
fn by_sampled_size(
    private: &PrivateOptions,
    (units, free): (usize, usize),
    rng: &mut impl Rng,
) -> Option<Vec<f64>> {
    let sizes = Binomial::new(units as u64, private.rate).ok()?;
    let noise = ChiSquared::new(free as f64).ok()?;
    let square = |_| {
        let size = sizes.sample(&mut *rng).max(1) as f64;
        noise.sample(&mut *rng) / free as f64 * (private.normaliser / size).powi(2)
    };
    Some((0..private.steps).map(square).collect())
}

#[cfg(test)]
mod tests {
    use super::super::audit::View;
    use super::*;

    fn checkup() -> Checkup {
        let (name, view, trainings) = ("", View::White, 1);
        let (classes, images, noise_multiplier, rate, steps) = (4, 1, 0.7, 0.25, 16);
        let setting =
            Setting { name, view, trainings, classes, images, noise_multiplier, rate, steps };
        Checkup::new(setting).unwrap()
    }

    #[test]
    fn each_check_finds_its_fault_and_passes_the_shipped_trainer() {
        let checkup = checkup();
        let shipped = [1, 2, 3].map(|seed| checkup.run(seed, None).unwrap());
        for seen in &shipped {
            // Four standard errors of 61,504 numbers.
            assert!((seen.deviation() - 1.0).abs() < 0.0115, "{}", seen.deviation());
        }
        let faults = [Fault::WeakNoise, Fault::SampledNormaliser, Fault::Shuffling];
        for (check, fault) in Check::ALL.into_iter().zip(faults) {
            // Two of three would be false alarms in one of 3,000 such tests.
            let alarms = shipped.iter().filter(|seen| seen.alarms(check)).count();
            assert!(alarms < 2, "{check}");
            assert!(checkup.run(3, Some(fault)).unwrap().alarms(check), "{check}");
            assert!(checkup.power(check) > 0.99, "{check}");
        }
    }

    #[test]
    fn powers_fall_with_what_is_to_be_found() {
        let mut small = checkup();
        // With noise of three clips, one pass hardly tells chance from turns.
        (small.setting.noise_multiplier, small.setting.steps) = (3.0, 4);
        assert!(small.power(Check::Participation) < 0.1);
        // In one step nothing varies.
        small.setting.rate = 1.0;
        assert!(small.power(Check::Constancy) < 0.02);
    }
}
