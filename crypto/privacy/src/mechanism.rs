//! What was done to the data.

use serde::{Deserialize, Serialize};

use crate::error::{Error, expect};

/// A mechanism, and how many times it was applied to the same data.
pub type Release = (Mechanism, u64);

/// What was done to the data once: a sum over units, each clipped, plus noise.
///
/// Noise is said relative to the clip where the sum is of real numbers, and in the grid's own units
/// where it is of integers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mechanism", rename_all = "snake_case", deny_unknown_fields)]
pub enum Mechanism {
    /// A step of DP-SGD: every unit is drawn by itself with the same probability (Poisson sampling),
    /// clipped in L2, summed, and noise `N(0, (noise_multiplier * clip)^2)` is added to each
    /// coordinate. With a rate of 1 it is the plain Gaussian mechanism.
    Gaussian {
        /// Standard deviation of the noise over the L2 clip; above 0.
        noise_multiplier: f64,
        /// Probability that a unit is drawn; above 0, at most 1.
        sampling_rate: f64,
    },
    /// A sum of integers, plus the discrete Gaussian on every coordinate: probability of `x`
    /// proportional to `exp(-x^2 / (2 sigma^2))` (Canonne, Kamath, Steinke 2020).
    DiscreteGaussian {
        /// Parameter of the noise, in units of the grid; above 0.
        sigma: f64,
        /// L2 norm of the largest change by one unit, in units of the grid; above 0, a whole number
        /// where the dimension is 1.
        l2_sensitivity: f64,
        /// Numbers released at once.
        dimension: u64,
    },
    /// A sum of integers to which every one of `sites` has added its own discrete Gaussian. The sum
    /// of the noises is close to a discrete Gaussian, and how close is accounted (Kairouz, Liu,
    /// Steinke 2021, proposition 14).
    ///
    /// `sites` counts those whose noise is known to be there and unknown to the adversary: the
    /// honest ones that contributed.
    DistributedDiscreteGaussian {
        /// Parameter of one site's noise, in units of the grid; above 0.
        local_sigma: f64,
        /// Sites whose noise counts; at least 1.
        sites: u64,
        /// Numbers released at once; at least 1.
        dimension: u64,
        /// L1 norm of the largest change by one unit, in units of the grid.
        l1_sensitivity: f64,
        /// L2 norm of the largest change by one unit, in units of the grid.
        l2_sensitivity: f64,
    },
}

