//! The numbers of site-level privacy: sensitivity, noise, room for it, and what rounds spend.
//!
//! # Sensitivity
//! With `R = C / s` and the reference's `r_i = 2^(b-1) - (i mod 2)`, the difference `v = q - r` is
//! the stochastic rounding of `w_i = x_i / s -+ 1/2` (0 lies half-way between two steps). Rounding at
//! the part `f` of a step has the mean 0 and the variance `f (1 - f) <= 1/4`, so that
//! `E ||v||^2 <= ||x||^2 / s^2 -+ sum (-1)^i x_i / s + d/4 + d/4 <= R^2 + |sum (-1)^i x_i| / s + d/2`.
//! The sum with alternating signs has the root mean square `R` over updates whose signs know nothing
//! of their places, and `||v||^2` itself scatters by about `R`. Hence
//! `Delta^2 = ceil(R^2 + d/2 + R)`: most updates fit as they are, and those that do not are scaled
//! down by a few thousandths. (With the reference `2^(b-1)` throughout, the sum would be that of the
//! update's values, up to `sqrt(d) R` for an update of one sign.)
//!
//! # Noise
//! Each site adds a discrete Gaussian of `sigma = z Delta / sqrt(h)`, `h = min_sites - c`: as many
//! honest contributors are in every opened sum, whoever drops out, and `c` colluders may know their
//! own noise. A central Gaussian would need `z R` steps; the excess `Delta / R - 1` is what
//! quantizing costs. Where it is above [`MOST_EXCESS`] (many values, few bits: `d/2` outgrows `R^2`)
//! the study is refused. Honest contributors beyond `h` only add noise: `sqrt(k / h) - 1` more.
//!
//! Every number is computed by additions, multiplications, divisions, square roots and powers of two
//! in double precision, in one order, so that all sites derive the same.

use ringfence_crypto::layout::Layout;
use ringfence_crypto::ring::packing::VALUE_BITS;
use ringfence_crypto::statement::{PrivacyPolicy, SiteLevel, Study};
use ringfence_crypto::threshold::Threshold;

use super::discrete_gaussian::DiscreteGaussian;

mod accounting;
mod error;

pub use error::SiteNoiseError;

/// By how much the noise may exceed a central Gaussian's at the same epsilon.
pub const MOST_EXCESS: f64 = 0.05;

/// What the numbers follow from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SiteNoiseRequest {
    /// `d`: values of the model.
    pub values: usize,
    /// `b`: bits of a quantized value.
    pub value_bits: u8,
    /// `C_t`: the clip bound of each value.
    pub element_bound: f32,
    /// Clip of the whole update, noise, delta and budget.
    pub policy: SiteLevel,
    /// Fewest contributions that a sum is opened for.
    pub min_sites: u16,
    /// `c`: sites that may collude.
    pub collusion: u16,
}

/// The noise of a study that protects whole sites.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteNoise {
    request: SiteNoiseRequest,
    /// `R`.
    steps: f64,
    /// `Delta^2`.
    sensitivity_squared: u64,
    sampler: DiscreteGaussian,
    disputes: Option<Disputes>,
}

/// What disputes open in a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Disputes {
    /// At most so many coefficients.
    coefficients: u16,
    /// Values of each.
    slots: u8,
}

fn positive(name: &'static str, got: f32) -> Result<f64, SiteNoiseError> {
    if got.is_finite() && got > 0.0 {
        Ok(got.into())
    } else {
        Err(SiteNoiseError::Number { name, got })
    }
}

/// Refuses a delta that is not below one over the sites of a study.
pub(crate) fn check_delta(policy: SiteLevel, sites: usize) -> Result<(), SiteNoiseError> {
    let delta = policy.delta;
    match f64::from(delta) * sites as f64 >= 1.0 {
        true => Err(SiteNoiseError::DeltaForSites { delta, sites }),
        false => Ok(()),
    }
}

/// `R = C / s`: the clip in steps.
fn steps(clip: f64, element_bound: f64, value_bits: u8) -> f64 {
    clip * ((1u64 << value_bits.min(32)) - 1) as f64 / (2.0 * element_bound)
}

/// `R^2 + d/2 + R`, rounded up.
fn sensitivity_squared(steps: f64, values: usize) -> f64 {
    (steps * steps + values as f64 / 2.0 + steps).ceil()
}

fn excess(steps: f64, values: usize) -> f64 {
    sensitivity_squared(steps, values).sqrt() / steps - 1.0
}

/// The one clip bound of all tensors.
///
/// # Errors
/// [`SiteNoiseError::ElementBounds`] names the first tensor with another one.
pub fn element_bound(layout: &Layout) -> Result<f32, SiteNoiseError> {
    let expected = layout.tensors.first().map_or(0.0, |tensor| tensor.clip);
    match layout.tensors.iter().find(|tensor| tensor.clip != expected) {
        Some(other) => {
            let (tensor, got) = (other.name.clone(), other.clip);
            Err(SiteNoiseError::ElementBounds { tensor, got, expected })
        }
        None => Ok(expected),
    }
}

