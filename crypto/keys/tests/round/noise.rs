//! Rounds of a study that protects whole sites: the noise of the opened sum is what was calibrated.

use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::statement::{PrivacyPolicy, SiteLevel, Study};
use ringfence_keys::update::site_noise::parameters::{SiteNoise, SiteNoiseRequest, element_bound};
use ringfence_testkit::{Rehearsal, Setup, plain_sum, rng};

const VALUES: u32 = 30_000;
const SITES: usize = 7;
const BITS: u8 = 12;
const CLIP: f32 = 1.0;
const MULTIPLIER: f32 = 0.8;

/// Puts the policy, and room for its noise, into a drafted study.
fn protect_sites(study: &mut Study) {
    let policy = SiteLevel { clip: CLIP, noise_multiplier: MULTIPLIER, delta: 1e-5, epsilon: 20.0 };
    let (min_sites, collusion) = (study.min_sites, study.threshold.collusion);
    let noise = SiteNoise::derive(SiteNoiseRequest {
        values: study.layout.values(),
        value_bits: BITS,
        element_bound: element_bound(&study.layout).unwrap(),
        policy,
        min_sites,
        collusion,
    });
    let bound = noise.unwrap().noise_bound();
    study.privacy = PrivacyPolicy::SiteLevel(policy);
    study.packing = Packing::derive(BITS, bound, SITES, collusion).unwrap();
}

fn update(k: usize) -> Vec<f32> {
    (0..VALUES as usize).map(|i| ((i * 7 + k * 13) % 100) as f32 / 50_000.0 - 0.001).collect()
}

/// Runs and opens a round of so many contributors of whom the first `colluders` know their own
/// noise. The root mean square of what remains when the updates and the colluders' contributions
/// are taken from the opened sum, over a central Gaussian's `z R`; and the study's noise.
fn noise_left(contributors: usize, colluders: usize) -> (f64, SiteNoise) {
    let setup =
        Setup { sites: SITES, threshold: None, parameters: VALUES, clip: 0.05, value_bits: BITS };
    let seed = (contributors * 10 + colluders) as u64;
    let mut rehearsal = Rehearsal::altered(setup, protect_sites, rng(seed));
    let mut round = rehearsal.round();
    let manifest = round.manifest().statement.clone();
    let made: Vec<_> =
        (0..contributors).map(|k| rehearsal.contribution(k, &manifest, &update(k))).collect();
    rehearsal.collect(&mut round, &made);
    let (_, sum) = rehearsal.close(&mut round, &made);
    rehearsal.endorse(&mut round, &[]);
    let frames = rehearsal.openings(&mut round, &made, &[]);
    let finished = rehearsal.finished(&round, sum, frames);
    let opened = finished.try_open(&finished.key_sum(SITES - 1), &finished.sum).unwrap();
    // The opened integers are the plain ones, exactly.
    assert_eq!(opened.sums(), plain_sum(&made));

    let Packing { noise_bound, .. } = rehearsal.study.packing;
    let limit = rehearsal.study.packing.value_limit() as f64;
    let step = 2.0 * f64::from(0.05f32) / limit;
    let known = plain_sum(&made[..colluders]);
    let honest: Vec<Vec<f32>> = (colluders..contributors).map(update).collect();
    let off = |(i, sum): (usize, &u64)| {
        let known = known.get(i).copied().unwrap_or(0);
        let exact: f64 = honest.iter().map(|update| f64::from(update[i]) / step).sum();
        let centre = honest.len() as f64 * (f64::from(noise_bound) + limit / 2.0);
        ((*sum - known) as f64 - centre - exact).powi(2)
    };
    let squares: f64 = opened.sums().iter().enumerate().map(off).sum();
    let central = f64::from(MULTIPLIER) * f64::from(CLIP) / step;
    ((squares / f64::from(VALUES)).sqrt() / central, SiteNoise::of(&rehearsal.study).unwrap())
}

#[test]
fn the_noise_of_an_opened_sum_is_what_was_calibrated() {
    // Six standard deviations of a root mean square over the values; rounding adds 1/4 a site to a
    // variance of millions.
    let spread = 6.0 / (2.0 * f64::from(VALUES)).sqrt();
    // The smallest sum that is opened, with all the colluders in it, ...
    let setup =
        Setup { sites: SITES, threshold: None, parameters: VALUES, clip: 0.05, value_bits: BITS };
    let study = Rehearsal::of(setup, rng(1)).parties.study.clone();
    let (fewest, c) = (usize::from(study.min_sites), usize::from(study.threshold.collusion));
    assert!(c > 0 && fewest < SITES);
    let (found, noise) = noise_left(fewest, c);
    assert_eq!(fewest - c, usize::from(noise.honest()));
    let expected = 1.0 + noise.excess();
    assert!((found / expected - 1.0).abs() < spread, "{found} {expected}");
    assert!(found > 1.0 - spread && found < 1.05 * (1.0 + spread), "{found}");
    // ... and the largest one, of honest sites alone.
    let (found, noise) = noise_left(SITES, 0);
    let expected = 1.0 + noise.excess_of(SITES);
    assert!((found / expected - 1.0).abs() < spread, "{found} {expected}");
    assert!(expected > 1.3, "{expected}");
}
