//! The plain Gaussian mechanism, exactly (Balle, Wang 2018, theorem 8).
//!
//! Without sampling, `T` releases with noise `z_i` are one with `1/z^2 = sum of 1/z_i^2`; adding and
//! removing a unit are alike. All noise is relative to the L2 sensitivity.

use std::f64::consts::{PI, SQRT_2};

use crate::error::{Error, check_delta, expect};
use crate::mechanism::positive;

/// The delta at an epsilon: `Phi(1/(2z) - e z) - exp(e) Phi(-1/(2z) - e z)`.
///
/// # Errors
/// Numbers outside their ranges.
pub fn delta(noise_multiplier: f64, epsilon: f64) -> Result<f64, Error> {
    positive("noise multiplier", noise_multiplier)?;
    check_epsilon(epsilon)?;
    Ok(curve(noise_multiplier, epsilon))
}

/// The epsilon at a delta; at least 0, to 1e-9 relatively (and 1e-15 times the noise), rounded up.
///
/// # Errors
/// Numbers outside their ranges.
pub fn epsilon(noise_multiplier: f64, delta: f64) -> Result<f64, Error> {
    let shift = 1.0 / positive("noise multiplier", noise_multiplier)?;
    check_delta(delta)?;
    if curve(noise_multiplier, 0.0) <= delta {
        return Ok(0.0);
    }
    // The concentrated bound: rho + 2 sqrt(rho ln(1/delta)) with rho = shift^2 / 2.
    let rho = shift * shift / 2.0;
    let high = rho + 2.0 * (rho * -delta.ln()).sqrt();
    Ok(bisect(0.0, high, |epsilon| curve(noise_multiplier, epsilon) <= delta))
}

/// The least noise multiplier for an epsilon at a delta, to 1e-9 relatively, rounded up.
///
/// # Errors
/// Numbers outside their ranges.
pub fn noise_multiplier(epsilon: f64, delta: f64) -> Result<f64, Error> {
    check_epsilon(epsilon)?;
    check_delta(delta)?;
    let met = |noise: f64| curve(noise, epsilon) <= delta;
    let mut high = 1.0;
    while !met(high) {
        high *= 2.0;
    }
    let mut low = high / 2.0;
    while met(low) {
        (low, high) = (low / 2.0, low);
    }
    Ok(bisect(low, high, met))
}

/// The end where `holds`, of an interval at whose upper end it does.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    while high - low > 1e-10 * high {
        let middle = low + (high - low) / 2.0;
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// Delta at an epsilon, with the precision of what is small: with `t = e z - 1/(2z)` and the scaled
/// complement `erfcx`, `exp(e) Phi(-1/(2z) - e z) = exp(-t^2/2) erfcx((t + 1/z) / sqrt 2) / 2`.
fn curve(noise: f64, epsilon: f64) -> f64 {
    let shift = 1.0 / noise;
    let t = epsilon * noise - shift / 2.0;
    let scale = (-t * t / 2.0).exp() / 2.0;
    let away = erfcx((t + shift) / SQRT_2);
    if t < 0.0 && epsilon < 1.0 {
        // Without the 1 that both probabilities are near to.
        let end = (t + shift) / SQRT_2;
        let apart = libm::erf(end) + libm::erf(-t / SQRT_2);
        (apart - libm::erfc(end) * epsilon.exp_m1()) / 2.0
    } else if t < 0.0 {
        libm::erfc(t / SQRT_2) / 2.0 - scale * away
    } else {
        scale * (erfcx(t / SQRT_2) - away)
    }
}

/// `exp(x^2) erfc(x)` of `x >= 0`.
fn erfcx(x: f64) -> f64 {
    if x < 20.0 {
        return (x * x).exp() * libm::erfc(x);
    }
    let square = 1.0 / (2.0 * x * x);
    let series = 1.0 - square * (1.0 - 3.0 * square * (1.0 - 5.0 * square * (1.0 - 7.0 * square)));
    series / (x * PI.sqrt())
}

fn check_epsilon(epsilon: f64) -> Result<f64, Error> {
    expect("epsilon", epsilon, "a number from 0 to 1e30", (0.0..=1e30).contains(&epsilon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scaled_complement_is_smooth_where_its_two_forms_meet() {
        let below = (19.999_999_9f64 * 19.999_999_9).exp() * libm::erfc(19.999_999_9);
        assert!((below / erfcx(20.0) - 1.0).abs() < 1e-8);
        assert_eq!(erfcx(0.0), 1.0);
    }

    #[test]
    fn much_noise_leaves_the_little_delta_that_it_leaves() {
        // At epsilon 0 delta is the distance of the laws, 1 / (z sqrt(2 pi)).
        for noise in [1e3, 1e9, 1e15] {
            let exact = 1.0 / (noise * (2.0 * PI).sqrt());
            assert!((delta(noise, 0.0).unwrap() / exact - 1.0).abs() < 1e-6, "{noise}");
        }
        let (below, above) = (delta(0.5, 0.999_999).unwrap(), delta(0.5, 1.000_001).unwrap());
        assert!(below > above && below - above < 1e-5, "the two forms do not meet");
    }

    #[test]
    fn noise_epsilon_and_delta_are_each_others_inverse() {
        for noise in [1e-4, 0.3, 1.0, 20.0, 1e4] {
            for delta in [1e-3, 1e-5, 1e-100, 1e-250] {
                let found = epsilon(noise, delta).unwrap();
                if found > 0.0 {
                    let back = noise_multiplier(found, delta).unwrap();
                    assert!((back / noise - 1.0).abs() < 1e-8, "{noise} {delta}: {back}");
                    assert!(super::delta(noise, found).unwrap() <= delta);
                }
            }
        }
        assert!(epsilon(0.0, 1e-5).is_err() && epsilon(1.0, 1.0).is_err());
        assert!(noise_multiplier(f64::NAN, 0.5).is_err() && delta(1.0, -1.0).is_err());
    }
}
