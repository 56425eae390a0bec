//! The accountant of the privacy loss distribution (PLD): tight, and never below the true epsilon.
//!
//! Of two neighbouring data sets with output laws `P` and `Q` the privacy loss is `ln(P/Q)` of an
//! output from `P`; losses of independent releases add up, and
//! `delta(e) = E[max(0, 1 - exp(e - loss))]`. Each release's losses are rounded to a grid
//! (`losses`), the laws are convolved by FFT (`compose`), and the least epsilon whose delta is
//! small enough is read off. Adding and removing a unit are computed apart; the larger one counts.
//!
//! # Why the result is never below the true epsilon
//! - **Rounding to the grid.** A mass between two grid points is split between both so that its
//!   probability under `P` and under `Q` stays ("connect the dots": Doroshenko, Ghazi, Kamath, Kumar,
//!   Manurangsi 2022): delta can only rise, at every epsilon. On a coarse grid all goes up.
//! - **Tails.** What lies beyond a release's grid counts as an infinite loss above, and as the lowest
//!   grid point below. What the composed law has above the window of the FFT is bounded by Chernoff
//!   and charged to delta; what it has below is wrapped upwards, which only adds.
//! - **Nothing is believed that is no law.** The tilted law must have the mass 1 but for what is charged
//!   as error, and everything that is compared must be a number: else there is no answer.
//! - **Round-off.** The FFT's errors are bounded in the 2-norm and charged to delta. On plain
//!   probabilities they would be some 1e-13, and a delta below that could not be told: here the laws
//!   are first tilted by `exp(lambda loss)`, with the lambda for which the losses around the epsilon
//!   sought are the likely ones. Errors are then relative to that delta, however small it is, and
//!   the window need only hold those losses, however large epsilon is.

mod compose;
mod cumulants;
mod losses;

use crate::error::{Error, check_delta, expect};
use crate::mechanism::{Mechanism, Release, check_all, merged};
use crate::rdp;

use compose::{Found, Outcome, least_epsilon};
use cumulants::Composition;
use losses::{Direction, Losses};

/// The least delta: losses are cut off where their densities would be below what f64 holds.
const LEAST_DELTA: f64 = 1e-200;
/// The error of the grid that is aimed at, over epsilon.
const GRID_ERROR: f64 = 1e-4;
/// Part of delta that the cut-off tails of all releases may take together.
const TAILS: f64 = 1e-8;
/// Charged for what f64 rounds in losses and in the result, over epsilon.
const ROUNDING: f64 = 1e-9;

/// The epsilon of a list of releases at a delta; 0 of none. Rounded up: by less than 1e-3 of it, unless
/// it is tiny beside what a grid of 2^21 points resolves, or several steps of a low rate meet a delta
/// below 1e-20 (no tilt fits such losses well, and more of the round-off is charged).
///
/// # Errors
/// Numbers outside their ranges; a delta below 1e-200; a mechanism whose loss distribution is not
/// known exactly (noise of several sites, vectors of integers).
pub fn epsilon(releases: &[Release], delta: f64) -> Result<f64, Error> {
    check_delta(delta)?;
    check_all(releases)?;
    let expected = "at least 1e-200 for the accountant `pld` (`rdp` takes less)";
    expect("delta", delta, expected, delta >= LEAST_DELTA)?;
    let expected = "at most 1e12 for the accountant `pld` (`rdp` takes more)";
    let times = times_of(releases);
    expect("number of times (steps) in all", times, expected, times <= MOST_TIMES)?;
    if releases.is_empty() {
        return Ok(0.0);
    }
    let releases = &merged(releases);
    let rough = rdp::epsilon(releases, delta)?;
    if rough.epsilon == 0.0 {
        return Ok(0.0);
    }
    if rough.epsilon > MOST_EPSILON {
        return Err(Error::TooLarge { about: rough.epsilon, most: MOST_EPSILON });
    }
    let sampled = releases.iter().any(|(mechanism, _)| {
        matches!(mechanism, Mechanism::Gaussian { sampling_rate, .. } if *sampling_rate < 1.0)
    });
    let mut most = one_direction(releases, delta, Direction::Remove, rough, 0.0)?;
    if sampled {
        most = most.max(one_direction(releases, delta, Direction::Add, rough, most)?);
    }
    // An epsilon that Rényi divergences prove is as true as this one.
    Ok((most * (1.0 + ROUNDING)).min(rough.epsilon))
}

