//! The one entry point: releases, a delta and an accountant give an epsilon.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, check_delta, expect};
use crate::mechanism::{Mechanism, Release};
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

/// An accountant of a list of mechanisms, to be asked for many compositions of them: what it works out
/// for one serves the others. It answers as [`epsilon`] does.
#[derive(Debug)]
pub struct Account {
    mechanisms: Vec<Mechanism>,
    /// None by losses, which are composed anew each time.
    curves: Option<rdp::Curves>,
}

impl Account {
    /// Of these mechanisms, each once.
    ///
    /// # Errors
    /// Numbers outside their ranges.
    pub fn new(mechanisms: Vec<Mechanism>, accountant: Accountant) -> Result<Self, Error> {
        let curves = match accountant {
            Accountant::Rdp => Some(rdp::Curves::new(rdp::orders(), &mechanisms)?),
            Accountant::Pld => None,
        };
        Ok(Self { mechanisms, curves })
    }

    /// The epsilon of a composition: how often each mechanism was applied, in their order.
    ///
    /// # Errors
    /// As [`epsilon`]; another number of times than of mechanisms.
    pub fn epsilon(&self, times: &[u64], delta: f64) -> Result<f64, Error> {
        if let Some(curves) = &self.curves {
            return Ok(curves.epsilon(times, delta)?.epsilon);
        }
        let right = times.len() == self.mechanisms.len();
        expect("how often", times.len() as f64, "a number for each mechanism", right)?;
        let used = self.mechanisms.iter().copied().zip(times.iter().copied());
        let used: Vec<Release> = used.filter(|(_, times)| *times > 0).collect();
        pld::epsilon(&used, delta)
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
    fn an_account_answers_as_the_accountant_does() {
        let mechanisms = vec![Mechanism::gaussian(1.5, 0.04), Mechanism::gaussian(2.0, 1.0)];
        let times = [200, 2];
        let all: Vec<Release> = mechanisms.iter().copied().zip(times).collect();
        for accountant in [Accountant::Rdp, Accountant::Pld] {
            let account = Account::new(mechanisms.clone(), accountant).unwrap();
            let alone = |releases: &[Release]| epsilon(releases, 1e-5, accountant).unwrap();
            assert_eq!(account.epsilon(&times, 1e-5).unwrap(), alone(&all));
            assert_eq!(account.epsilon(&[200, 0], 1e-5).unwrap(), alone(&all[..1]));
            assert!(account.epsilon(&times[..1], 1e-5).is_err());
        }
    }

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
