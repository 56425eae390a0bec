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
    assert_eq!(Spending::of(&Study { privacy, ..study.clone() }), Spending::of(&study));
    let none = Study { privacy: PrivacyPolicy::None, ..study.clone() };
    assert_eq!(Spending::of(&none), Ok(Spending::default()));
    assert_eq!((check_budget(&none, 1 << 31), rounds_within(&none)), (Ok(None), Ok(None)));
}

/// Whole sites: the rounds' sums, what disputes may open, and the sampler's part of delta.
#[test]
fn a_site_spends_what_sums_and_disputes_show_of_it() {
    let mut study = site_noise::study(7);
    let PrivacyPolicy::SiteLevel(policy) = study.privacy else { panic!("of sites") };
    study.privacy = PrivacyPolicy::SiteLevel(SiteLevel { epsilon: 20.0, ..policy });
    let noise = SiteNoise::of(&study).unwrap();
    let releases = Spending::of(&study).unwrap().releases(3);
    let (sum, each) = noise.each_round();
    assert_eq!(releases[0], (sum, 3 * each));
    assert_eq!(releases.get(1), noise.once().as_ref());
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
    ample.privacy = PrivacyPolicy::SiteLevel(SiteLevel { epsilon: 1e9, delta: 1e-11, ..policy });
    let most = rounds_within(&ample).unwrap().unwrap();
    let error = super::spent(&ample, most + 1).unwrap_err().to_string();
    assert!(
        (1..1000).contains(&most) && error.contains("choose a larger delta or fewer rounds"),
        "{error}"
    );
    least_noise_of_sites(&study, policy);
    // With a larger delta publishing all about one of them would count as private.
    let draft = testing::draft_like(&study);
    for (delta, private) in [(0.142, true), (0.15, false), (0.99, false)] {
        let policy = SiteLevel { delta, ..policy };
        let said = "is too large for 7 sites, expected below 1/7";
        let drafted = draft.site_noise(policy).map(|_| ()).map_err(|error| error.to_string());
        let study = Study { privacy: PrivacyPolicy::SiteLevel(policy), ..study.clone() };
        let spends = Spending::of(&study).map(|_| ()).map_err(|error| error.to_string());
        for found in [drafted, spends] {
            assert_eq!(found.is_ok(), private, "{delta}");
            assert!(found.is_ok() || found.is_err_and(|error| error.contains(said)));
        }
    }
    // Room for other noise than the policy's.
    let mut other = study;
    other.packing.noise_bound += 1;
    let error = check_budget(&other, 1).unwrap_err();
    assert!(matches!(error, SpendingError::SiteNoise(SiteNoiseError::Bound { .. })), "{error}");
}

/// The least noise keeps within the budget, and one step of single precision less does not.
fn least_noise_of_sites(study: &Study, policy: SiteLevel) {
    let draft = testing::draft_like(study);
    let budget = |epsilon| Budget { epsilon, delta: policy.delta };
    let spends = |noise_multiplier, epsilon| {
        let policy = SiteLevel { noise_multiplier, epsilon, ..policy };
        let noise = draft.site_noise(policy).unwrap();
        Spending::of_sites(&noise).epsilon(10, budget(epsilon)).unwrap()
    };
    for epsilon in [1.0, 20.0] {
        let noise = least_site_noise(&draft, &SiteLevel { epsilon, ..policy }, 10).unwrap();
        assert!(spends(noise, epsilon) <= epsilon, "{epsilon}: {noise}");
        assert!(spends(noise.next_down(), epsilon) > epsilon, "{epsilon}: {noise}");
    }
    let strict = SiteLevel { epsilon: 1e-6, ..policy };
    let error = least_site_noise(&draft, &strict, 10).unwrap_err().to_string();
    assert!(error.contains("no noise keeps 10 rounds within epsilon 0.000001"), "{error}");
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
