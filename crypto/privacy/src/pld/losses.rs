//! The privacy losses of one release, rounded to a grid so that no delta falls.

mod discrete;
mod subsampled;

use crate::error::{Error, expect};
use crate::mechanism::Mechanism;

use discrete::Discrete;
use subsampled::Subsampled;

/// Charged for what quadrature and rounding may be off, over each mass.
const INFLATION: f64 = 1e-12;
/// From this step on masses go up whole: splitting them would save next to nothing.
const COARSE: f64 = 0.5;
/// Largest sigma of a discrete Gaussian whose values are gone through one by one.
const MOST_SIGMA: f64 = 20_000.0;
/// Most grid points of one release.
const MOST_POINTS: f64 = (1 << 22) as f64;
/// Most grid points of all different releases together.
const MOST_POINTS_IN_ALL: f64 = (1 << 25) as f64;

/// Which neighbour is the one that was released from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The unit is there, and is removed.
    Remove,
    /// The unit is added.
    Add,
}

/// Masses on the grid points `first * step, (first + 1) * step, ...`; what is missing to 1 is an
/// infinite loss.
pub(super) struct Losses {
    pub(super) first: i64,
    pub(super) masses: Vec<f64>,
    /// Upper bound of the mass of infinite losses.
    pub(super) infinite: f64,
}

impl Losses {
    /// The losses of a mechanism, of which at most `tail` is cut off on each side.
    pub(super) fn of(
        mechanism: &Mechanism,
        direction: Direction,
        step: f64,
        tail: f64,
    ) -> Result<Self, Error> {
        let mut losses = match Source::of(mechanism, direction, tail)? {
            Source::Subsampled(source) => source.losses(step),
            Source::Discrete(source) => source.losses(step),
        };
        // The low tail: to the lowest losses, rounded up.
        losses.split(0, tail, 1.0);
        losses.infinite += tail;
        losses.masses.iter_mut().for_each(|mass| *mass *= 1.0 + INFLATION);
        Ok(losses)
    }

    /// The least step with which a mechanism's losses, one of so many, have not too many points.
    pub(super) fn least_step(
        mechanism: &Mechanism,
        direction: Direction,
        tail: f64,
        parts: usize,
    ) -> Result<f64, Error> {
        let (low, high) = match Source::of(mechanism, direction, tail)? {
            Source::Subsampled(source) => source.span(),
            Source::Discrete(source) => source.span(),
        };
        Ok((high - low) / MOST_POINTS.min(MOST_POINTS_IN_ALL / parts as f64))
    }

    /// A step, at most as large, with which the losses of a discrete mechanism are grid points. They
    /// are few and heavy: between grid points each of them would raise delta over a whole step.
    pub(super) fn aligned_step(mechanism: &Mechanism, step: f64) -> f64 {
        match *mechanism {
            Mechanism::DiscreteGaussian { sigma, l2_sensitivity: shift, .. } => {
                // All are whole multiples of this.
                let unit = shift / (2.0 * sigma * sigma);
                if unit > step { unit / (unit / step).ceil() } else { step }
            }
            _ => step,
        }
    }

    /// A grid for losses between two values.
    fn empty((low, high): (f64, f64), step: f64) -> Self {
        let (first, last) = ((low / step).floor(), (high / step).ceil() + 1.0);
        let points = (last - first) as usize + 1;
        Self { first: first as i64, masses: vec![0.0; points], infinite: 0.0 }
    }

    /// Adds a mass that lies above the `bucket`-th grid point by at most a step; `share` of it, 0 to
    /// 1, goes to the point above.
    fn split(&mut self, bucket: usize, mass: f64, share: f64) {
        match self.masses.get_mut(bucket..bucket + 2) {
            Some([low, high]) => {
                *low += mass * (1.0 - share);
                *high += mass * share;
            }
            // Above the grid.
            _ => self.infinite += mass,
        }
    }
}

/// What has losses that are known exactly.
enum Source {
    Subsampled(Subsampled),
    Discrete(Discrete),
}

impl Source {
    fn of(mechanism: &Mechanism, direction: Direction, tail: f64) -> Result<Self, Error> {
        // Of a standard normal at most exp(-t^2/2) / 2 lies beyond t.
        let reach = (2.0 * (0.5 / tail).ln()).sqrt();
        match *mechanism {
            Mechanism::Gaussian { noise_multiplier: noise, sampling_rate: rate } => {
                Ok(Self::Subsampled(Subsampled { noise, rate, direction, reach }))
            }
            Mechanism::DiscreteGaussian { sigma, l2_sensitivity: shift, dimension: 1 } => {
                let expected = "at most 20000 for the accountant `pld` (`rdp` takes more)";
                expect("sigma", sigma, expected, sigma <= MOST_SIGMA)?;
                Ok(Self::Discrete(Discrete { sigma, shift, reach }))
            }
            Mechanism::DiscreteGaussian { .. } | Mechanism::DistributedDiscreteGaussian { .. } => {
                Err(Error::NoLossDistribution)
            }
        }
    }
}

/// The share of a mass that goes to the grid point above: `(1 - exp(-above)) / (1 - exp(-step))` of
/// a loss `above` the lower one keeps the mass under both laws.
fn share(above: f64, step: f64) -> f64 {
    if step > COARSE { 1.0 } else { ((-above).exp_m1() / (-step).exp_m1()).clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(losses: &Losses, step: f64) -> (f64, f64) {
        let points = losses.masses.iter().enumerate();
        points.fold((0.0, 0.0), |(p, q), (at, mass)| {
            let loss = (losses.first + at as i64) as f64 * step;
            (p + mass, q + mass * (-loss).exp())
        })
    }

    /// Under both laws the masses add up to 1.
    #[test]
    fn rounding_to_the_grid_keeps_the_mass_under_both_laws() {
        for direction in [Direction::Remove, Direction::Add] {
            for mechanism in [
                Mechanism::gaussian(1.0, 1.0),
                Mechanism::gaussian(0.5, 0.001),
                Mechanism::gaussian(4.0, 0.25),
                Mechanism::gaussian(0.1, 0.5),
                Mechanism::DiscreteGaussian { sigma: 3.0, l2_sensitivity: 2.0, dimension: 1 },
            ] {
                for step in [0.1, 1e-3] {
                    let losses = Losses::of(&mechanism, direction, step, 1e-100).unwrap();
                    let (p, q) = sums(&losses, step);
                    assert!((p - 1.0).abs() < 2e-11, "{mechanism:?} {direction:?} {step}: {p}");
                    assert!((q - 1.0).abs() < 2e-11, "{mechanism:?} {direction:?} {step}: {q}");
                }
            }
        }
    }

    #[test]
    fn a_coarse_grid_rounds_up() {
        let exact = Losses::of(&Mechanism::gaussian(0.1, 0.5), Direction::Remove, 0.01, 1e-15);
        let coarse = Losses::of(&Mechanism::gaussian(0.1, 0.5), Direction::Remove, 1.0, 1e-15);
        let mean = |losses: Losses, step: f64| -> f64 {
            let points = losses.masses.iter().enumerate();
            points.map(|(at, mass)| mass * (losses.first + at as i64) as f64 * step).sum()
        };
        let (exact, coarse) = (mean(exact.unwrap(), 0.01), mean(coarse.unwrap(), 1.0));
        assert!(exact < coarse && coarse < exact + 1.0, "{exact} {coarse}");
    }
}
