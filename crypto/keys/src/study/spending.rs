//! What the rounds of a study spend of its privacy budget.
//!
//! Each site computes it, before it signs a study, trains or states it in a header. The public half
//! never does: accountants are in floating point, and whether a study or a header is well formed
//! must not depend on a machine's last digit.

use ringfence_crypto::statement::{Budget, PrivacyPolicy, RecordLevel, Spent, Study};
use ringfence_privacy::{Accountant, Error, Mechanism, Release, epsilon};

use crate::update::site_noise::parameters::{SiteNoise, SiteNoiseError};

/// How all sites of a study account.
pub const ACCOUNTANT: Accountant = Accountant::Rdp;

/// A budget that does not suffice, or of which nothing can be said.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SpendingError {
    /// Numbers with which whole sites are not protected.
    #[error(transparent)]
    SiteNoise(#[from] SiteNoiseError),
    /// Noise that hides nothing.
    #[error(
        "the noise multiplier is {0}, expected at least {LEAST_NOISE}: less hides nothing, and what it spends is not computed"
    )]
    LittleNoise(f32),
    /// A budget that no noise keeps to.
    #[error(
        "no noise keeps {rounds} rounds within epsilon {} at delta {}: even a noise multiplier of {MOST_NOISE} spends {reached}; choose a larger epsilon or delta, a lower rate, fewer steps or fewer rounds",
        .budget.epsilon, .budget.delta
    )]
    Strict {
        /// Rounds that the study shall have.
        rounds: u32,
        /// What may be spent.
        budget: Budget,
        /// What they spend with the most noise.
        reached: f32,
    },
    /// A number that the accountant refuses.
    #[error("what the study spends of its privacy budget cannot be computed: {0}")]
    Accountant(#[from] Error),
    /// The study would spend more than it may.
    #[error(
        "{rounds} rounds spend epsilon {} at delta {}, and the study's budget is {}, enough for {most} rounds; choose a larger noise multiplier, fewer rounds, or a larger budget",
        .spent.epsilon, .spent.delta, .budget.epsilon
    )]
    Exceeded {
        /// Rounds that the study shall have.
        rounds: u32,
        /// What they spend.
        spent: Spent,
        /// What may be spent.
        budget: Budget,
        /// Rounds that the budget is enough for.
        most: u32,
    },
}

/// What so many rounds release of the data of one unit, for an accountant; nothing where the study
/// has no budget.
///
/// # Errors
/// [`SpendingError::LittleNoise`], [`SpendingError::SiteNoise`].
pub fn releases(study: &Study, rounds: u32) -> Result<Vec<Release>, SpendingError> {
    match study.privacy {
        PrivacyPolicy::None | PrivacyPolicy::SetsApart => Ok(Vec::new()),
        PrivacyPolicy::RecordLevel(policy) => Ok(vec![steps(&policy, rounds)?]),
        PrivacyPolicy::SiteLevel(_) => Ok(SiteNoise::of(study)?.releases(rounds)),
    }
}

/// All steps of so many rounds. Of a patient at most `records_per_step` records are in a step and
/// they are clipped together, so that a step's sensitivity is `clip` whatever the unit is.
fn steps(policy: &RecordLevel, rounds: u32) -> Result<Release, SpendingError> {
    let RecordLevel { noise_multiplier: noise, rate, steps, .. } = *policy;
    if noise < LEAST_NOISE {
        return Err(SpendingError::LittleNoise(noise));
    }
    let step = Mechanism::gaussian(noise.into(), rate.into());
    Ok((step, u64::from(steps) * u64::from(rounds)))
}

/// Less noise than this costs an accountant minutes, and anybody else nothing: one step spends an
/// epsilon beyond 10^7.
pub const LEAST_NOISE: f32 = 1.0 / 8192.0;

/// More noise than this is not looked at for a budget.
const MOST_NOISE: f32 = 1_048_576.0;

/// The least noise multiplier, at least [`LEAST_NOISE`], with which so many rounds of a policy that
/// is otherwise this one keep within its epsilon. What the policy says of noise is not looked at.
///
/// # Errors
/// [`SpendingError::Strict`] where none does, or where no epsilon can be given.
pub fn least_noise(policy: &RecordLevel, rounds: u32) -> Result<f32, SpendingError> {
    let RecordLevel { epsilon: most, delta, .. } = *policy;
    let spent = |noise_multiplier| -> Result<f32, SpendingError> {
        let releases = [steps(&RecordLevel { noise_multiplier, ..*policy }, rounds)?];
        Ok(rounded_up(epsilon(&releases, delta.into(), ACCOUNTANT)?))
    };
    let reached = spent(MOST_NOISE)?;
    if reached.is_nan() || reached > most {
        let budget = Budget { epsilon: most, delta };
        return Err(SpendingError::Strict { rounds, budget, reached });
    }
    if spent(LEAST_NOISE)? <= most {
        return Ok(LEAST_NOISE);
    }
    // The bits of positive floats are in the order of the floats.
    let (mut less, mut enough) = (LEAST_NOISE.to_bits(), MOST_NOISE.to_bits());
    while enough - less > 1 {
        let middle = less + (enough - less) / 2;
        let keeps = spent(f32::from_bits(middle))? <= most;
        *(if keeps { &mut enough } else { &mut less }) = middle;
    }
    Ok(f32::from_bits(enough))
}

