//! What the rounds of a study spend of its privacy budget.
//!
//! Each site computes it, before it signs a study, trains or states it in a header. The public half
//! never does: accountants are in floating point, and whether a study or a header is well formed
//! must not depend on a machine's last digit.

mod calibrate;
mod error;
#[cfg(test)]
mod tests;

use ringfence_crypto::statement::{Budget, PrivacyPolicy, RecordLevel, Spent, Study};
use ringfence_privacy::{Account, Accountant, Error, Mechanism, Release, epsilon};

use crate::update::site_noise::inexact::{DeltaLeft, Inexactness};
use crate::update::site_noise::parameters::{SiteNoise, SiteNoiseError};

pub use calibrate::{LEAST_NOISE, least_noise, least_of_sites, least_site_noise};
pub use error::SpendingError;

/// How all sites of a study account.
pub const ACCOUNTANT: Accountant = Accountant::Rdp;

/// What a study does to the data of one unit that takes part in it: for an accountant, or for a
/// site's ledger.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spending {
    /// In each round.
    pub each_round: Vec<Release>,
    /// Once in the whole study, in whichever round: what disputes may open.
    pub once: Vec<Release>,
    /// How far the noise of each round is from the one that is accounted for.
    pub inexact: Inexactness,
}

impl Spending {
    /// What a study does; nothing where it has no budget.
    ///
    /// # Errors
    /// [`SpendingError::LittleNoise`], [`SpendingError::SiteNoise`].
    pub fn of(study: &Study) -> Result<Self, SpendingError> {
        match study.privacy {
            PrivacyPolicy::None | PrivacyPolicy::SetsApart => Ok(Self::default()),
            PrivacyPolicy::RecordLevel(policy) => Ok(Self::of_records(&policy)?),
            PrivacyPolicy::SiteLevel(_) => Ok(Self::of_sites(&SiteNoise::of(study)?)),
        }
    }

    /// Of a patient at most `records_per_step` records are in a step and they are clipped together,
    /// so that a step's sensitivity is `clip` whatever the unit is.
    fn of_records(policy: &RecordLevel) -> Result<Self, SpendingError> {
        let RecordLevel { noise_multiplier: noise, rate, steps, .. } = *policy;
        if noise < LEAST_NOISE {
            return Err(SpendingError::LittleNoise(noise));
        }
        let step = Mechanism::gaussian(noise.into(), rate.into());
        Ok(Self { each_round: vec![(step, steps.into())], ..Self::default() })
    }

    /// What noise of whole sites does.
    pub fn of_sites(noise: &SiteNoise) -> Self {
        let (each_round, once) = (vec![noise.each_round()], noise.once().into_iter().collect());
        Self { each_round, once, inexact: noise.inexactness() }
    }

    /// All of it over so many rounds.
    pub fn releases(&self, rounds: u32) -> Vec<Release> {
        let each = self.each_round.iter();
        let each = each.map(|(mechanism, times)| (*mechanism, times * u64::from(rounds)));
        each.chain(self.once.iter().copied()).collect()
    }

    /// What so many rounds spend at the budget's delta, rounded up.
    ///
    /// # Errors
    /// [`SpendingError`] where no epsilon can be given.
    pub fn epsilon(&self, rounds: u32, budget: Budget) -> Result<f32, SpendingError> {
        let (delta, inexact) = (budget.delta, self.inexact.times(rounds));
        let left = DeltaLeft::of(delta.into(), budget.epsilon.into(), inexact);
        let distance = inexact.distance();
        let left = left.ok_or(SiteNoiseError::Delta { delta, rounds, distance })?;
        Ok(rounded_up(epsilon(&self.releases(rounds), left.delta, ACCOUNTANT)?))
    }

    /// The most rounds, at most 2^31, that a budget of this epsilon at this delta is enough for.
    ///
    /// # Errors
    /// Numbers that the accountant refuses.
    pub fn rounds_within(&self, budget: f64, delta: f64) -> Result<u32, Error> {
        let (mechanisms, times): (Vec<_>, Vec<_>) =
            self.each_round.iter().chain(&self.once).copied().unzip();
        let account = Account::new(mechanisms, ACCOUNTANT)?;
        let enough = |rounds: u32| -> Result<bool, Error> {
            // So many rounds' noise may take up delta, whatever epsilon is.
            let Some(left) = DeltaLeft::of(delta, budget, self.inexact.times(rounds)) else {
                return Ok(false);
            };
            let each = self.each_round.len();
            let of = |(place, times): (usize, &u64)| match place < each {
                true => times.saturating_mul(rounds.into()),
                false => *times,
            };
            let times: Vec<u64> = times.iter().enumerate().map(of).collect();
            Ok(account.epsilon(&times, left.delta)? <= budget)
        };
        let (mut low, mut high) = (0, 1);
        while enough(high)? {
            if high == MOST_ROUNDS {
                return Ok(high);
            }
            (low, high) = (high, high * 2);
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            *(if enough(middle)? { &mut low } else { &mut high }) = middle;
        }
        Ok(low)
    }
}

/// What a site has spent when it has contributed to so many rounds, at least 1, as its header states
/// it; none where the study has no budget. The budget is not looked at.
///
/// # Errors
/// [`SpendingError`] where no epsilon can be given.
pub fn spent(study: &Study, rounds: u32) -> Result<Option<Spent>, SpendingError> {
    let Some(budget) = study.privacy.budget() else { return Ok(None) };
    let epsilon = Spending::of(study)?.epsilon(rounds, budget)?;
    Ok(Some(Spent { rounds, epsilon, delta: budget.delta }))
}

/// The most rounds, at most 2^31, that the budget is enough for; none where there is no budget.
///
/// # Errors
/// As [`spent`].
pub fn rounds_within(study: &Study) -> Result<Option<u32>, SpendingError> {
    let Some(budget) = study.privacy.budget() else { return Ok(None) };
    let (epsilon, delta) = (budget.epsilon.into(), budget.delta.into());
    Ok(Some(Spending::of(study)?.rounds_within(epsilon, delta)?))
}

/// Beyond this [`Spending::rounds_within`] does not look.
const MOST_ROUNDS: u32 = 1 << 31;

/// What so many rounds spend, if that is within the study's budget.
///
/// # Errors
/// [`SpendingError::Exceeded`], or where no epsilon can be given.
pub fn check_budget(study: &Study, rounds: u32) -> Result<Option<Spent>, SpendingError> {
    let (Some(budget), Some(spent)) = (study.privacy.budget(), spent(study, rounds)?) else {
        return Ok(None);
    };
    if spent.epsilon <= budget.epsilon {
        return Ok(Some(spent));
    }
    let most = rounds_within(study)?.unwrap_or(0);
    Err(SpendingError::Exceeded { rounds, spent, budget, most })
}

/// The least float32 that is not below.
pub fn rounded_up(number: f64) -> f32 {
    let nearest = number as f32;
    if f64::from(nearest) < number { nearest.next_up() } else { nearest }
}
