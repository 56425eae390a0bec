//! The Rényi accountant: divergences of many orders add up, and the best order gives epsilon
//! (Mironov 2017; conversion: Canonne, Kamath, Steinke 2020, proposition 12).

mod curves;
mod discrete;
mod subsampled;

pub use curves::Curves;

use crate::error::{Error, expect};
use crate::mechanism::{Mechanism, Release, check_all, merged};

/// An epsilon, and the order of the divergence that gave it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RdpEpsilon {
    /// The upper bound; at least 0.
    pub epsilon: f64,
    /// The order; above 1.
    pub order: f64,
}

/// The Rényi divergence, in nats, of one application, of an order above 1: the larger one of adding
/// and removing a unit.
///
/// # Errors
/// Numbers outside their ranges.
pub fn rdp(mechanism: &Mechanism, order: f64) -> Result<f64, Error> {
    mechanism.check()?;
    check_order(order)?;
    Ok(divergence(mechanism, order))
}

/// The orders that [`epsilon`] tries.
///
/// From 1.1 to 1,024 they are the published libraries' own (Opacus, dp-accounting), so that equal
/// training gives equal numbers. Those stop short at both ends: epsilons in the thousands have their
/// best order below 1.1, epsilons of some hundredths above 1,024. There the distance to 1 shrinks by
/// 15 % a step, which costs less than 0.3 % of epsilon, and the order grows by half.
#[must_use]
pub fn orders() -> Vec<f64> {
    let near_one = (1..100).rev().map(|step| 1.0 + 0.1 * 1.15f64.powi(-step));
    let tenths = (11..110).map(|tenth| f64::from(tenth) / 10.0);
    let whole = (11..64).map(f64::from);
    let doubled = (7..11).map(|exponent| 2f64.powi(exponent));
    let large = (1..30).map(|step| (1024.0 * 1.5f64.powi(step)).floor());
    near_one.chain(tenths).chain(whole).chain(doubled).chain(large).collect()
}

/// The epsilon of a list of releases, over [`orders`]; 0 of none.
///
/// # Errors
/// Numbers outside their ranges.
pub fn epsilon(releases: &[Release], delta: f64) -> Result<RdpEpsilon, Error> {
    epsilon_over(&orders(), releases, delta)
}

/// The epsilon of a list of releases, over rising orders of the caller's.
///
/// # Errors
/// Numbers outside their ranges; orders that do not rise, or none.
pub fn epsilon_over(orders: &[f64], releases: &[Release], delta: f64) -> Result<RdpEpsilon, Error> {
    check_all(releases)?;
    let (mechanisms, times): (Vec<_>, Vec<_>) = merged(releases).into_iter().unzip();
    Curves::new(orders.to_vec(), &mechanisms)?.epsilon(&times, delta)
}

/// What is added to the divergence: `ln((a-1)/a) - (ln delta + ln a)/(a-1)`.
fn conversion(order: f64, ln_delta: f64) -> f64 {
    ((order - 1.0) / order).ln() - (ln_delta + order.ln()) / (order - 1.0)
}

fn check_order(order: f64) -> Result<f64, Error> {
    expect("order", order, "a finite number above 1", order > 1.0 && order.is_finite())
}

/// [`rdp`] of what has been checked.
fn divergence(mechanism: &Mechanism, order: f64) -> f64 {
    match *mechanism {
        Mechanism::Gaussian { noise_multiplier, sampling_rate } => {
            subsampled::divergence(noise_multiplier, sampling_rate, order)
        }
        Mechanism::DiscreteGaussian { sigma, l2_sensitivity, dimension } => {
            discrete::gaussian(sigma, l2_sensitivity, dimension, order)
        }
        Mechanism::DistributedDiscreteGaussian {
            local_sigma,
            sites,
            dimension,
            l1_sensitivity,
            l2_sensitivity,
        } => {
            let noise = discrete::SummedNoise::new(local_sigma, sites);
            noise.divergence(dimension, l1_sensitivity, l2_sensitivity, order)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_design_notes() {
        let steps = [(Mechanism::gaussian(1.5, 0.04), 2250)];
        let found = epsilon(&steps, 1e-5).unwrap();
        assert!((found.epsilon - 7.32911117143).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn parts_compose_to_the_whole_and_nothing_costs_nothing() {
        let step = Mechanism::gaussian(1.1, 0.01);
        let whole = epsilon(&[(step, 1000)], 1e-5).unwrap();
        let parts = epsilon(&[(step, 1), (step, 299), (step, 700)], 1e-5).unwrap();
        assert!((whole.epsilon - parts.epsilon).abs() < 1e-12 * whole.epsilon);
        assert_eq!(epsilon(&[], 1e-5).unwrap().epsilon, 0.0);
    }

    #[test]
    fn orders_that_cannot_be_are_refused() {
        let step = Mechanism::gaussian(1.0, 0.5);
        for order in [1.0, 0.5, f64::NAN, f64::INFINITY] {
            assert!(rdp(&step, order).is_err(), "{order}");
        }
        assert!(epsilon_over(&[], &[(step, 1)], 1e-5).is_err());
        assert!(epsilon_over(&[3.0, 2.0], &[(step, 1)], 1e-5).is_err());
    }

    #[test]
    fn stopping_early_loses_nothing() {
        for (noise, rate, times) in [(0.5, 0.25, 10), (1.5, 0.04, 2250), (30.0, 1.0, 1)] {
            let steps = [(Mechanism::gaussian(noise, rate), times)];
            let each = orders().into_iter().filter(|order| *order < 5000.0);
            let least = each
                .map(|order| epsilon_over(&[order], &steps, 1e-6).unwrap().epsilon)
                .fold(f64::INFINITY, f64::min);
            assert_eq!(epsilon(&steps, 1e-6).unwrap().epsilon, least, "{noise} {rate} {times}");
        }
    }
}