impl Mechanism {
    /// A step of DP-SGD; see [`Mechanism::Gaussian`].
    #[must_use]
    pub fn gaussian(noise_multiplier: f64, sampling_rate: f64) -> Self {
        Self::Gaussian { noise_multiplier, sampling_rate }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first number that is outside its range.
    pub fn check(&self) -> Result<(), Error> {
        match *self {
            Self::Gaussian { noise_multiplier, sampling_rate } => {
                positive("noise multiplier", noise_multiplier)?;
                check_rate(sampling_rate)?;
            }
            Self::DiscreteGaussian { sigma, l2_sensitivity, dimension } => {
                positive("sigma", sigma)?;
                positive("L2 sensitivity", l2_sensitivity)?;
                at_least_one("dimension", dimension)?;
                let whole = dimension > 1 || l2_sensitivity.fract() == 0.0;
                let expected = "a whole number, as one integer changes by one";
                expect("L2 sensitivity", l2_sensitivity, expected, whole)?;
            }
            Self::DistributedDiscreteGaussian {
                local_sigma,
                sites,
                dimension,
                l1_sensitivity: l1,
                l2_sensitivity: l2,
            } => {
                positive("local sigma", local_sigma)?;
                at_least_one("sites", sites)?;
                at_least_one("dimension", dimension)?;
                positive("L2 sensitivity", l2)?;
                positive("L1 sensitivity", l1)?;
                // Rounding of what was computed must not refuse a vector with one entry.
                let holds = l1 >= l2 * (1.0 - 1e-9);
                expect("L1 sensitivity", l1, "at least the L2 sensitivity", holds)?;
            }
        }
        Ok(())
    }
}

/// Checks a whole list.
pub(crate) fn check_all(releases: &[Release]) -> Result<(), Error> {
    for (mechanism, times) in releases {
        mechanism.check()?;
        at_least_one("number of times (steps)", *times)?;
    }
    Ok(())
}

/// Equal mechanisms once, as often as all of them together: a ledger has a line a round.
pub(crate) fn merged(releases: &[Release]) -> Vec<Release> {
    let mut merged: Vec<Release> = Vec::new();
    for (mechanism, times) in releases {
        let found = merged.iter_mut().find(|(known, _)| known == mechanism);
        match found.and_then(|(_, sum)| Some((sum.checked_add(*times)?, sum))) {
            Some((all, sum)) => *sum = all,
            None => merged.push((*mechanism, *times)),
        }
    }
    merged
}

/// Checks a sampling rate.
pub(crate) fn check_rate(rate: f64) -> Result<f64, Error> {
    let expected = "a number above 0 and at most 1, the probability that a unit is drawn";
    expect("sampling rate", rate, expected, rate > 0.0 && rate <= 1.0)
}

/// Checks a size: squares of what passes neither overflow nor vanish.
pub(crate) fn positive(what: &'static str, got: f64) -> Result<f64, Error> {
    expect(what, got, "a number above 0, from 1e-15 to 1e15", (1e-15..=1e15).contains(&got))
}

fn at_least_one(what: &'static str, got: u64) -> Result<f64, Error> {
    expect(what, got as f64, "at least 1", got >= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_outside_its_range_is_refused_with_what_was_expected() {
        let discrete = |sigma, l2_sensitivity, dimension| Mechanism::DiscreteGaussian {
            sigma,
            l2_sensitivity,
            dimension,
        };
        let distributed = |local_sigma, sites, dimension, l1_sensitivity, l2_sensitivity| {
            Mechanism::DistributedDiscreteGaussian {
                local_sigma,
                sites,
                dimension,
                l1_sensitivity,
                l2_sensitivity,
            }
        };
        for (mechanism, said) in [
            (
                Mechanism::gaussian(0.0, 0.5),
                "noise multiplier: expected a number above 0, from 1e-15 to 1e15, got 0",
            ),
            (Mechanism::gaussian(-1.0, 0.5), "got -1"),
            (Mechanism::gaussian(f64::NAN, 0.5), "got NaN"),
            (Mechanism::gaussian(f64::INFINITY, 0.5), "got inf"),
            (Mechanism::gaussian(1e200, 0.5), "got 1e200"),
            (Mechanism::gaussian(1e-200, 0.5), "got 1e-200"),
            (
                Mechanism::gaussian(1.0, 0.0),
                "sampling rate: expected a number above 0 and at most 1",
            ),
            (Mechanism::gaussian(1.0, 1.5), "got 1.5"),
            (Mechanism::gaussian(1.0, f64::NAN), "sampling rate"),
            (discrete(0.0, 1.0, 1), "sigma"),
            (discrete(1.0, 0.0, 1), "L2 sensitivity"),
            (discrete(1.0, 1.5, 1), "expected a whole number"),
            (discrete(1.0, 1.0, 0), "dimension: expected at least 1, got 0"),
            (distributed(1.0, 0, 1, 1.0, 1.0), "sites: expected at least 1"),
            (distributed(1.0, 3, 9, 1.0, 3.0), "L1 sensitivity: expected at least the L2"),
            (distributed(1.0, 3, 9, f64::INFINITY, 3.0), "L1 sensitivity"),
        ] {
            let error = mechanism.check().unwrap_err().to_string();
            assert!(error.contains(said), "{mechanism:?}: {error}");
        }
        assert_eq!(discrete(1.0, 10f64.sqrt(), 100).check(), Ok(()));
        let error = check_all(&[(Mechanism::gaussian(1.0, 0.5), 0)]).unwrap_err().to_string();
        assert!(error.contains("steps): expected at least 1, got 0"), "{error}");
    }

    #[test]
    fn equal_mechanisms_are_merged_and_no_time_is_lost() {
        let (a, b) = (Mechanism::gaussian(1.0, 0.5), Mechanism::gaussian(2.0, 0.5));
        assert_eq!(merged(&[(a, 1), (b, 2), (a, 3)]), [(a, 4), (b, 2)]);
        assert_eq!(merged(&[(a, u64::MAX), (a, 3)]), [(a, u64::MAX), (a, 3)]);
    }

    #[test]
    fn json_is_tagged_and_takes_no_unknown_field() {
        let text = r#"{"mechanism":"gaussian","noise_multiplier":1.5,"sampling_rate":0.04}"#;
        let mechanism: Mechanism = serde_json::from_str(text).unwrap();
        assert_eq!(mechanism, Mechanism::gaussian(1.5, 0.04));
        assert_eq!(serde_json::to_string(&mechanism).unwrap(), text);
        let more = text.replace('}', r#","steps":1}"#);
        assert!(serde_json::from_str::<Mechanism>(&more).is_err());
    }
}
