//! What is charged, composed over rounds, studies and units, and where it ends.

use std::collections::HashMap;

use ringfence_privacy::Mechanism;

use super::super::exposure::Exposure;
use super::super::units::Snapshot;
use super::*;
use ringfence_keys::study::spending::rounded_up;
use ringfence_keys::update::site_noise::inexact::DeltaLeft;

#[test]
fn a_round_is_charged_once_and_never_otherwise() {
    let hospital = Hospital::new(AMPLE);
    let (names, more) = (patients(0..5), patients(0..6));
    let (units, wider) = (Units::Patients(names.clone()), Units::Patients(more.clone()));
    let first = hospital.charge(round("s", &units), 0).unwrap();
    let entries = hospital.bytes("entries");
    // In any order, and a name that comes twice is one unit.
    let mut turned = names.clone();
    turned.reverse();
    turned.push(names[0].clone());
    assert_eq!(hospital.charge(round("s", &Units::Patients(turned.clone())), 0).unwrap(), first);
    let other = [(Mechanism::gaussian(1.0, 0.02), 51)];
    let differs = [
        (round("s", &wider), "other units"),
        (RoundCharge { mechanisms: &other, ..round("s", &units) }, "another mechanism"),
    ];
    for (charge, said) in differs {
        let error = hospital.charge(charge, 0).unwrap_err();
        assert!(error.leaves_out_round(), "{error}");
        let error = error.to_string();
        assert!(error.contains(said) && error.contains("charged already"), "{error}");
    }
    assert_eq!(hospital.bytes("entries"), entries);
    let second = hospital.charge(round("s", &units), 1).unwrap();
    assert_eq!((first.rounds, second.rounds), (1, 2));
    assert!(f64::from(second.epsilon) >= epsilon_of(2) && second.epsilon > first.epsilon);
    assert_eq!(second.delta, DELTA as f32);
}

#[test]
fn training_stops_before_a_budget_is_overspent() {
    // Four rounds suffice for neither.
    let tight = Budget { epsilon: (epsilon_of(3) + epsilon_of(4)) / 2.0, delta: DELTA };
    for (of_ledger, of_study, said) in [
        (AMPLE, tight, "the budget of study"),
        (tight, AMPLE, "the hospital's budget over all studies"),
    ] {
        let (hospital, names) = (Hospital::new(of_ledger), patients(0..7));
        let units = Units::Patients(names.clone());
        let charge = RoundCharge { budget: of_study, ..round("s", &units) };
        for number in 0..3 {
            let asked = hospital.check(charge, number).unwrap();
            assert_eq!(asked, hospital.charge(charge, number).unwrap());
        }
        let before = (hospital.bytes("entries"), hospital.bytes("head.json"));
        // Before anything is trained, and again when it would leave.
        let LedgerError::Overspent(overspent) = hospital.check(charge, 3).unwrap_err() else {
            panic!()
        };
        let error = hospital.charge(charge, 3).unwrap_err().to_string();
        assert_eq!(error, overspent.to_string());
        assert!(error.contains(said) && error.contains("7 of 7 units"), "{error}");
        assert_eq!((overspent.spent, overspent.after), (epsilon_of(3), epsilon_of(4)));
        assert_eq!((hospital.bytes("entries"), hospital.bytes("head.json")), before);
        let spent = hospital.open(|ledger| ledger.spent(charge.study)).unwrap().unwrap().unwrap();
        assert_eq!(spent.rounds, 3);
        assert!(f64::from(spent.epsilon) <= tight.epsilon);
        // What was charged may still be sent again.
        assert_eq!(hospital.charge(charge, 2).unwrap(), spent);
    }
}