impl SiteNoise {
    /// Works the numbers out.
    ///
    /// # Errors
    /// [`SiteNoiseError`] with the reason why they do not work, and what would.
    pub fn derive(request: SiteNoiseRequest) -> Result<Self, SiteNoiseError> {
        let SiteNoiseRequest { values, value_bits, policy, min_sites, collusion, .. } = request;
        let element_bound = positive("the clip bound of each value", request.element_bound)?;
        let clip = positive("the clip of the whole update", policy.clip)?;
        let multiplier = positive("the noise multiplier", policy.noise_multiplier)?;
        positive("delta", policy.delta)?;
        positive("epsilon", policy.epsilon)?;
        if values == 0 || min_sites <= collusion {
            return Err(SiteNoiseError::Nothing { values, min_sites, collusion });
        }
        let in_steps = |bits| steps(clip, element_bound, bits);
        let steps = in_steps(value_bits);
        let works = |bits: u8| excess(in_steps(bits), values) <= MOST_EXCESS;
        if !works(value_bits) {
            return Err(SiteNoiseError::TooCoarse {
                bits: value_bits,
                values,
                rounding: (values as f64 / 2.0).sqrt(),
                steps,
                percent: 100.0 * excess(steps, values),
                most: 100.0 * MOST_EXCESS,
                works: VALUE_BITS.into_iter().find(|bits| works(*bits)),
            });
        }
        let squared = sensitivity_squared(steps, values);
        // Rounded up by more than the operations are off.
        let honest = f64::from(min_sites - collusion);
        let sigma = multiplier * (squared / honest).sqrt() * (1.0 + 4.0 * f64::EPSILON);
        let sampler = DiscreteGaussian::new(sigma)?;
        // Not even with the widest noise of the largest roster is this above 2^63.
        let sensitivity_squared = squared.min(2f64.powi(63)) as u64;
        Ok(Self { request, steps, sensitivity_squared, sampler, disputes: None })
    }

    /// The noise of a study whose policy is for whole sites.
    ///
    /// # Errors
    /// [`SiteNoiseError`] where it is for something else, does not work, or the study's packing
    /// states another bound.
    pub fn of(study: &Study) -> Result<Self, SiteNoiseError> {
        let PrivacyPolicy::SiteLevel(policy) = study.privacy else {
            return Err(SiteNoiseError::Policy);
        };
        check_delta(policy, study.roster.len())?;
        let noise = Self::derive(SiteNoiseRequest {
            values: study.layout.values(),
            value_bits: study.packing.value_bits,
            element_bound: element_bound(&study.layout)?,
            policy,
            min_sites: study.min_sites,
            collusion: study.threshold.collusion,
        })?;
        let (stated, derived) = (study.packing.noise_bound, noise.noise_bound());
        if stated != derived {
            return Err(SiteNoiseError::Bound { stated, derived });
        }
        Ok(noise.with_disputes(&study.threshold, study.packing.slots))
    }

    /// Reckons with what disputes open, where the threshold names culprits. `slots`: values of a
    /// coefficient, which follow from the noise bound.
    #[must_use]
    pub fn with_disputes(self, threshold: &Threshold, slots: u8) -> Self {
        let coefficients = threshold.collusion;
        let disputes = threshold.names().then_some(Disputes { coefficients, slots });
        Self { disputes, ..self }
    }

    /// The largest L2 norm of an update, `C`.
    pub fn clip(&self) -> f64 {
        self.request.policy.clip.into()
    }

    /// `Delta^2`, in steps squared.
    pub fn sensitivity_squared(&self) -> u64 {
        self.sensitivity_squared
    }

    /// Each site's noise.
    pub fn sampler(&self) -> &DiscreteGaussian {
        &self.sampler
    }

    /// `B`, the largest noise of a value at one site, in steps.
    pub fn noise_bound(&self) -> u32 {
        self.sampler.bound()
    }

    /// `h`: honest contributors that every opened sum has.
    pub fn honest(&self) -> u16 {
        self.request.min_sites - self.request.collusion
    }

    /// `Delta / R - 1`: by how much the noise exceeds that of a central Gaussian at the same epsilon
    /// when `h` honest sites contribute.
    pub fn excess(&self) -> f64 {
        excess(self.steps, self.request.values)
    }

    /// The like when so many honest sites contribute, at least `h`.
    pub fn excess_of(&self, contributors: usize) -> f64 {
        let more = contributors as f64 / f64::from(self.honest());
        (1.0 + self.excess()) * more.max(1.0).sqrt() - 1.0
    }

    /// Standard deviation of the noise in the mean of so many contributors, in the update's own unit.
    pub fn noise_in_mean(&self, contributors: usize) -> f64 {
        let step = self.clip() / self.steps;
        self.sampler.sigma() * step / (contributors as f64).sqrt()
    }

    /// The factor that an update is scaled by next, whose rounding was so long, `> Delta^2`: what
    /// takes the mean of the next rounding's square to `R` below the one aimed at. (The part that
    /// scales with the factor's square alone would take its root; the alternating sum scales with
    /// the factor itself.)
    pub(super) fn scaling(&self, squared: f64) -> f64 {
        let aim = (self.steps * self.steps - self.steps).max(0.0);
        aim / (squared - self.request.values as f64 / 2.0).max(aim)
    }
}

#[cfg(test)]
impl SiteNoise {
    /// The same with another sensitivity, which updates cannot keep to.
    pub(super) fn with_sensitivity_squared(self, sensitivity_squared: u64) -> Self {
        Self { sensitivity_squared, ..self }
    }
}

#[cfg(test)]
pub(crate) mod tests;