/// What a site has spent when it has contributed to so many rounds, at least 1, as its header states
/// it; none where the study has no budget. The budget is not looked at.
///
/// # Errors
/// [`SpendingError`] where no epsilon can be given.
pub fn spent(study: &Study, rounds: u32) -> Result<Option<Spent>, SpendingError> {
    let Some(Budget { delta, .. }) = study.privacy.budget() else { return Ok(None) };
    let left = match study.privacy {
        // What the noise lacks to exact noise is taken off.
        PrivacyPolicy::SiteLevel(_) => SiteNoise::of(study)?.delta_left(rounds)?.delta,
        _ => delta.into(),
    };
    let epsilon = epsilon(&releases(study, rounds)?, left, ACCOUNTANT)?;
    Ok(Some(Spent { rounds, epsilon: rounded_up(epsilon), delta }))
}

/// The most rounds, at most 2^31, that the budget is enough for; none where there is no budget.
///
/// # Errors
/// As [`spent`].
pub fn rounds_within(study: &Study) -> Result<Option<u32>, SpendingError> {
    let Some(Budget { epsilon, .. }) = study.privacy.budget() else { return Ok(None) };
    let enough = |rounds: u32| -> Result<bool, SpendingError> {
        match spent(study, rounds) {
            Ok(spent) => Ok(spent.is_some_and(|spent| spent.epsilon <= epsilon)),
            // So many rounds' noise would take up delta, whatever epsilon is.
            Err(SpendingError::SiteNoise(SiteNoiseError::Delta { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    };
    let (mut low, mut high) = (0, 1);
    while enough(high)? {
        if high == MOST_ROUNDS {
            return Ok(Some(high));
        }
        (low, high) = (high, high * 2);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        *(if enough(middle)? { &mut low } else { &mut high }) = middle;
    }
    Ok(Some(low))
}

/// Beyond this [`rounds_within`] does not look.
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

#[cfg(test)]
mod tests {
    use ringfence_crypto::statement::{PrivacyUnit, SiteLevel};

    use super::*;
    use crate::testing;
    use crate::update::site_noise::parameters::tests as site_noise;

    /// The public vectors' case: 2,250 steps at noise 1.5 and rate 0.04 are 7.32911117143.
    fn private(steps: u32, epsilon: f32) -> Study {
        let policy = RecordLevel {
            unit: PrivacyUnit::Record,
            clip: 1.0,
            noise_multiplier: 1.5,
            rate: 0.04,
            steps,
            normaliser: 40.0,
            delta: 1e-5,
            epsilon,
        };
        Study { privacy: PrivacyPolicy::RecordLevel(policy), ..testing::study(3).0 }
    }

    #[test]
    fn rounds_compose_and_are_held_against_the_budget() {
        let study = private(225, 7.4);
        let all = spent(&study, 10).unwrap().unwrap();
        // Rate and delta are those of float32: 0.04 is 2e-8 off of itself.
        assert!((all.epsilon - 7.329_111).abs() < 1e-4, "{all:?}");
        assert_eq!((all.rounds, all.delta), (10, 1e-5));
        assert_eq!(check_budget(&study, 10), Ok(Some(all)));
        let most = rounds_within(&study).unwrap().unwrap();
        let epsilon = |rounds| spent(&study, rounds).unwrap().unwrap().epsilon;
        assert!(most >= 10 && epsilon(most) <= 7.4 && epsilon(most + 1) > 7.4, "{most}");
        let error = check_budget(&study, 11).unwrap_err().to_string();
        assert!(error.contains("11 rounds spend epsilon 7.7"), "{error}");
        assert!(error.contains("budget is 7.4, enough for 10 rounds"), "{error}");
        // What is stated is what a header may state.
        assert_eq!(study.privacy.check_spent(Some(all)), Ok(()));
    }

    #[test]
    fn the_least_noise_keeps_within_the_budget_and_no_less_does() {
        for (steps, epsilon) in [(225, 7.329_112), (225, 0.5), (1, 1e3), (40, 1e6)] {
            let study = private(steps, epsilon);
            let PrivacyPolicy::RecordLevel(policy) = study.privacy else { panic!("of records") };
            let noise = least_noise(&policy, 10).unwrap();
            let keeps = |noise_multiplier| {
                let policy = RecordLevel { noise_multiplier, ..policy };
                let privacy = PrivacyPolicy::RecordLevel(policy);
                check_budget(&Study { privacy, ..study.clone() }, 10).is_ok()
            };
            assert!(keeps(noise) && !keeps(noise.next_down()), "{epsilon}: {noise}");
            assert!(steps != 225 || epsilon < 1.0 || (noise - 1.5).abs() < 1e-4, "{noise}");
        }
        let PrivacyPolicy::RecordLevel(policy) = private(225, 8.0).privacy else { panic!() };
        assert_eq!(least_noise(&RecordLevel { epsilon: 1e12, ..policy }, 10), Ok(LEAST_NOISE));
        let strict = RecordLevel { epsilon: 1e-9, rate: 1.0, ..policy };
        let error = least_noise(&strict, 10).unwrap_err().to_string();
        assert!(error.contains("no noise keeps 10 rounds within epsilon 0.000000001"), "{error}");
        let error = least_noise(&RecordLevel { rate: 1.5, ..policy }, 10).unwrap_err().to_string();
        assert!(error.contains("at most 1"), "{error}");
        let little = RecordLevel { noise_multiplier: 1e-38, ..policy };
        let privacy = PrivacyPolicy::RecordLevel(little);
        let error = spent(&Study { privacy, ..private(1, 8.0) }, 1).unwrap_err();
        assert_eq!(error, SpendingError::LittleNoise(1e-38));
    }

    #[test]
    fn budgets_of_any_size() {
        assert_eq!(rounds_within(&private(225, 0.01)), Ok(Some(0)));
        assert_eq!(rounds_within(&private(1, 1e30)), Ok(Some(MOST_ROUNDS)));
        let many = rounds_within(&private(u32::MAX, 1e9)).unwrap().unwrap();
        assert!(many > 0 && many < MOST_ROUNDS, "{many}");
    }

    #[test]
    fn a_patient_spends_as_a_record_and_no_budget_nothing() {
        let study = private(225, 8.0);
        let PrivacyPolicy::RecordLevel(policy) = study.privacy else { panic!("of records") };
        let unit = PrivacyUnit::Patient { records_per_step: 4 };
        let privacy = PrivacyPolicy::RecordLevel(RecordLevel { unit, ..policy });
        assert_eq!(releases(&Study { privacy, ..study.clone() }, 3), releases(&study, 3));
        let none = Study { privacy: PrivacyPolicy::None, ..study.clone() };
        assert_eq!(releases(&none, 3), Ok(Vec::new()));
        assert_eq!((check_budget(&none, 1 << 31), rounds_within(&none)), (Ok(None), Ok(None)));
    }

    /// Whole sites: the rounds' sums, what disputes may open, and the sampler's part of delta.
    #[test]
    fn a_site_spends_what_sums_and_disputes_show_of_it() {
        let mut study = site_noise::study(7);
        let PrivacyPolicy::SiteLevel(policy) = study.privacy else { panic!("of sites") };
        study.privacy = PrivacyPolicy::SiteLevel(SiteLevel { epsilon: 20.0, ..policy });
        let noise = SiteNoise::of(&study).unwrap();
        let releases = releases(&study, 3).unwrap();
        assert_eq!(releases, noise.releases(3));
        assert_eq!(releases.len(), 1 + usize::from(study.threshold.names()));
        let delta = noise.delta_left(3).unwrap().delta;
        let spent = spent(&study, 3).unwrap().unwrap();
        assert_eq!(spent.epsilon, rounded_up(epsilon(&releases, delta, ACCOUNTANT).unwrap()));
        assert!(delta < 1e-5 && spent.delta == 1e-5 && spent.epsilon > 1.0, "{spent:?}");
        assert!(check_budget(&study, 3).is_ok());
        let most = rounds_within(&study).unwrap().unwrap();
        assert!(most >= 3 && check_budget(&study, most + 1).is_err(), "{most}");
        // However much may be spent, the noise of so many rounds is no longer exact enough.
        let mut ample = study.clone();
        ample.privacy = PrivacyPolicy::SiteLevel(SiteLevel { epsilon: 1e9, ..policy });
        let most = rounds_within(&ample).unwrap().unwrap();
        let error = super::spent(&ample, most + 1).unwrap_err().to_string();
        assert!(most > 1000 && error.contains("choose a larger delta or fewer rounds"), "{error}");
        // Room for other noise than the policy's.
        let mut other = study;
        other.packing.noise_bound += 1;
        let error = check_budget(&other, 1).unwrap_err();
        assert!(matches!(error, SpendingError::SiteNoise(SiteNoiseError::Bound { .. })), "{error}");
    }

    #[test]
    fn epsilons_are_rounded_up() {
        for number in [0.0, 1.0, 0.1, 7.329_111_171_43, 1e-50, 3e38] {
            let up = rounded_up(number);
            assert!(f64::from(up) >= number, "{number} {up}");
            assert!(up == 0.0 || f64::from(up.next_down()) < number, "{number} {up}");
        }
        assert_eq!(rounded_up(1e300), f32::INFINITY);
    }
}
