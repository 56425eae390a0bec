//! The one entry point: releases, a delta and an accountant give an epsilon.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, check_delta, expect};
use crate::mechanism::Release;
use crate::{pld, rdp};

/// How an epsilon is computed. Both give upper bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accountant {
    /// Rényi divergences: every mechanism here, always fast, somewhat loose.
    Rdp,
    /// The distribution of the privacy loss: tight; not for sums of several sites' noise.
    Pld,
}

/// As it is written on the command line.
impl fmt::Display for Accountant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rdp => "rdp",
            Self::Pld => "pld",
        })
    }
}

impl FromStr for Accountant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "rdp" => Ok(Self::Rdp),
            "pld" => Ok(Self::Pld),
            _ => Err(format!("expected `rdp` or `pld`, got `{text}`")),
        }
    }
}

/// The epsilon that a list of releases has at a delta: whatever was done to the same data, in any
/// order, adaptively.
///
/// An upper bound in nats, at least 0; 0 of an empty list.
///
/// # Errors
/// Numbers outside their ranges; with [`Accountant::Pld`] also a mechanism whose losses are only
/// bounded, and what f64 cannot resolve.
pub fn epsilon(releases: &[Release], delta: f64, accountant: Accountant) -> Result<f64, Error> {
    match accountant {
        Accountant::Rdp => Ok(rdp::epsilon(releases, delta)?.epsilon),
        Accountant::Pld => pld::epsilon(releases, delta),
    }
}

/// Checks that a delta is below one over the number of records (of units) that it is promised for.
///
/// # Errors
/// It is not, or one of them is outside its range.
pub fn delta_below_one_over_records(delta: f64, records: u64) -> Result<(), Error> {
    check_delta(delta)?;
    expect("records", records as f64, "at least 1", records >= 1)?;
    if delta * records as f64 >= 1.0 {
        return Err(Error::DeltaForRecords { delta, records });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delta_is_checked_against_the_records() {
        delta_below_one_over_records(1e-5, 99_999).unwrap();
        for (delta, records, said) in [
            (1e-5, 100_000, "expected a number below 1/100000 = 1.000e-5"),
            (0.0, 10, "above 0 and below 1, got 0"),
            (1.0, 10, "got 1"),
            (f64::NAN, 10, "got NaN"),
            (0.1, 0, "records: expected at least 1"),
        ] {
            let error = delta_below_one_over_records(delta, records).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
