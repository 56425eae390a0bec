//! What rounds spend of a site's privacy.
//!
//! A round's sum is a [`Mechanism::DistributedDiscreteGaussian`] of `h` sites. Where the threshold
//! names culprits, a study may have `c` disputes, and each opens one coefficient of every contributor
//! at the noise of that site alone: a [`Mechanism::DiscreteGaussian`] over its slots, whose
//! difference is at most `min(Delta, sqrt(S) 2^(b-1))`. It is the same noise as the sum's; but given
//! the sums, an opened site's noise is again a discrete Gaussian, of a smaller width
//! (`sigma sqrt(1 - 1/h)`) around a centre that moves by that much less, so that what it adds is at
//! most what it would spend by itself, whichever coefficient is chosen after the sums are known.

use ringfence_crypto::statement::SiteLevel;
use ringfence_privacy::{Mechanism, Release};

use super::{Disputes, SiteNoise, SiteNoiseError};
use crate::update::site_noise::inexact::{DeltaLeft, Inexactness};

impl SiteNoise {
    /// What each round releases of a site, for an accountant: the sum.
    pub fn each_round(&self) -> Release {
        let squared = self.sensitivity_squared as f64;
        let values = self.request.values as f64;
        let sum = Mechanism::DistributedDiscreteGaussian {
            local_sigma: self.sampler.sigma(),
            sites: self.honest().into(),
            dimension: self.request.values as u64,
            // Of integers: each is at most its square.
            l1_sensitivity: (values * squared).sqrt().min(squared),
            l2_sensitivity: squared.sqrt(),
        };
        (sum, 1)
    }

    /// What disputes open of a site in the whole study, where they do.
    pub fn once(&self) -> Option<Release> {
        let Disputes { coefficients, slots } = self.disputes?;
        let squared = self.sensitivity_squared as f64;
        let largest = 2f64.powi(i32::from(self.request.value_bits) - 1);
        let opened = Mechanism::DiscreteGaussian {
            sigma: self.sampler.sigma(),
            l2_sensitivity: squared.min(f64::from(slots) * largest * largest).sqrt().ceil(),
            dimension: slots.into(),
        };
        Some((opened, coefficients.into()))
    }

    /// How far the noise of a round is from exact discrete Gaussians: that of `h` sites, as the
    /// others' may be anything.
    pub fn inexactness(&self) -> Inexactness {
        let samples = self.request.values as f64 * f64::from(self.honest());
        self.sampler.inexactness(samples)
    }

    /// What is left of the policy's delta after so many rounds: see [`DeltaLeft::of`].
    ///
    /// # Errors
    /// [`SiteNoiseError::Delta`] when the distance itself is more than a tenth of delta.
    pub fn delta_left(&self, rounds: u32) -> Result<DeltaLeft, SiteNoiseError> {
        let SiteLevel { delta, epsilon, .. } = self.request.policy;
        let inexact = self.inexactness().times(rounds);
        let left = DeltaLeft::of(delta.into(), epsilon.into(), inexact);
        left.ok_or(SiteNoiseError::Delta { delta, rounds, distance: inexact.distance() })
    }

    /// What an author of a study of so many sites should know of its noise, in sentences.
    pub fn explain(&self, sites: usize) -> String {
        let honest = self.honest();
        let noise = format!(
            "each site adds discrete Gaussian noise of {:.1} steps to every value, at most {}; a step is {:.2e}, and the sensitivity {:.0} steps. The {honest} honest sites that every sum has protect each other, whatever c = {} others know: their noise is {:.2} % above a central Gaussian's at the same epsilon, and with all {sites} sites honest {:.0} %.",
            self.sampler.sigma(),
            self.noise_bound(),
            self.clip() / self.steps,
            (self.sensitivity_squared as f64).sqrt(),
            self.request.collusion,
            100.0 * self.excess(),
            100.0 * self.excess_of(sites),
        );
        let disputes = match self.disputes {
            Some(Disputes { coefficients, slots }) => format!(
                "Up to {coefficients} times a study a dispute may open {slots} values of every contributor at that site's own noise; that is accounted for."
            ),
            None => {
                "No dispute opens anything of a single site: too few key holders to name culprits."
                    .to_owned()
            }
        };
        format!("{noise} {disputes}")
    }
}
