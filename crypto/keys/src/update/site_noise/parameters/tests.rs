use ringfence_crypto::layout::TensorLayout;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::threshold::Threshold;
use ringfence_privacy::{Accountant, Mechanism, epsilon};

use super::*;
use crate::testing;

fn request(values: usize, value_bits: u8) -> SiteNoiseRequest {
    SiteNoiseRequest {
        values,
        value_bits,
        element_bound: 0.1,
        policy: SiteLevel { clip: 1.0, noise_multiplier: 1.1, delta: 1e-5, epsilon: 8.0 },
        min_sites: 6,
        collusion: 1,
    }
}

/// A study of site-level privacy; its check would say that this version does not enforce it yet.
pub(crate) fn study(sites: usize) -> Study {
    let (mut study, _) = testing::study(sites);
    let tensor = TensorLayout { name: "w".into(), shape: vec![10_000], clip: 0.1 };
    study.layout = Layout { tensors: vec![tensor] };
    let policy = request(10_000, 12).policy;
    study.privacy = PrivacyPolicy::SiteLevel(policy);
    let (min_sites, collusion) = (study.min_sites, study.threshold.collusion);
    let noise = SiteNoise::derive(SiteNoiseRequest { min_sites, collusion, ..request(10_000, 12) });
    let bound = noise.unwrap().noise_bound();
    study.packing = Packing::derive(12, bound, sites, collusion).unwrap();
    study
}

#[test]
fn numbers_by_hand() {
    // s = 0.2 / 4095, R = 20475; R^2 + d/2 + R = 419,225,625 + 5,000 + 20,475.
    let noise = SiteNoise::derive(request(10_000, 12)).unwrap();
    assert_eq!(noise.honest(), 5);
    // The clip bound 0.1 is float32's, 1.5e-9 above.
    let squared = noise.sensitivity_squared() as f64;
    assert!((squared / 419_251_100.0 - 1.0).abs() < 1e-7, "{squared}");
    let sigma = 1.1 * 419_251_100f64.sqrt() / 5f64.sqrt();
    assert!((noise.sampler().sigma() / sigma - 1.0).abs() < 1e-7, "{}", noise.sampler().sigma());
    assert_eq!(noise.noise_bound(), (10.0 * noise.sampler().sigma()).ceil() as u32);
    assert!((noise.excess() - 3.04e-5).abs() < 1e-6, "{}", noise.excess());
    let all = noise.excess_of(10);
    assert!((all - (2f64.sqrt() - 1.0)).abs() < 1e-4, "{all}");
    // z C / h in the mean of h: the sum's z C over h.
    let mean = noise.noise_in_mean(5);
    assert!((mean / (1.1 / 5.0) - 1.0).abs() < 1e-4, "{mean}");
}

/// The noise of `h` sites together is never below `z Delta`, nor more than 5 % above a central
/// Gaussian's `z R`.
#[test]
fn calibrated_for_the_guaranteed_honest_sites() {
    for values in [1, 1000, 1_000_000, 25_600_000] {
        for bits in VALUE_BITS {
            for (min_sites, collusion) in [(3, 1), (6, 1), (67, 4), (6667, 100)] {
                let request = SiteNoiseRequest { min_sites, collusion, ..request(values, bits) };
                let Ok(noise) = SiteNoise::derive(request) else { continue };
                let honest = f64::from(min_sites - collusion);
                let sum = noise.sampler().sigma() * honest.sqrt();
                let multiplier = f64::from(request.policy.noise_multiplier);
                let delta = (noise.sensitivity_squared() as f64).sqrt();
                assert!(sum >= multiplier * delta, "{request:?}");
                assert!(sum <= multiplier * noise.steps * 1.05 * (1.0 + 1e-12), "{request:?}");
                assert!(noise.excess() <= MOST_EXCESS);
            }
        }
    }
}

#[test]
fn where_quantization_makes_the_noise_explode_the_reason_is_given() {
    let wide = SiteNoiseRequest { element_bound: 1.0, ..request(25_000_000, 10) };
    let error = SiteNoise::derive(wide).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("10 bits are too few for 25000000 values"), "{text}");
    assert!(text.contains("rounding alone is 3536 steps long and the whole update 512"), "{text}");
    let SiteNoiseError::TooCoarse { works: Some(works), .. } = error else { panic!("{error}") };
    assert!(text.contains(&format!("from {works} bits a value on")), "{text}");
    // What is said to work does, and a bit less does not.
    assert!(SiteNoise::derive(SiteNoiseRequest { value_bits: works, ..wide }).is_ok());
    let fewer = SiteNoise::derive(SiteNoiseRequest { value_bits: works - 1, ..wide });
    assert!(matches!(fewer, Err(SiteNoiseError::TooCoarse { .. })), "{fewer:?}");
    // Nor does any width where the elements' bound dwarfs the clip.
    let hopeless = SiteNoiseRequest { element_bound: 1e6, ..wide };
    let text = SiteNoise::derive(hopeless).unwrap_err().to_string();
    assert!(text.contains("no number of bits is enough"), "{text}");
}

