//! What must hold of every epsilon, and would not with a mistake in either accountant.
#![allow(
    clippy::unwrap_used,
    reason = "the lints' exception for tests does not reach the helper functions"
)]

use ringfence_privacy::calibrate::{Target, noise_multiplier};
use ringfence_privacy::{Accountant, Error, Mechanism, Release, epsilon, gaussian, pld};

const BOTH: [Accountant; 2] = [Accountant::Rdp, Accountant::Pld];

fn steps(noise: f64, rate: f64, times: u64) -> [Release; 1] {
    [(Mechanism::gaussian(noise, rate), times)]
}

/// Of one step the exact delta is known: the neighbours are told apart best by `x > c`, so that
/// `delta(e) = q delta_gauss(ln((exp(e) - 1 + q) / q))` where a unit is removed, which is more than
/// where one is added.
fn one_step_delta(noise: f64, rate: f64, epsilon: f64) -> f64 {
    rate * gaussian::delta(noise, (epsilon.exp_m1() / rate).ln_1p()).unwrap()
}

fn one_step_epsilon(noise: f64, rate: f64, delta: f64) -> f64 {
    let (mut low, mut high) = (0.0, 200.0);
    if one_step_delta(noise, rate, low) <= delta {
        return 0.0;
    }
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if one_step_delta(noise, rate, middle) <= delta { high = middle } else { low = middle }
    }
    low
}

#[test]
fn one_sampled_step_is_never_below_the_truth_and_close_to_it() {
    let mut positive = 0;
    for noise in [0.3, 0.5, 1.0, 2.0, 6.0] {
        for rate in [1e-3, 0.02, 0.3, 0.9] {
            for delta in [1e-2, 1e-5, 1e-9, 1e-15, 1e-30, 1e-100, 1e-190] {
                let exact = one_step_epsilon(noise, rate, delta);
                let got = pld::epsilon(&steps(noise, rate, 1), delta).unwrap();
                assert!(got >= exact * (1.0 - 1e-12), "{noise} {rate} {delta}: {got} {exact}");
                let close = got <= exact * (1.0 + 1e-3) + 1e-9;
                assert!(close, "{noise} {rate} {delta}: {got} {exact}");
                positive += usize::from(exact > 0.0);
            }
        }
    }
    assert!(positive > 100, "{positive}");
}

/// Rates so small that all of a step's loss lies within a grid's step: its masses leave the range of
/// numbers from one point to the next, and must not be taken for nothing.
#[test]
fn a_step_that_takes_few_is_never_below_the_truth() {
    let named = [(3.997, 2.79e-5, 4.78e-15), (7.532, 4.02e-5, 2.76e-9), (3.0, 1e-6, 1e-10)];
    let mut cases = named.to_vec();
    for noise in [0.5, 30.0] {
        for rate in [1e-7, 1e-4] {
            let at_zero = one_step_delta(noise, rate, 0.0);
            cases.extend([0.9, 1e-4, 1e-12].map(|d| (noise, rate, d * at_zero)));
        }
    }
    for (noise, rate, delta) in cases {
        let exact = one_step_epsilon(noise, rate, delta);
        let got = pld::epsilon(&steps(noise, rate, 1), delta).unwrap();
        assert!(
            exact > 0.0 && got >= exact * (1.0 - 1e-9),
            "{noise} {rate} {delta}: {got} {exact}"
        );
    }
    let target = Target { epsilon: 1e-6, delta: 1e-13 };
    let noise = noise_multiplier(target, 1e-5, 1, Accountant::Pld).unwrap();
    let delta = one_step_delta(noise, 1e-5, target.epsilon);
    assert!(delta <= target.delta, "{noise}: {delta}");
}

/// Many plain steps are one with less noise: all of the convolution against the exact curve, with
/// small deltas and large epsilons, where other programs fail.
#[test]
fn plain_steps_are_never_below_the_truth_and_close_to_it() {
    for times in [1, 7, 1000, 1_000_000] {
        for total in [1e-4, 0.002, 0.05, 0.3, 5.0, 60.0, 5e3] {
            for delta in [1e-3, 1e-6, 1e-15, 1e-40, 1e-190] {
                let noise = (times as f64).sqrt() / total;
                let exact = gaussian::epsilon(1.0 / total, delta).unwrap();
                let got = pld::epsilon(&steps(noise, 1.0, times), delta).unwrap();
                // The exact one is found to 1e-10.
                assert!(got >= exact * (1.0 - 2e-10), "{times} {total} {delta}: {got} {exact}");
                assert!(got <= exact * (1.0 + 1e-3), "{times} {total} {delta}: {got} {exact}");
            }
        }
    }
}

#[test]
fn more_steps_a_higher_rate_and_less_noise_cost_more() {
    for accountant in BOTH {
        let of =
            |noise, rate, times| epsilon(&steps(noise, rate, times), 1e-5, accountant).unwrap();
        for (noise, rate, times) in
            [(0.6, 0.01, 100), (1.5, 0.04, 2250), (4.0, 0.5, 30), (9.0, 1.0, 3)]
        {
            let here = of(noise, rate, times);
            assert!(here > 0.0);
            assert!(of(noise, rate, times * 11 / 10 + 1) > here, "{accountant} steps {noise}");
            assert!(of(noise * 0.97, rate, times) > here, "{accountant} noise {noise}");
            assert!(of(noise, rate * 0.97, times) < here, "{accountant} rate {noise}");
        }
    }
}

