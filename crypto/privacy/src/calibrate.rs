//! The other way: the least noise for a target, and the most steps that a budget allows.

use crate::accountant::{Accountant, epsilon};
use crate::error::{Error, check_delta, expect};
use crate::mechanism::{Mechanism, Release, check_rate};

/// Noise multipliers that are tried: from 2^-20 to 2^30.
const NOISE: (f64, f64) = (1.0 / 1_048_576.0, 1_073_741_824.0);
/// Steps that are tried at most.
pub const MOST_STEPS: u64 = 1 << 30;

/// The guarantee that is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Epsilon in nats; above 0.
    pub epsilon: f64,
    /// Delta; above 0, below 1.
    pub delta: f64,
}

impl Target {
    fn check(&self) -> Result<(), Error> {
        let holds = self.epsilon > 0.0 && self.epsilon.is_finite();
        expect("epsilon", self.epsilon, "a finite number above 0", holds)?;
        check_delta(self.delta).map(|_| ())
    }

    fn met(&self, reached: f64) -> bool {
        reached <= self.epsilon
    }
}

/// The least noise multiplier with which `steps` steps of DP-SGD meet a target, rounded up to seven
/// digits: with it, [`epsilon`] is at most the target.
///
/// # Errors
/// Numbers outside their ranges; a target that no noise meets, or that next to none meets.
pub fn noise_multiplier(
    target: Target,
    sampling_rate: f64,
    steps: u64,
    accountant: Accountant,
) -> Result<f64, Error> {
    target.check()?;
    check_rate(sampling_rate)?;
    let spent = |noise: f64| {
        let step = Mechanism::gaussian(noise, sampling_rate);
        epsilon(&[(step, steps)], target.delta, accountant)
    };
    let start = match accountant {
        Accountant::Rdp => 1.0,
        // Enough for the looser accountant, hence enough, and near.
        Accountant::Pld => noise_multiplier(target, sampling_rate, steps, Accountant::Rdp)?,
    };
    let (low, high) = bracket(target, start, &spent)?;
    let precision = match accountant {
        Accountant::Rdp => 1e-8,
        Accountant::Pld => 1e-6,
    };
    let mut noise = seven_digits(narrow(target, low, high, precision, &spent)?);
    // The last digit may have crossed a place where rounding inside the accountant jumps.
    while !target.met(spent(noise)?) {
        noise = seven_digits(noise * (1.0 + precision));
    }
    Ok(noise)
}