/// Of more releases the errors that f64 makes in each are not bounded by what is charged for them.
const MOST_TIMES: f64 = 1e12;

/// Releases in all.
fn times_of(releases: &[Release]) -> f64 {
    releases.iter().map(|(_, times)| *times as f64).sum()
}

/// A larger epsilon is not computed: every grid that resolves it is too fine for its losses.
const MOST_EPSILON: f64 = 1e12;

/// The epsilon of one direction: the grid is made finer until its error is small beside it, or until
/// it is below `enough`, which the other direction has already.
fn one_direction(
    releases: &[Release],
    delta: f64,
    direction: Direction,
    rough: rdp::RdpEpsilon,
    enough: f64,
) -> Result<f64, Error> {
    let times = times_of(releases);
    let mut step = grid_step(times, rough.epsilon, rough.order);
    let mut least = f64::INFINITY;
    for _ in 0..8 {
        let found = on_grid(releases, delta, direction, step)?;
        least = least.min(found.epsilon);
        let (error, allowed) =
            (grid_error(times, found.slope, found.step), GRID_ERROR * found.epsilon);
        // A grid that had to be made coarser already can be made no finer.
        if least <= enough || error <= 2.0 * allowed || found.step > step {
            break;
        }
        step = grid_step(times, found.epsilon, found.slope).min(found.step / 2.0);
    }
    Ok(least)
}

/// What rounding to a grid adds to epsilon at most, about: a mass that is split between two grid
/// points has its variance raised by up to a quarter of the step's square, which shifts a delta that
/// falls like `exp(-slope * epsilon)` by half of that times the slope; no loss rises by more than a
/// step.
fn grid_error(times: f64, slope: f64, step: f64) -> f64 {
    times * step * (slope * step / 8.0).min(1.0)
}

/// The step whose error is small beside an epsilon.
fn grid_step(times: f64, epsilon: f64, slope: f64) -> f64 {
    let error = GRID_ERROR * epsilon / times;
    (8.0 * error / slope).sqrt().min(0.05).max(error)
}

/// The epsilon on one grid, whose step is made larger where the laws would not fit.
fn on_grid(
    releases: &[Release],
    delta: f64,
    direction: Direction,
    mut step: f64,
) -> Result<Found, Error> {
    let times = times_of(releases);
    let tail = TAILS * delta / times;
    for (mechanism, _) in releases {
        step = step.max(Losses::least_step(mechanism, direction, tail, releases.len())?);
    }
    for (mechanism, _) in releases {
        step = Losses::aligned_step(mechanism, step);
    }
    // A grid whose step is beyond every epsilon tells nothing, and no window gets any smaller by it.
    while step <= MOST_EPSILON {
        let parts = releases
            .iter()
            .map(|(mechanism, times)| Ok((Losses::of(mechanism, direction, step, tail)?, *times)))
            .collect::<Result<_, Error>>()?;
        match least_epsilon(&Composition::new(parts, step), delta, TAILS)? {
            Outcome::Found(found) => return Ok(found),
            Outcome::TooLarge(by) => step *= 1.1 * by,
        }
    }
    Err(Error::NotResolved { delta, times })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a step's losses are smaller than the published program's grid of 1e-4 its epsilon is some
    /// per cent above ours. On that grid ours is the same.
    #[test]
    fn a_grid_as_coarse_as_the_published_one_gives_the_published_epsilon() {
        for (noise, rate, times, delta, published) in [
            (4.0, 0.001, 1, 1e-5, 0.000_439_366_132_607),
            (4.0, 0.001, 100, 1e-6, 0.008_031_158_776_52),
            (4.0, 0.001, 10_000, 1e-5, 0.077_636_311_709_4),
            (2.0, 0.001, 1000, 1e-5, 0.050_137_037_773),
        ] {
            let steps = [(Mechanism::gaussian(noise, rate), times)];
            let coarse = on_grid(&steps, delta, Direction::Remove, 1e-4).unwrap().epsilon;
            assert!((coarse / published - 1.0).abs() < 1e-3, "{noise} {times}: {coarse}");
            let fine = epsilon(&steps, delta).unwrap();
            assert!(fine < published && fine > 0.98 * published, "{noise} {times}: {fine}");
        }
    }
}