#[test]
fn studies_that_share_patients_share_the_hospitals_budget() {
    let tight = Budget { epsilon: (epsilon_of(4) + epsilon_of(5)) / 2.0, delta: DELTA };
    let hospital = Hospital::new(tight);
    let (first, second, apart) = (patients(0..10), patients(5..15), patients(20..25));
    let (first, second) = (Units::Patients(first.clone()), Units::Patients(second.clone()));
    for number in 0..2 {
        hospital.charge(round("one", &first), number).unwrap();
        hospital.charge(round("two", &second), number).unwrap();
    }
    // Only those who stand in both would be beyond.
    let error = hospital.charge(round("two", &second), 2).unwrap_err().to_string();
    assert!(error.contains("hospital's budget") && error.contains("5 of 10 units"), "{error}");
    // Patients of neither study have their whole budget left.
    hospital.charge(round("three", &Units::Patients(apart.clone())), 0).unwrap();
    let summary = hospital.summary();
    assert_eq!(summary.spent.units, 20);
    assert_eq!(summary.spent.worst_epsilon, epsilon_of(4));
    // 5 units in one round, 10 in two, 5 in four.
    assert_eq!(summary.spent.median_epsilon, epsilon_of(2));
    assert_eq!(summary.epsilon_left, tight.epsilon - epsilon_of(4));
    let of_studies: Vec<_> = summary.studies.iter().map(|of| (of.rounds, of.spent)).collect();
    for ((rounds, spent), (of, units)) in of_studies.iter().zip([(2, 10), (2, 10), (1, 5)]) {
        assert_eq!((*rounds, spent.units, spent.worst_epsilon), (of, units, epsilon_of(of.into())));
    }
}

#[test]
fn patients_who_joined_late_have_spent_less() {
    let tight = Budget { epsilon: (epsilon_of(3) + epsilon_of(4)) / 2.0, delta: DELTA };
    let (hospital, early, late) = (Hospital::new(tight), patients(0..4), patients(4..7));
    let all = patients(0..7);
    let (early, all, late) = (
        Units::Patients(early.clone()),
        Units::Patients(all.clone()),
        Units::Patients(late.clone()),
    );
    hospital.charge(round("s", &early), 0).unwrap();
    hospital.charge(round("s", &early), 1).unwrap();
    let third = hospital.charge(round("s", &all), 2).unwrap();
    assert_eq!((third.rounds, third.epsilon), (3, rounded_up(epsilon_of(3))));
    let summary = hospital.summary();
    assert_eq!((summary.spent.units, summary.spent.worst_epsilon), (7, epsilon_of(3)));
    let error = hospital.charge(round("s", &all), 3).unwrap_err().to_string();
    assert!(error.contains("4 of 7 units"), "{error}");
    // Without them it goes on, and the worst stays the worst.
    let fourth = hospital.charge(round("s", &late), 3).unwrap();
    assert_eq!((fourth.rounds, fourth.epsilon), (4, third.epsilon));
}

#[test]
fn units_of_another_kind_other_sites_and_another_policy_are_refused() {
    let (hospital, names) = (Hospital::new(AMPLE), patients(0..3));
    let units = Units::Patients(names.clone());
    hospital.charge(round("s", &units), 0).unwrap();
    let entries = hospital.bytes("entries");
    for other in [Units::Records(names.clone()), Units::Site] {
        let error = hospital.charge(round("s", &other), 1).unwrap_err().to_string();
        assert!(error.contains("keeps account by patient"), "{error}");
    }
    let budget = Budget { epsilon: 999.0, ..AMPLE };
    let error = hospital.charge(RoundCharge { budget, ..round("s", &units) }, 1).unwrap_err();
    assert!(error.to_string().contains("under a budget of epsilon 1000 at delta 0.00001"));
    let none = RoundCharge { mechanisms: &[], ..round("s", &units) };
    let error = hospital.charge(none, 1).unwrap_err();
    assert!(error.to_string().contains("expected 1 to 16 mechanisms"), "{error}");
    let endless = [(Mechanism::gaussian(f64::NAN, 0.5), 1)];
    let error = hospital.charge(RoundCharge { mechanisms: &endless, ..round("s", &units) }, 1);
    assert!(matches!(error, Err(LedgerError::Accounting(_))), "{error:?}");
    let error = hospital.charge(round("s", &Units::Patients(vec![])), 1).unwrap_err();
    assert!(error.to_string().contains("got 0"), "{error}");
    assert_eq!(hospital.bytes("entries"), entries);
}