/// How often `step` may still be done after `spent` within a target, at most [`MOST_STEPS`].
///
/// # Errors
/// Numbers outside their ranges.
pub fn most_steps(
    spent: &[Release],
    step: &Mechanism,
    target: Target,
    accountant: Accountant,
) -> Result<u64, Error> {
    target.check()?;
    let met = |steps: u64| {
        let mut releases = spent.to_vec();
        releases.push((*step, steps));
        Ok(target.met(epsilon(&releases, target.delta, accountant)?))
    };
    let mut low = match accountant {
        Accountant::Rdp => 0,
        Accountant::Pld => most_steps(spent, step, target, Accountant::Rdp)?,
    };
    let mut by = 1;
    let mut high = loop {
        let next = low + by;
        if next > MOST_STEPS {
            return Ok(MOST_STEPS);
        }
        if !met(next)? {
            break next;
        }
        low = next;
        by *= 2;
    };
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if met(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Noise with its epsilon.
#[derive(Clone, Copy)]
struct Tried {
    noise: f64,
    reached: f64,
}

/// Too little noise and enough, a factor of two apart at most.
fn bracket(
    target: Target,
    start: f64,
    spent: &impl Fn(f64) -> Result<f64, Error>,
) -> Result<(Tried, Tried), Error> {
    let attempt = |noise: f64| Ok(Tried { noise, reached: spent(noise)? });
    let mut last = attempt(start)?;
    let up = !target.met(last.reached);
    loop {
        let noise = if up { last.noise * 2.0 } else { last.noise / 2.0 };
        if noise > NOISE.1 {
            let Tried { noise, reached } = last;
            return Err(Error::TooStrict { epsilon: target.epsilon, noise, reached });
        }
        if noise < NOISE.0 {
            let Tried { noise, reached } = last;
            return Err(Error::TooLax { epsilon: target.epsilon, noise, reached });
        }
        let next = attempt(noise)?;
        if target.met(next.reached) == up {
            return Ok(if up { (last, next) } else { (next, last) });
        }
        last = next;
    }
}

/// Narrows a bracket down to a relative precision: false position in logarithms, where epsilon is
/// close to a power of the noise, and halves whenever that shrinks the bracket too slowly.
fn narrow(
    target: Target,
    mut low: Tried,
    mut high: Tried,
    precision: f64,
    spent: &impl Fn(f64) -> Result<f64, Error>,
) -> Result<f64, Error> {
    let mut halve = false;
    while high.noise > low.noise * (1.0 + precision) {
        let width = (high.noise / low.noise).ln();
        let part = (low.reached / target.epsilon).ln() / (low.reached / high.reached).ln();
        // A little beyond the guess, on the side that would leave the smaller part.
        let nudge = 0.3 * precision / width;
        let usable = !halve && part.is_finite();
        let part = if usable { part + nudge.copysign(0.5 - part).min(0.2) } else { 0.5 };
        let noise = low.noise * (width * part.clamp(nudge.min(0.25), 1.0 - nudge.min(0.25))).exp();
        let tried = Tried { noise, reached: spent(noise)? };
        if target.met(tried.reached) {
            high = tried;
        } else {
            low = tried;
        }
        halve = usable && (high.noise / low.noise).ln() > width / 2.0;
    }
    Ok(high.noise)
}

/// Rounded up to seven significant digits.
fn seven_digits(noise: f64) -> f64 {
    let places = 10f64.powi((6 - noise.log10().floor() as i32).max(0));
    let rounded = (noise * places - 1e-6).ceil() / places;
    // What has seven digits already stays.
    if rounded >= noise { rounded } else { (noise * places).ceil() / places }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_goes_up_and_keeps_what_is_round() {
        for (noise, rounded) in
            [(1.513_122_162_83, 1.513_123), (1.513_123, 1.513_123), (0.000_2, 0.000_2), (1e8, 1e8)]
        {
            assert_eq!(seven_digits(noise), rounded);
        }
    }

    #[test]
    fn targets_beyond_every_noise_say_what_could_be() {
        let calibrate = |epsilon, delta, rate, steps| {
            let target = Target { epsilon, delta };
            noise_multiplier(target, rate, steps, Accountant::Rdp).unwrap_err().to_string()
        };
        let strict = calibrate(1e-9, 1e-5, 1.0, 1 << 60);
        assert!(strict.contains("even a noise multiplier of 1073741824 gives"), "{strict}");
        let lax = calibrate(1e30, 1e-5, 0.5, 10);
        assert!(lax.contains("needs noise") && lax.contains("gives"), "{lax}");
        assert!(calibrate(0.0, 1e-5, 0.5, 1).contains("epsilon: expected a finite number above 0"));
        assert!(calibrate(1.0, 1.0, 0.5, 1).contains("delta"));
        assert!(calibrate(1.0, 0.1, 0.0, 1).contains("sampling rate"));
        assert!(calibrate(1.0, 0.1, 0.5, 0).contains("steps"));
    }

    #[test]
    fn the_last_step_that_fits_fits_and_the_next_does_not() {
        let step = Mechanism::gaussian(1.5, 0.04);
        let target = Target { epsilon: 3.0, delta: 1e-5 };
        for accountant in [Accountant::Rdp, Accountant::Pld] {
            let spent = [(Mechanism::gaussian(1.0, 0.01), 200)];
            let steps = most_steps(&spent, &step, target, accountant).unwrap();
            let reached = |steps| {
                let releases = [spent.as_slice(), &[(step, steps)]].concat();
                epsilon(&releases, target.delta, accountant).unwrap()
            };
            assert!(reached(steps) <= 3.0 && reached(steps + 1) > 3.0, "{steps}");
        }
        let much = [(Mechanism::gaussian(0.3, 1.0), 10)];
        assert_eq!(most_steps(&much, &step, target, Accountant::Rdp), Ok(0));
        let faint = Mechanism::gaussian(1e9, 1e-6);
        assert_eq!(most_steps(&[], &faint, target, Accountant::Rdp), Ok(MOST_STEPS));
    }
}