#[test]
fn the_tight_accountant_is_below_the_loose_one() {
    for (noise, rate, times, delta) in [
        (0.5, 0.001, 1, 1e-5),
        (1.0, 0.01, 1000, 1e-6),
        (1.5, 0.04, 2250, 1e-5),
        (3.0, 1.0, 20, 1e-12),
    ] {
        let [rdp, pld] = BOTH.map(|by| epsilon(&steps(noise, rate, times), delta, by).unwrap());
        assert!(pld < rdp, "{noise} {rate} {times}: {pld} {rdp}");
    }
}

#[test]
fn parts_compose_to_the_whole_in_any_order() {
    let (a, b) = (Mechanism::gaussian(1.2, 0.02), Mechanism::gaussian(3.0, 1.0));
    let noise = Mechanism::DiscreteGaussian { sigma: 9.0, l2_sensitivity: 2.0, dimension: 1 };
    for accountant in BOTH {
        let of = |releases: &[Release]| epsilon(releases, 1e-6, accountant).unwrap();
        let whole = of(&[(a, 300), (b, 2), (noise, 1)]);
        let parts = of(&[(noise, 1), (a, 100), (b, 1), (a, 200), (b, 1)]);
        assert!((whole / parts - 1.0).abs() < 1e-6, "{accountant}: {whole} {parts}");
        assert!(whole > of(&[(a, 300), (b, 2)]) && whole > of(&[(b, 2), (noise, 1)]));
        assert_eq!(of(&[]), 0.0);
    }
}

/// From next to nothing to budgets that only name what is spent.
#[test]
fn tiny_and_huge_epsilons_are_calibrated_and_confirmed() {
    for (target, rate, times) in
        [(1e-3, 0.04, 100), (1e-3, 1.0, 1), (1e3, 0.04, 2250), (1e9, 0.04, 2250), (1e9, 1.0, 10)]
    {
        for accountant in BOTH {
            let target = Target { epsilon: target, delta: 1e-5 };
            let noise = noise_multiplier(target, rate, times, accountant).unwrap();
            let got = epsilon(&steps(noise, rate, times), 1e-5, accountant).unwrap();
            let close = got <= target.epsilon && got > 0.99 * target.epsilon;
            assert!(close, "{accountant} {target:?} {rate} {times}: {noise} {got}");
        }
    }
}

#[test]
fn what_is_only_bounded_has_no_loss_distribution() {
    let vector = Mechanism::DiscreteGaussian { sigma: 9.0, l2_sensitivity: 2.5, dimension: 10 };
    let summed = Mechanism::DistributedDiscreteGaussian {
        local_sigma: 4.0,
        sites: 5,
        dimension: 10,
        l1_sensitivity: 8.0,
        l2_sensitivity: 2.5,
    };
    for mechanism in [vector, summed] {
        let releases = [(mechanism, 10)];
        assert_eq!(epsilon(&releases, 1e-5, Accountant::Pld), Err(Error::NoLossDistribution));
        assert!(epsilon(&releases, 1e-5, Accountant::Rdp).unwrap() > 0.0);
    }
    let error = pld::epsilon(&steps(1.0, 0.5, 1), 1e-250).unwrap_err().to_string();
    assert!(error.contains("at least 1e-200"), "{error}");
}

/// As good as no noise: refused at once, where it took the tight accountant hours.
#[test]
fn what_hides_nothing_is_refused_by_the_tight_accountant() {
    for noise in [1e-15, 1e-6, 1e-5] {
        let error = epsilon(&steps(noise, 0.04, 2250), 1e-5, Accountant::Pld).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{noise}: {error}");
        assert!(epsilon(&steps(noise, 0.04, 2250), 1e-5, Accountant::Rdp).unwrap() > 1e10);
    }
}

/// Of steps beyond number a law is destroyed by round-off: what is left of it is no bound, and an
/// epsilon of 0 came of it.
#[test]
fn of_huge_numbers_of_steps_there_is_a_bound_or_no_answer() {
    let mut answered = 0;
    for times in [100_000_000_000, 150_000_000_000, 1_000_000_000_000] {
        for (noise, rate) in [(0.5, 1.0), (1e4, 1.0), (1e7, 1.0), (100.0, 1e-3), (505.7, 1e-6)] {
            // Of so many steps the sum of losses is normal, as that of one plain step with this noise.
            let one: f64 = 1.0 / (noise * noise);
            let variance = if rate == 1.0 { one } else { rate * rate * one.exp_m1() };
            let truth = gaussian::epsilon(1.0 / (times as f64 * variance).sqrt(), 1e-5).unwrap();
            match pld::epsilon(&steps(noise, rate, times), 1e-5) {
                Ok(got) => {
                    let slack = if rate == 1.0 { 2e-10 } else { 0.02 };
                    assert!(got >= truth * (1.0 - slack), "{noise} {rate} {times}: {got} {truth}");
                    answered += 1;
                }
                Err(error) => {
                    let said = matches!(error, Error::NotResolved { .. } | Error::TooLarge { .. });
                    assert!(said && error.to_string().contains("use `rdp`"), "{error}");
                }
            }
        }
    }
    assert!(answered >= 5, "{answered}");
    for times in [1_000_000_000_001, 1_000_000_000_000_000_000, u64::MAX] {
        let error = pld::epsilon(&steps(505.7, 1e-6, times), 1e-5).unwrap_err().to_string();
        assert!(error.contains("at most 1e12 for the accountant `pld`"), "{error}");
        let target = Target { epsilon: 1.0, delta: 1e-5 };
        let error = noise_multiplier(target, 1e-6, times, Accountant::Pld).unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error}");
        epsilon(&steps(505.7, 1e-6, times), 1e-5, Accountant::Rdp).unwrap();
    }
}