#[test]
fn a_delta_that_is_not_below_one_over_the_units_is_refused() {
    let large = Budget { delta: 0.25, ..AMPLE };
    let (three, four) = (patients(0..3), patients(0..4));
    for (of_ledger, of_study, said) in [
        (AMPLE, large, "expected the study's delta to be below 1/4"),
        (large, AMPLE, "expected the hospital's delta to be below 1/4"),
    ] {
        let hospital = Hospital::new(of_ledger);
        let (three, four) = (Units::Patients(three.clone()), Units::Patients(four.clone()));
        let charge = RoundCharge { budget: of_study, ..round("s", &three) };
        hospital.charge(charge, 0).unwrap();
        let error = hospital.charge(RoundCharge { units: &four, ..charge }, 1).unwrap_err();
        assert!(error.to_string().contains(said) && error.leaves_out_round(), "{error}");
    }
}

/// Grouping changes nothing: every unit's composition is what its entries come to one by one.
#[test]
fn compositions_by_group_are_those_by_unit() {
    let (hospital, mut seed) = (Hospital::new(AMPLE), 7u64);
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut by_unit: HashMap<String, HashMap<u64, u64>> = HashMap::new();
    for number in 0..12 {
        let names: Vec<String> = patients(0..12).into_iter().filter(|_| random(2) == 0).collect();
        let (kind, times) = (random(3), 1 + random(5));
        let names = if names.is_empty() { patients(0..1) } else { names };
        let mechanisms = [(Mechanism::gaussian(1.0 + kind as f64, 1.0), times)];
        let units = Units::Patients(names.clone());
        hospital
            .charge(RoundCharge { mechanisms: &mechanisms, ..round("s", &units) }, number)
            .unwrap();
        for name in names {
            *by_unit.entry(name).or_default().entry(kind).or_default() += times;
        }
    }
    let mut expected: Vec<f64> = by_unit
        .values()
        .map(|counts| {
            // The plain Gaussian mechanism: only the sum of times / z^2 matters.
            let exact: Vec<Release> = (0..3)
                .filter_map(|kind| {
                    Some((Mechanism::gaussian(1.0 + kind as f64, 1.0), *counts.get(&kind)?))
                })
                .collect();
            ringfence_privacy::epsilon(&exact, DELTA, Accountant::Rdp).unwrap()
        })
        .collect();
    expected.sort_by(f64::total_cmp);
    hospital
        .open(|ledger| {
            let mut universe = Snapshot::default();
            universe.join(&ledger.universe(ledger.book.entries(), None).unwrap()).unwrap();
            let load = |name| ledger.book.snapshot(name);
            let exposed = Exposure::of(&universe, ledger.book.entries(), load).unwrap();
            let groups = exposed.spending(AMPLE).unwrap();
            let got: Vec<f64> =
                groups.iter().flat_map(|group| vec![group.epsilon; group.units]).collect();
            assert_eq!(got.len(), expected.len());
            for (got, expected) in got.iter().zip(&expected) {
                assert!((got - expected).abs() <= 1e-9 * expected, "{got} {expected}");
            }
            let worst = exposed.worst(AMPLE).unwrap();
            assert!((worst - expected.last().unwrap()).abs() <= 1e-9 * worst);
        })
        .unwrap();
}