#[test]
fn numbers_that_are_none_are_refused() {
    let refused = |request: SiteNoiseRequest, said: &str| {
        let error = SiteNoise::derive(request).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    };
    let good = request(1000, 12);
    for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let with = |policy| SiteNoiseRequest { policy, ..good };
        refused(SiteNoiseRequest { element_bound: wrong, ..good }, "bound of each value");
        refused(with(SiteLevel { clip: wrong, ..good.policy }), "clip of the whole update");
        refused(with(SiteLevel { noise_multiplier: wrong, ..good.policy }), "noise multiplier");
        refused(with(SiteLevel { delta: wrong, ..good.policy }), "delta");
        refused(with(SiteLevel { epsilon: wrong, ..good.policy }), "epsilon");
    }
    refused(SiteNoiseRequest { values: 0, ..good }, "at least one value");
    refused(SiteNoiseRequest { min_sites: 1, ..good }, "min_sites above c");
    let policy = SiteLevel { noise_multiplier: 1e-4, ..good.policy };
    refused(SiteNoiseRequest { policy, ..good }, "expected 10 to 4194304");
    let policy = SiteLevel { noise_multiplier: 1e9, ..good.policy };
    refused(SiteNoiseRequest { policy, ..good }, "fewer bits a value");
    // Beyond any integer: refused for its noise, not wrapped around.
    let policy = SiteLevel { clip: f32::MAX, ..good.policy };
    refused(SiteNoiseRequest { policy, ..good }, "expected 10 to 4194304");
}

#[test]
fn a_study_s_noise_is_that_of_its_policy_and_packing() {
    let mut study = study(10);
    let noise = SiteNoise::of(&study).unwrap();
    assert_eq!(noise.noise_bound(), study.packing.noise_bound);
    study.packing.noise_bound += 1;
    let error = SiteNoise::of(&study).unwrap_err().to_string();
    assert!(error.contains("draft it anew"), "{error}");
    study.packing.noise_bound -= 1;
    let tensor = TensorLayout { name: "v".into(), shape: vec![5], clip: 0.25 };
    study.layout.tensors.push(tensor);
    let error = SiteNoise::of(&study).unwrap_err().to_string();
    assert!(error.contains("\"v\" has the clip bound 0.25 and the first one 0.1"), "{error}");
    study.privacy = PrivacyPolicy::None;
    assert_eq!(SiteNoise::of(&study), Err(SiteNoiseError::Policy));
}

/// Ten rounds at z = 1.1 are Gaussian rounds, to which what disputes open is added.
#[test]
fn what_is_spent_is_what_the_accountant_says_of_gaussians() {
    let noise = SiteNoise::derive(request(10_000, 12)).unwrap();
    let (sum, once) = noise.each_round();
    assert_eq!((once, noise.once()), (1, None));
    let own = epsilon(&[(sum, 10)], 1e-5, Accountant::Rdp).unwrap();
    let z = f64::from(1.1f32);
    let gaussian = [(Mechanism::gaussian(z, 1.0), 10)];
    let gaussian = epsilon(&gaussian, 1e-5, Accountant::Rdp).unwrap();
    assert!((own / gaussian - 1.0).abs() < 1e-6, "{own} {gaussian}");

    // m = 10, c = 2, l = 2 names culprits; three sites do not.
    let mut named = study(10);
    named.threshold = Threshold::derive(10, 2, 2, 10).unwrap();
    let (collusion, min_sites) = (2, named.min_sites);
    let bound = SiteNoise::derive(SiteNoiseRequest { min_sites, collusion, ..request(10_000, 12) });
    named.packing = Packing::derive(12, bound.unwrap().noise_bound(), 10, 2).unwrap();
    assert!(named.threshold.names());
    let noise = SiteNoise::of(&named).unwrap();
    let (sum, opened) = (noise.each_round().0, noise.once());
    let sigma = noise.sampler().sigma();
    let largest = 2048.0 * f64::from(named.packing.slots).sqrt();
    let dimension = named.packing.slots.into();
    let l2_sensitivity = largest.ceil();
    let expected = Mechanism::DiscreteGaussian { sigma, l2_sensitivity, dimension };
    assert_eq!(opened, Some((expected, 2)));
    let more = epsilon(&[(sum, 10), (expected, 2)], 1e-5, Accountant::Rdp).unwrap();
    let less = epsilon(&[(sum, 10)], 1e-5, Accountant::Rdp).unwrap();
    assert!(more > less, "{more} {less}");
    let said = noise.explain(10);
    assert!(
        said.contains(
            "honest sites that every sum has protect each other, whatever c = 2 others know"
        ),
        "{said}"
    );
    let slots = named.packing.slots;
    assert!(said.contains(&format!("Up to 2 times a study a dispute may open {slots}")), "{said}");
    let unnamed = study(3);
    let said = SiteNoise::of(&unnamed).unwrap().explain(3);
    // Three honest ones where two are needed: sqrt(3/2).
    assert!(said.contains("with all 3 sites honest 22 %. No dispute opens"), "{said}");
    assert!(!unnamed.threshold.names());
    assert_eq!(SiteNoise::of(&unnamed).unwrap().once(), None);
}

#[test]
fn the_sampler_s_distance_is_charged_to_delta() {
    let noise = SiteNoise::derive(request(1_000_000, 16)).unwrap();
    let left = noise.delta_left(100).unwrap();
    let delta = f64::from(1e-5f32);
    let expected = (1.0 + 8f64.exp()) * noise.inexactness().times(100).distance();
    assert!(left.outright && left.charged == expected, "{left:?}");
    assert_eq!(left.delta, delta - expected);
    assert!(left.charged < delta / 50.0, "{left:?}");
    let with = |policy| SiteNoise::derive(SiteNoiseRequest { policy, ..request(1_000_000, 16) });
    // At an epsilon of 10^4, e^epsilon times anything is too much; the distance itself is not.
    let policy = request(1, 8).policy;
    let large = with(SiteLevel { epsilon: 1e4, ..policy }).unwrap().delta_left(100).unwrap();
    assert!(
        !large.outright && large.charged == noise.inexactness().times(100).distance(),
        "{large:?}"
    );
    let strict = with(SiteLevel { delta: 1e-12, ..policy }).unwrap();
    let error = strict.delta_left(100).unwrap_err().to_string();
    assert!(error.contains("choose a larger delta or fewer rounds"), "{error}");
}