/// What disputes may open of a site is spent once in a study, and inexact noise takes of delta.
#[test]
fn what_a_study_does_once_is_charged_once_and_inexact_noise_takes_of_delta() {
    let hospital = Hospital::new(AMPLE);
    let names = patients(0..3);
    let units = Units::Patients(names.clone());
    let once = [(Mechanism::Gaussian { noise_multiplier: 3.0, sampling_rate: 1.0 }, 2)];
    let inexact = Inexactness { added: 1e-12, squared: 1e-26 };
    let charge = RoundCharge { once: &once, inexact, ..round("s", &units) };
    let [(steps, times)] = STEPS;
    for rounds in 1..4u64 {
        let spent = hospital.charge(charge, rounds as u32).unwrap();
        let left = DeltaLeft::of(DELTA, AMPLE.epsilon, inexact.times(rounds as u32)).unwrap();
        assert!(left.delta < DELTA);
        let releases = [(steps, times * rounds), once[0]];
        let epsilon = ringfence_privacy::epsilon(&releases, left.delta, Accountant::Rdp).unwrap();
        assert_eq!(spent.epsilon, rounded_up(epsilon), "{rounds}");
        // The same round again, with what was charged once.
        assert_eq!(hospital.charge(charge, rounds as u32).unwrap(), spent);
    }
    // Other units may be what a dispute opens something of, too.
    let others = patients(2..5);
    let units = Units::Patients(others.clone());
    let before = hospital.summary().spent.worst_epsilon;
    hospital.charge(RoundCharge { units: &units, ..charge }, 9).unwrap();
    let releases = [(steps, 4 * times), (once[0].0, 4)];
    let both = ringfence_privacy::epsilon(&releases, DELTA, Accountant::Rdp).unwrap();
    let worst = hospital.summary().spent.worst_epsilon;
    assert!(worst > before && (worst / both - 1.0).abs() < 1e-3, "{worst} {both}");

    let coarse = Inexactness { added: 1e-6, squared: 0.0 };
    let error = hospital.charge(RoundCharge { inexact: coarse, ..round("t", &units) }, 1);
    let error = error.unwrap_err();
    assert!(error.to_string().contains("may take a tenth of delta at most"), "{error}");
    // Spent as a budget is: the site contributes no more, and goes on as key holder.
    assert!(error.leaves_out_round());
}

/// Where epsilon is so large that what noise lacks to exact noise cannot be taken off delta outright,
/// whoever prints an epsilon can say so. A restore charges no more rounds than such noise allows.
#[test]
fn epsilons_that_do_not_hold_outright_are_known() {
    let hospital = Hospital::new(AMPLE);
    let names = patients(0..3);
    let units = Units::Patients(names);
    let within = || hospital.open(|ledger| ledger.within(study("s"))).unwrap();
    hospital.charge(round("s", &units), 0).unwrap();
    assert_eq!((within(), hospital.summary().spent.within), (None, None));
    let inexact = Inexactness { added: 3e-7, squared: 0.0 };
    hospital.charge(RoundCharge { inexact, ..round("s", &units) }, 1).unwrap();
    assert_eq!((within(), hospital.summary().studies[0].spent.within), (Some(3e-7), Some(3e-7)));
    let charge = RoundCharge { inexact, ..round("s", &units) };
    // Of three such rounds the noise takes a tenth of delta: one of these three was exact.
    let spent = hospital.restored(charge, 9).unwrap();
    assert_eq!((spent.rounds, spent.epsilon.is_finite()), (3, true));
    assert_eq!(hospital.summary().spent.within, Some(6e-7));
    hospital.charge(charge, 10).unwrap();
    let error = hospital.charge(charge, 11).unwrap_err();
    assert!(matches!(error, LedgerError::DeltaTaken { .. }), "{error}");
}

/// A hospital with thousands of patients and many studies on parts of them: hundreds of compositions
/// are as quickly known as one.
#[test]
fn many_studies_on_parts_of_the_patients_are_added_up_in_seconds() {
    let (hospital, mut seed) = (Hospital::new(AMPLE), 3u64);
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 63 == 0
    };
    let names = patients(0..1500);
    let started = std::time::Instant::now();
    for number in 0..9 {
        let part = Units::Patients(names.iter().filter(|_| random()).cloned().collect());
        let steps = [(Mechanism::gaussian(3.0 + f64::from(number) / 64.0, 0.015_625), 500)];
        let name = format!("study {number}");
        let charge = RoundCharge { mechanisms: &steps, ..round(&name, &part) };
        hospital.charge(charge, 0).unwrap();
    }
    let summary = hospital.summary();
    assert!(summary.spent.median_epsilon > 0.0 && summary.spent.units > 1400);
    // Work of a minute or more where each composition is worked out by itself.
    assert!(started.elapsed().as_secs() < 30, "{} s", started.elapsed().as_secs());
}
